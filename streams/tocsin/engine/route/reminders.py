"""Silences that end soon, as alerts: each command is a function of its silence, so a repeat does nothing."""

from collections.abc import Iterable
from typing import Any, Final

from tocsin.schemas.command import Command, Trigger
from tocsin.schemas.instant import format_instant
from tocsin.schemas.labels import alert_fingerprint, stable_id
from tocsin.schemas.silence import Silence

RULE_ID: Final = "tocsin_silence_ending"
SILENCE: Final = "silence"
_ACTOR: Final = "tocsin"


class Reminders:
    """What one worker reminds of; another one that goes on in its place may say the same once more."""

    def __init__(self) -> None:
        self._said: frozenset[str] = frozenset()

    def due(self, silences: Iterable[Silence], at_ms: int) -> list[Command]:
        """The commands that raise what is due at a time and was not raised before."""
        found = [reminder(one) for one in silences if one.reminds(at_ms)]
        new = [command for command in found if command.id not in self._said]
        self._said = frozenset(command.id for command in found)
        return new


def reminder(silence: Silence) -> Command:
    """Raises the alert that a silence ends soon; it is over when the silence is."""
    end = format_instant(silence.ends_at)
    matchers = ", ".join(map(str, silence.match))
    texts = {
        "summary": f"the silence {silence.id} ({matchers}) ends at {end}",
        "created_by": silence.created_by,
        "comment": silence.comment,
    }
    trigger = Trigger(
        rule_id=RULE_ID,
        rule_name="Silence ends soon",
        severity="info",
        category="tocsin",
        labels=_labels(silence),
        annotations={name: text for name, text in texts.items() if text},
        notifications=silence.reminder.notifications if silence.reminder else (),
    )
    return _command(silence, "trigger", silence.reminds_ms, trigger=trigger, until_ms=silence.ends_at)


def taken_back(silence: Silence, at_ms: int) -> Command:
    """Ends that alert before its time: the silence is another one now."""
    return _command(silence, "resolve", at_ms, comment="the silence was changed")


def _labels(silence: Silence) -> dict[str, str]:
    """Its end as well: one that was prolonged is another thing to be told of."""
    return {SILENCE: silence.id, "ends_at": format_instant(silence.ends_at)}


def _command(silence: Silence, kind: Any, at_ms: int, **more: Any) -> Command:
    return Command(
        id=stable_id("silence ends", kind, silence.id, silence.ends_at),
        type=kind,
        fingerprint=alert_fingerprint(RULE_ID, _labels(silence)),
        actor=_ACTOR,
        at_ms=at_ms,
        **more,
    )
