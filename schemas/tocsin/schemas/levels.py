"""What is wrong with levels, each by itself and against the next: paths and texts, as `Wrong` takes them."""

from tocsin.schemas.kinds import Level
from tocsin.schemas.problems import Path, Problem


def is_farther(operator: str | None, milder: Level, worse: Level) -> bool:
    """Whether a value must go farther for the worse of two levels."""
    assert milder.threshold is not None
    assert worse.threshold is not None
    if operator in ("gt", "gte"):
        return worse.threshold > milder.threshold
    return worse.threshold < milder.threshold if operator in ("lt", "lte") else False


def level_problems(kind: str | None, place: int, level: Level) -> list[Problem]:
    """What one level must say, and must not, under a kind of rule."""
    ends = {"lower": level.lower, "upper": level.upper}
    if kind != "range":
        problems: list[Problem] = [
            ((place, name), "belongs to condition range; remove it") for name, end in ends.items() if end is not None
        ]
        return problems + ([((place, "threshold"), "is missing; add it")] if level.threshold is None else [])
    problems = [((place, name), "is missing; a range has two ends") for name, end in ends.items() if end is None]
    if level.threshold is not None:
        problems.append(((place, "threshold"), "does not go with condition range; remove it"))
    return problems + crossed((place,), level.lower, level.upper)


def crossed(around: Path, lower: float | None, upper: float | None) -> list[Problem]:
    """What is wrong with the ends of a range."""
    if lower is None or upper is None or lower < upper:
        return []
    return [((*around, "lower"), f"{lower:g} must be below upper {upper:g}; exchange them")]


def recovery_problems(operator: str, step: Level, around: Path) -> list[Problem]:
    """What is wrong with where an alert ends."""
    threshold, recovery = step.threshold, step.recovery_threshold
    if recovery is None:
        return []
    path = (*around, "recovery_threshold")
    if threshold is None:
        return [(path, "goes with a threshold only; remove it")]
    if operator in ("eq", "neq"):
        return [(path, "does not go with eq or neq; leave it out")]
    if operator in ("gt", "gte") and recovery > threshold:
        return [(path, f"{recovery:g} lies above threshold {threshold:g}; set it at or below")]
    if operator in ("lt", "lte") and recovery < threshold:
        return [(path, f"{recovery:g} lies below threshold {threshold:g}; set it at or above")]
    return []
