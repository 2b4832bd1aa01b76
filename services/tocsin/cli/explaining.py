"""`tocsin alerts explain` in words: an alert in a few lines, and a row for each thing that was said or was not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tocsin.schemas.instant import parse_instant

Item = Mapping[str, Any]
_LATER: Final = ("retrying", "rate limited")
_LATE_MS: Final = 5_000
_QUIET_BY = {"silenced": "by silence", "inhibited": "by", "outside hours": "by", "acknowledged": "by"}


def heading(alert: Item, escalation: Item | None = None) -> list[str]:
    """What fires, who acted on it, by which revision of its rule, on what evidence, and who is told next."""
    labels = ", ".join(f"{name}={value}" for name, value in sorted(alert["labels"].items()))
    where = f" ({labels})" if labels else ""
    until = f" until {alert['ends_at']}" if alert.get("ends_at") else ""
    lines = [f"{alert['rule_name']}{where} is {alert['status']}: active from {alert['starts_at']}{until}"]
    lines.append(f"rule {alert['rule_id']}, revision {alert['rule_revision']}{_evidence(alert.get('evidence') or {})}")
    lines += _acted(alert)
    if escalation:
        lines.append(f"escalation {escalation['policy']}: {_next(escalation)}")
    return lines


def _acted(alert: Item) -> list[str]:
    """Who ended it by hand, or takes care."""
    if alert["status"] == "resolved" and alert.get("reason") == "manual":
        return [_by("resolved by hand", alert["updated_at"], alert.get("actor"), alert.get("comment"))]
    care = alert.get("acknowledged")
    if alert["status"] != "acknowledged" or not care:
        return []
    what = "snoozed" if care.get("snoozed") else "acknowledged"
    return [_by(what, care["at"], care["by"], care.get("comment"), care.get("until"))]


def _by(what: str, at: str, name: str | None, comment: str | None, until: str | None = None) -> str:
    who, end = f" by {name}" if name else "", f", until {until}" if until else ""
    return f"{what}{who} at {at}{end}{f': {comment}' if comment else ''}"


def _next(escalation: Item) -> str:
    due = escalation["due"]
    if due is None:
        return str(escalation["state"])
    what = due.get("reason") or f"step {due['step']}"
    return f"{what}, due at {due['at']}"


def _evidence(evidence: Item) -> str:
    if not evidence:
        return ""
    begin, end = evidence.get("window", ("", ""))
    text = f"; {evidence.get('samples')} samples of {evidence.get('metric')} from {begin} to {end}"
    if evidence.get("offset") is not None:
        text += f", the last at {evidence.get('topic')}/{evidence.get('partition')}@{evidence['offset']}"
    return text


def rows(explanation: Item) -> list[dict[str, str]]:
    """Everything that was said or was not, in the order in which it was decided."""
    found = [
        {
            "at": entry["at"],
            "channel": receiver["channel"] or "-",
            "event": (entry["event"] or {}).get("type", "-"),
            "outcome": entry["outcome"],
            "why": _why(entry),
        }
        for receiver in explanation["receivers"]
        for entry in receiver["entries"]
    ]
    found += [
        {"at": step["at"], "channel": "-", "event": "-", "outcome": step["outcome"], "why": _why(step)}
        for step in (explanation.get("escalation") or {}).get("steps", ())
        if step["outcome"] != "sent"
    ]
    return sorted(found, key=lambda row: (row["at"], row["channel"]))


def _when(entry: Item) -> str:
    """When it is tried next, or was answered long after it was decided: tried again, held back, or put back."""
    if entry["outcome"] in _LATER:
        return f"not before {entry['next_attempt_at']}" if entry.get("next_attempt_at") else ""
    answered = entry.get("answered_at")
    is_late = answered and parse_instant(answered) - parse_instant(entry["at"]) >= _LATE_MS
    return f"at {answered}" if is_late else ""


def _why(entry: Item) -> str:
    """The cause, and for what was sent the provider's answer."""
    parts = [str(entry["reason"])] if entry.get("reason") else []
    if entry["outcome"] in _QUIET_BY and entry.get("by"):
        parts.append(f"{_QUIET_BY[entry['outcome']]} {', '.join(entry['by'])}")
    if entry.get("until"):
        parts.append(f"until {entry['until']}")
    if entry.get("policy"):
        parts.append(f"step {entry['step']} of {entry['policy']}" if entry.get("step") else f"by {entry['policy']}")
    if entry.get("people"):
        parts.append(f"reached {', '.join(entry['people'])}")
    if entry.get("route"):
        parts.append(f"by route {entry['route']}")
    if "status_code" in entry or "receipt" in entry or "detail" in entry:
        said = [str(entry[name]) for name in ("status_code", "receipt", "detail") if entry.get(name)]
        parts.append(f"answered {' '.join(said)}" if said else "")
    if entry.get("latency_ms"):
        parts.append(f"after {entry['latency_ms']:.0f} ms")
    if entry.get("attempts", 0) > 1:
        parts.append(f"{entry['attempts']} attempts")
    parts.append(_when(entry))
    return ", ".join(filter(None, parts))
