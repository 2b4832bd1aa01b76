"""Whether a channel is to be told about a group now, and what it knows afterwards: Alertmanager's conditions.

Where it differs: a channel hears that an alert is over if, and only if, it was told that it fires, whatever keeps the
alert quiet by then; a worse severity is news; what somebody has acknowledged is not said again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tocsin.engine.route.group_record import Member, Told

Reason = Literal[
    "first", "new", "worse", "again", "some resolved", "all resolved", "repeat", "acknowledged", "unacknowledged"
]
Members = Mapping[str, Member]


@dataclass(frozen=True, slots=True)
class View:
    """A group as one look at it finds it: active alerts that nothing keeps quiet, those that something does, and those
    that are over."""

    firing: Members
    quiet: Members
    over: Members


@dataclass(frozen=True, slots=True)
class Saying:
    """What a channel is to be told: the alerts by fingerprint, active ones and those that are over."""

    reason: Reason
    firing: tuple[str, ...]
    over: tuple[str, ...]


def say(told: Told, view: View, at_ms: int, repeat_ms: int, *, sends_resolved: bool) -> Saying | None:
    """What to say to a channel; `told` is brought up to date."""
    over = tuple(name for name in view.over if name in told.alerts)
    to_tell = over if sends_resolved else ()
    reason = _reason(told, view, to_tell, at_ms - told.at_ms >= repeat_ms)
    for name in over:
        del told.alerts[name]
    told.quiet -= set(over)
    told.again -= set(over)
    if reason is None:
        return None
    told.at_ms, told.again = at_ms, frozenset()
    told.cared = told.cared and reason in ("some resolved", "repeat")
    told.alerts |= {name: member.rank for name, member in view.firing.items()}
    told.quiet = frozenset(name for name in view.quiet if name in told.alerts)
    return Saying(reason, tuple(view.firing), to_tell)


def say_care(told: Told, members: Members) -> Saying | None:
    """That somebody takes care of all that a channel was told of, or does not any more, where that is news to it."""
    known = tuple(name for name in told.alerts if name in members and members[name].active)
    cared = bool(known) and all(members[name].acknowledged for name in known)
    if not known or cared == told.cared:
        return None
    told.cared = cared
    return Saying("acknowledged" if cared else "unacknowledged", known, ())


def is_hushed(told: Told, view: View, at_ms: int, repeat_ms: int) -> bool:
    """Whether the same would be said again, if somebody did not take care of all of it."""
    is_due_again = at_ms - told.at_ms >= repeat_ms
    return is_due_again and bool(view.firing) and all(member.acknowledged for member in view.firing.values())


def _reason(told: Told, view: View, over: tuple[str, ...], is_due_again: bool) -> Reason | None:
    if view.firing and not told.alerts:
        return "first"
    if any(name not in told.alerts or name in told.quiet for name in view.firing):
        return "new"
    if any(member.rank > told.alerts[name] for name, member in view.firing.items()):
        return "worse"
    if any(name in told.again for name in view.firing):
        return "again"
    if over:
        return "some resolved" if len(told.alerts) > len(over) else "all resolved"
    if is_due_again and any(not member.acknowledged for member in view.firing.values()):
        return "repeat"
    return None
