"""People, schedules and policies that are in force, and whom a step reaches."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tocsin.engine.escalate.rota import Rota
from tocsin.schemas.escalation import EscalationDocument, EscalationPolicy, Target, kind_of
from tocsin.schemas.interval import zone
from tocsin.schemas.kinds import Severity
from tocsin.schemas.oncall import Person, Schedule


@dataclass(frozen=True, slots=True)
class Reached:
    """Whom targets lead to: people, names of channels, and a reason for each target that leads to nobody."""

    people: tuple[str, ...]
    channels: tuple[str, ...]
    missed: tuple[str, ...]


@dataclass(slots=True)
class Directory:
    """Everything by id."""

    policies: dict[str, EscalationPolicy] = field(default_factory=dict)
    rotas: dict[str, Rota] = field(default_factory=dict)
    people: dict[str, Person] = field(default_factory=dict)

    def put(self, key: str, document: EscalationDocument | None) -> None:
        """Set or delete one, by the key of its record."""
        kind, identity = kind_of(key)
        kept: dict[str, dict[str, Any]] = {
            "people": self.people, "schedules": self.rotas, "escalations": self.policies,
        }  # fmt: skip
        kept[kind].pop(identity, None)
        if isinstance(document, Person):
            self.people[identity] = document
        elif isinstance(document, Schedule):
            self.rotas[identity] = Rota(document, zone(document.time_zone))
        elif document is not None:
            self.policies[identity] = document

    def reach(self, targets: Iterable[Target], severity: Severity, at_ms: int) -> Reached:
        """Whom targets lead to at a time, for an alert of a severity."""
        people: dict[str, None] = {}
        channels: dict[str, None] = {}
        missed: list[str] = []
        for target in targets:
            if target.channel is not None:
                channels[target.channel] = None
                continue
            name, why = self._person(target, at_ms)
            person = self.people.get(name) if name else None
            found = person.channels(severity) if person else []
            if name and person is None:
                why = f"there is no person {name!r}"
            elif person and not found:
                why = f"{name} has no contact for {severity.value} alerts"
            if why:
                missed.append(why)
            else:
                people[name] = None
                channels |= dict.fromkeys(found)
        return Reached(tuple(people), tuple(channels), tuple(missed))

    def _person(self, target: Target, at_ms: int) -> tuple[str, str]:
        """A name, or why there is none."""
        if target.schedule is None:
            return target.person or "", ""
        rota = self.rotas.get(target.schedule)
        if rota is None:
            return "", f"there is no schedule {target.schedule!r}"
        name = rota.on_call(at_ms)
        return (name, "") if name else ("", f"nobody is on call by {target.schedule}")
