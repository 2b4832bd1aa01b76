"""A notification in words: what fired, where, its value against the threshold, since when. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from tocsin.deliver.forecast_text import ahead, current
from tocsin.deliver.group_text import counted, others, where_of
from tocsin.deliver.learnt_text import is_learnt, measures, of_peers, rarity, strange_within
from tocsin.deliver.templates import TemplateError, render_template, template_values
from tocsin.deliver.text import one_line
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.duration import format_duration
from tocsin.schemas.instant import parse_instant
from tocsin.schemas.notification import Notification
from tocsin.schemas.rule import operator_symbol

State = Literal["firing", "changed", "resolved", "acknowledged", "escalated", "pending", "unacknowledged", "reminded"]

_COLOURS = {"critical": "#b3261e", "error": "#c2410c", "warning": "#a16207", "info": "#1d5fa8"}
_NO_SUBJECT = "The value"
_ESCALATED = {
    "unanswered": "Nobody has answered yet",
    "unacknowledged": "Nobody takes care of it any more",
    "worse": "It got worse",
}
_RESOLVED_COLOUR = "#1a7f37"
_MARKS = {"critical": "🔴", "error": "🟠", "warning": "🟡", "info": "🔵"}
_RESOLVED_MARK = "✅"
_RELATIONS = {
    "gt": "above",
    "gte": "at or above",
    "lt": "below",
    "lte": "at or below",
    "eq": "equal to",
    "neq": "different from",
}


@dataclass(frozen=True, slots=True)
class Fact:
    """A name and what is known under it."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Action:
    """Something that its reader can do: what it is called, and the address that leads to it."""

    label: str
    url: str


@dataclass(frozen=True, slots=True)
class Message:
    """What every channel shows in its own form. Nothing in it is escaped yet.

    `values` are the same things for users' templates. `chart` is a picture as PNG, where there is one.
    """

    state: State
    severity: str
    subject: str
    title: str
    summary: tuple[str, ...]
    facts: tuple[Fact, ...]
    labels: tuple[Fact, ...]
    link: str
    runbook: str
    colour: str
    mark: str
    values: Mapping[str, Any]
    actions: tuple[Action, ...] = ()
    chart: bytes | None = None

    @property
    def calls(self) -> bool:
        """Whether people are to be called by name, where a channel does that: it fires, or fires in another way."""
        return self.state in ("firing", "changed")

    @property
    def labelled(self) -> tuple[str, ...]:
        """The labels as `name=value`."""
        return tuple(f"{label.name}={label.value}" for label in self.labels)

    @property
    def links(self) -> tuple[Action, ...]:
        """Everything that leads somewhere: the alert, its runbook, and what can be done."""
        runbook = (Action("Runbook", self.runbook),) if self.runbook else ()
        return (Action("Open the alert", self.link), *self.actions, *runbook)


def compose(notification: Notification, base_url: str, template: str = "", actions: tuple[Action, ...] = ()) -> Message:
    """The message for a notification; `base_url` is where the dashboard is, `template` the channel's own text.

    The rule's own text (annotation `message_<channel type>`, or `message`) goes before the channel's. A template that
    fails on this alert, or says nothing, is passed over: a plain message is better than none.
    """
    event = notification.event
    resolved = event.status == "resolved"
    labels = tuple(Fact(name, event.labels[name]) for name in sorted(event.labels) if name != "alertname")
    where = ", ".join(f"{label.name}={label.value}" for label in labels)
    title = one_line(event.rule_name or event.rule_id, 200)
    exercise = "TEST · " if notification.test else "DRILL · " if event.drill else ""
    state = f"{exercise}{event.type.upper()}"
    group = notification.group
    if group and len(group.alerts) + group.truncated > 1:
        state, where = f"{exercise}{counted(group)}", where_of(group.labels)
        title = f"{title} and {len(group.alerts) + group.truncated - 1} more"
    if group and group.incident:
        title = one_line(f"Incident {group.route.removeprefix('incident/')}: {title}", 240)
    subject = f"[{state}] {event.severity}: {title}" + (f" ({where})" if where else "")
    link = f"{base_url.rstrip('/')}/#/alerts/{event.fingerprint}"
    values = template_values(notification, title, link)
    return Message(
        state=event.type,
        severity=event.severity,
        subject=one_line(subject, 240),
        title=title,
        summary=_summary(notification, template, values),
        facts=tuple(_facts(event)),
        labels=labels,
        link=link,
        runbook=event.runbook_url if event.runbook_url.startswith(("https://", "http://")) else "",
        colour=_RESOLVED_COLOUR if resolved else _COLOURS.get(event.severity, _COLOURS["warning"]),
        mark=_RESOLVED_MARK if resolved else _MARKS.get(event.severity, _MARKS["warning"]),
        values=values,
        actions=() if resolved else actions,
    )


def format_quantity(value: float | None, unit: str | None = None) -> str:
    """A number as people read it, with its unit: `1,234.5 ms`, `97 %`."""
    if value is None:
        return "unknown"
    if value == 0 or 1e-3 <= abs(value) < 1e15:
        places = 0 if abs(value) >= 1e6 else 3
        text = f"{value:,.{places}f}"
        number = text.rstrip("0").rstrip(".") if "." in text else text
    else:
        number = f"{value:.4g}"
    return f"{number} {unit}" if unit else number


def format_time(text: str) -> str:
    """An RFC 3339 time as people read it: `2026-11-23 10:00:00 UTC`."""
    return f"{text[:10]} {text[11:19]} UTC" if text.endswith("Z") and len(text) >= 20 else text


def _span(start: str, end: str) -> str:
    try:
        elapsed_ms = parse_instant(end) - parse_instant(start)
    except ValueError:
        return ""
    if elapsed_ms <= 0:
        return ""
    return format_duration(elapsed_ms if elapsed_ms < 1_000 else elapsed_ms // 1_000 * 1_000)


def _summary(notification: Notification, template: str, values: Mapping[str, Any]) -> tuple[str, ...]:
    event = notification.event
    lines = ["This is a test of the channel: nothing is wrong."] if notification.test else []
    if event.drill:
        lines.append("This is a drill: nothing is wrong.")
    lines += [notification.note] if notification.note else []
    own = _own_text(notification)
    if own:
        return (*lines, *own)
    if template:
        return (*lines, *(_rendered(template, values) or (_verdict(event),)))
    lines.append(_verdict(event))
    told = [event.annotations.get("summary", ""), event.annotations.get("description", "") or event.description]
    lines += [text.strip() for text in told if text.strip()]
    if notification.group:
        lines += others(notification.group, _verdict)
    if event.comment:
        says = "" if event.type == "escalated" else f"{event.actor or 'Somebody'} says: "
        lines.append(f"{says}{event.comment}")
    return tuple(lines)


def own_annotation(event: AlertEvent, channel_type: str) -> str:
    """The annotation by which a rule itself says what a channel is to say; empty where there is none."""
    names = (f"message_{channel_type}", "message")
    return next((name for name in names if event.annotations.get(name, "").strip()), "")


def _own_text(notification: Notification) -> tuple[str, ...]:
    """What the rule itself has to say; it was rendered when the rule was evaluated."""
    name = own_annotation(notification.event, notification.channel_type)
    return tuple(notification.event.annotations[name].strip().splitlines()) if name else ()


def _rendered(template: str, values: Mapping[str, Any]) -> tuple[str, ...]:
    """The template's lines; none where it fails on this alert, or says nothing: a receiver may refuse an empty text."""
    try:
        return tuple(render_template(template, values).strip().splitlines())
    except TemplateError:
        return ()


def _verdict(event: AlertEvent) -> str:
    """The one sentence that says what is the matter."""
    who = f" by {event.actor}" if event.actor else ""
    if event.flapping == "started":
        return f"Flapping, now {event.severity}: it comes and goes, and is told again when it is calm or worse."
    if event.type == "resolved":
        lasted = _span(event.starts_at, event.ends_at or event.updated_at)
        why = {"condition": "the condition is over", "manual": f"closed by hand{who}"}.get(event.reason, event.reason)
        return f"Resolved{f' after {lasted}' if lasted else ''}: {why}."
    if event.type == "changed":
        if event.flapping == "stopped":
            return f"Calm again, still {event.severity}."
        return _because(f"Now {event.severity}", event)
    if event.is_said_again:
        return _again(event)
    if event.type == "escalated":
        return _because(_ESCALATED.get(event.escalation.reason if event.escalation else "", "Escalated"), event)
    if event.type in ("acknowledged", "unacknowledged"):
        return f"{event.type.capitalize()}{who}."
    return _matter(event)


def _because(news: str, event: AlertEvent) -> str:
    """News of an alert that goes on, with what is the matter."""
    if event.value is None and _silent_s(event) is None:
        return f"{news}."
    matter = _matter(event)
    return f"{news}: {matter[0].lower() if matter.startswith(_NO_SUBJECT) else matter[0]}{matter[1:]}"


def _matter(event: AlertEvent) -> str:
    """What the value is, and what it should be."""
    who = f" by {event.actor}" if event.actor else ""
    evidence = event.evidence or {}
    metric = evidence.get("metric")
    subject = str(metric) if metric else _NO_SUBJECT
    silent_s = _silent_s(event)
    if silent_s is not None or event.reason == "no data":
        lasted = f" for {format_duration(round(silent_s * 1_000))}" if silent_s else ""
        return f"{subject} has not been seen{lasted}."
    if event.value is None:
        return f"Raised{who or ' by hand'}." if event.reason == "manual" else f"{event.rule_name} is {event.type}."
    if event.expected and {"lower", "upper"} <= event.expected.keys() and event.threshold is None:
        return _strange(event, event.expected, subject)
    if event.threshold is None or event.operator is None:
        return f"{subject} is {format_quantity(event.value, event.unit)}."
    return f"{subject} is {_against(event, event.operator, event.threshold)}."


def _silent_s(event: AlertEvent) -> float | None:
    """How long nothing came, where the alert is about that."""
    found: float | None = (event.evidence or {}).get("facts", {}).get("silent_s")
    return found


def _against(event: AlertEvent, operator: str, threshold: float) -> str:
    """The value and its threshold; of a forecast the value now, and when it will be there."""
    when = ahead(event)
    relation, limit = _RELATIONS.get(operator, operator), format_quantity(threshold, event.unit)
    if when:
        return f"{format_quantity(current(event), event.unit)}, and will be {relation} {limit} {when}"
    expected = (event.expected or {}).get("value") if is_learnt(event) else None
    rest = f"; expected is {format_quantity(expected, event.unit)}" if expected is not None else ""
    return f"{format_quantity(event.value, event.unit)}, {relation} {limit}{rest}"


def _strange(event: AlertEvent, expected: Mapping[str, float], subject: str) -> str:
    """What is strange about it, by its past or among its peers."""
    quantity, often, within = partial(format_quantity, unit=event.unit), rarity(event), strange_within(event)
    rare = f" Such a value comes {often}." if often else ""
    if among := of_peers(event, quantity):
        return among + rare
    value, band = quantity(event.value), f"{quantity(expected['lower'])} to {quantity(expected['upper'])}"
    if often and within:
        return f"{subject} is {value}, within the expected {band}; but its {within} comes {often}."
    return f"{subject} is {value}; expected is {band}.{rare}"


def _again(event: AlertEvent) -> str:
    """Why it is said once more that an alert fires."""
    care = event.acknowledged
    if care is None:
        return f"Still {event.severity}: {event.reason}."
    until = f" until {format_time(care.until)}" if care.until else ""
    return f"Still {event.severity}; {'snoozed' if care.snoozed else 'acknowledged'} by {care.by}{until}."


def _facts(event: AlertEvent) -> list[Fact]:
    facts = [Fact("Severity", event.severity)]
    if event.value is not None:
        name = "Value" if current(event) is None else "Forecast"
        facts.append(Fact(name, format_quantity(event.value, event.unit)))
    if event.threshold is not None:
        symbol = operator_symbol(event.operator or "")
        facts.append(Fact("Threshold", f"{symbol} {format_quantity(event.threshold, event.unit)}".strip()))
    if event.expected and {"lower", "upper"} <= event.expected.keys():
        band = [format_quantity(event.expected[side], event.unit) for side in ("lower", "upper")]
        facts.append(Fact("Expected", f"{band[0]} to {band[1]}"))
    if current(event) is not None:
        facts.append(Fact("Now", format_quantity(current(event), event.unit)))
    learnt = ("Rarity", rarity(event)), ("Strange", measures(event))
    facts += [Fact(name, text) for name, text in (("Reached", ahead(event)), *learnt) if text]
    facts.append(Fact("Since", format_time(event.starts_at)))
    if event.ends_at:
        facts.append(Fact("Until", format_time(event.ends_at)))
    lasted = _span(event.starts_at, event.ends_at or event.updated_at)
    if lasted:
        facts.append(Fact("Lasted" if event.ends_at else "For", lasted))
    if event.type == "resolved":
        facts.append(Fact("Reason", event.reason))
    if event.acknowledged:
        name = "Snoozed" if event.acknowledged.snoozed else "Acknowledged"
        facts.append(Fact(name, f"{event.acknowledged.by}, {format_time(event.acknowledged.at)}"))
    if event.category:
        facts.append(Fact("Category", event.category))
    facts.append(Fact("Rule", event.rule_id))
    return facts
