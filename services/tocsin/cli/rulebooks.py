"""Rules that name each other: whether all that composites are over is there, and none is over itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tocsin.cli.files import Found, Placed, in_order, read_rules
from tocsin.schemas.composites import member_problems
from tocsin.schemas.rule import Rule
from tocsin.schemas.rule_doubts import doubts


def read_sound_rules(paths: Sequence[Path]) -> Found[Rule]:
    """Rules of files, which may be over others in force. Raises Failure with every mistake, those between them too."""
    found = read_rules(paths)
    if found.mistakes:
        cross_checked(found)
    return found


def cross_checked(found: Found[Rule], elsewhere: Mapping[str, Rule | None] | None = None) -> list[Placed[Rule]]:
    """All rules of files. Raises Failure with every mistake in each and between them.

    `elsewhere` are the rules in force, which the files need not hold (None for one that cannot be read); without it
    only the files count.
    """
    known: dict[str, Rule | None] = dict(elsewhere or {})
    known |= {rule_id: placed.entry for rule_id, placed in found.entries.items()}
    where = "in the files" if elsewhere is None else "in the files, nor in force"
    for placed in found.entries.values():
        found.mistakes += [
            placed.line(path, text) for path, text in member_problems(placed.entry, known, where, found.unsound)
        ]
    return found.sound()


def doubtful(rules: Sequence[Placed[Rule]]) -> list[str]:
    """A line for everything that has no effect in sound rules."""
    known = {placed.entry.id: placed.entry for placed in rules}
    return in_order([placed.line(path, text) for placed in rules for path, text in doubts(placed.entry, known)])
