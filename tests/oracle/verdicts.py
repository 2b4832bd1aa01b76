"""All signals that one series must give for one rule."""

from __future__ import annotations

from tests.oracle.aggregates import Samples
from tests.oracle.derived import changes, forecasts
from tests.oracle.machine import Machine, Verdict
from tests.oracle.rhythm import Rhythm
from tests.oracle.windows import last_end_ms, values_of

from tocsin.schemas.rule import Rule


def verdicts(rule: Rule, samples: Samples, until_ms: int) -> list[Verdict]:
    """The signals of a series whose samples (time, value) are in order of time, and which then is silent until a time
    so far off that all its windows are over."""
    if rule.condition == "absence":
        return absences(rule, samples, until_ms)
    values = values_of(rule, samples)
    if rule.condition == "change":
        values = changes(rule, values)
    if rule.condition == "trend":
        values = forecasts(rule, values)
    machine = Machine(rule)
    is_aligned = rule.window is not None and rule.window.type in ("tumbling", "hopping")
    silences = _silences(rule, samples, until_ms)
    for value in values:
        # A window ends before what follows it; a sample is part of what follows a silence.
        while silences and silences[0][1] + is_aligned <= value.at_ms:
            machine.fall_silent(*silences.pop(0))
        machine.judge(value.at_ms, value.value, value.samples)
    for silence in silences:
        machine.fall_silent(*silence)
    return machine.said


def _silences(rule: Rule, samples: Samples, until_ms: int) -> list[tuple[int, int]]:
    """(begin, when it counts) of every stretch without samples that says something."""
    found = []
    for (at_ms, _), next_ms in zip(samples, [*(at for at, _ in samples[1:]), until_ms], strict=True):
        due_ms = max(at_ms + rule.no_data_after, last_end_ms(rule, at_ms))
        if due_ms <= next_ms:
            found.append((at_ms, due_ms))
    return found


def absences(rule: Rule, samples: Samples, until_ms: int) -> list[Verdict]:
    """The signals of a rule about gaps: a series is gone when it has been silent for too long, and back with the next
    sample. What a cooldown holds back is said when that is over, if the series is still gone."""
    machine, rhythm = Machine(rule), Rhythm(rule)
    for (at_ms, _), next_ms in zip(samples, [*(at for at, _ in samples[1:]), until_ms], strict=True):
        machine.judge(at_ms, 0.0, 0)
        rhythm.note(at_ms)
        due_ms = rhythm.gone_ms()
        if due_ms is not None and due_ms <= next_ms:
            machine.judge(due_ms, 1.0, 0)
            if machine.stages[0].waits and machine.may_fire_at(0, False) <= next_ms:
                machine.judge(machine.may_fire_at(0, False), 1.0, 0)
    return machine.said
