"""A notification of several alerts in words: how many, and a line for each beside the first. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tocsin.deliver.text import one_line
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.notification import Group

_MOST_LINES = 20
_SAID = {reason: reason.upper() for reason in ("repeat", "digest", "acknowledged", "unacknowledged")}


def counted(group: Group) -> str:
    """`FIRING 3, RESOLVED 1`; `REPEAT` where it is said again, `DIGEST` where the channel was too slow for them."""
    over = sum(alert.status == "resolved" for alert in group.alerts)
    firing = len(group.alerts) - over + group.truncated
    parts = [f"FIRING {firing}" if firing else "", f"RESOLVED {over}" if over else ""]
    return ", ".join([*filter(None, parts), *filter(None, [_SAID.get(group.reason)])])


def others(group: Group, verdict: Callable[[AlertEvent], str]) -> list[str]:
    """A line for each alert but the first, and how many more there are."""
    rest = group.alerts[1:]
    lines = [_line(alert, verdict, group.why.get(alert.fingerprint, "")) for alert in rest[:_MOST_LINES]]
    more = len(rest) - len(lines) + group.truncated
    return [*lines, f"and {more} more"] if more else lines


def _line(alert: AlertEvent, verdict: Callable[[AlertEvent], str], why: str) -> str:
    state = "resolved" if alert.status == "resolved" else alert.severity
    where = f" ({where_of(alert.labels)})" if alert.labels else ""
    return one_line(
        f"{state}: {alert.rule_name or alert.rule_id}{where}: {verdict(alert)}{f' [{why}]' if why else ''}", 400
    )


def where_of(labels: Mapping[str, str]) -> str:
    """`host=a1, service=api`."""
    return ", ".join(f"{name}={labels[name]}" for name in sorted(labels))
