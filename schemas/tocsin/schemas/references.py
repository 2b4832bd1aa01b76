"""What people, schedules and policies name of each other: what is missing, and who needs what."""

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from tocsin.schemas.escalation import EscalationDocument, EscalationPolicy
from tocsin.schemas.oncall import Person, Schedule
from tocsin.schemas.problems import Path, Problem
from tocsin.schemas.topics import CHANNEL_TYPES

SINGULAR: Final = {
    "people": "person", "schedules": "schedule", "escalations": "escalation policy", "channels": "channel",
}  # fmt: skip
"""What one of a kind is called."""
Known = Mapping[str, Collection[str]]
"""Ids by kind. What may be named of a kind that is not among them is not judged."""


def named(document: EscalationDocument) -> Iterator[tuple[Path, str, str]]:
    """Everything that one names: where, of which kind, and its id."""
    if isinstance(document, Person):
        for place, contact in enumerate(document.contacts):
            yield ("contacts", place), "channels", contact.channel
    elif isinstance(document, Schedule):
        for place, layer in enumerate(document.layers):
            for number, person in enumerate(layer.people):
                yield ("layers", place, "people", number), "people", person
        for place, override in enumerate(document.overrides):
            yield ("overrides", place, "person"), "people", override.person
    else:
        yield from _named_by_policy(document)


def _named_by_policy(policy: EscalationPolicy) -> Iterator[tuple[Path, str, str]]:
    for place, step in enumerate(policy.steps):
        for number, target in enumerate(step.notify):
            path: Path = ("steps", place, "notify", number)
            if target.channel is not None:
                yield path, "channels", target.channel
            elif target.schedule is not None:
                yield (*path, "schedule"), "schedules", target.schedule
            elif target.person is not None:
                yield (*path, "person"), "people", target.person
    if policy.next_policy is not None:
        yield ("next_policy",), "escalations", policy.next_policy


def missing(document: EscalationDocument, known: Known, where: str) -> Iterator[Problem]:
    """What one names and there is not; `where` it was looked for, for people. A channel type stands for all of it."""
    for path, kind, name in named(document):
        if kind not in known or name in known[kind] or (kind == "channels" and name in CHANNEL_TYPES):
            continue
        near = difflib.get_close_matches(name, known[kind], n=1)
        mend = f"did you mean {near[0]!r}?" if near else "add it, or name another"
        yield path, f"there is no {SINGULAR[kind]} {name!r} {where}; {mend}"


def circles(document: EscalationDocument, others: Iterable[EscalationDocument]) -> Iterator[Problem]:
    """A policy whose `next_policy` leads back to it, by way of others; it would never end."""
    if not isinstance(document, EscalationPolicy):
        return
    after = {one.id: one.next_policy for one in others if isinstance(one, EscalationPolicy)}
    passed, at = [document.id], document.next_policy
    while at is not None and at not in passed:
        passed.append(at)
        at = after.get(at)
    if at == document.id:
        way = " to ".join(map(repr, (*passed, at)))
        yield ("next_policy",), f"leads back, from {way}, without end; remove it, and set repeat"


def users(kind: str, identity: str, documents: Iterable[tuple[str, EscalationDocument]]) -> list[str]:
    """Who names one, as `schedule 'primary'`; `documents` come with their kinds. Itself does not count."""
    return [
        f"{SINGULAR[of]} {one.id!r}"
        for of, one in documents
        if (of, one.id) != (kind, identity) and any(found[1:] == (kind, identity) for found in named(one))
    ]
