"""Files of rule tests: reading them, running them, and saying what differs."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from tocsin.cli import escalation_files
from tocsin.cli.failures import Failure, wrong_usage
from tocsin.cli.files import Found, in_order, line, lines, read_document, read_rules, take
from tocsin.cli.routing_files import read_routing
from tocsin.cli.rulebooks import cross_checked
from tocsin.documents import Document, Location
from tocsin.schemas.channel import Channel
from tocsin.schemas.escalation import KINDS, EscalationDocument
from tocsin.schemas.route import Routing
from tocsin.schemas.rule import Rule
from tocsin.terminal import escape

if TYPE_CHECKING:
    from tocsin.engine.testing import Difference, RuleTest, Suite


@dataclass(frozen=True, slots=True)
class SuiteFile:
    """A file of tests that is sound, with the rules and channels that it tests."""

    document: Document
    suite: Suite
    rules: Sequence[Rule]
    channels: Sequence[Channel] | None
    routing: Routing | None
    escalations: Collection[EscalationDocument]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One test that was run."""

    file: SuiteFile
    place: int
    test: RuleTest
    differences: Sequence[Difference]

    @property
    def where(self) -> str:
        """`tests/api.yaml:12`, where the test stands."""
        return self.file.document.where(("tests", self.place))

    def document(self) -> dict[str, Any]:
        """As values for programs."""
        return {
            "file": self.file.document.name,
            "line": self.file.document.mark(("tests", self.place)).line,
            "name": self.test.name,
            "passed": not self.differences,
            "differences": [self._entry(one) for one in self.differences],
        }

    def _entry(self, one: Difference) -> dict[str, Any]:
        from tocsin.schemas.duration import format_duration

        mark = self.file.document.mark(("tests", self.place, *one.path))
        return {
            "line": mark.line,
            "column": mark.column,
            "at": format_duration(one.at_ms),
            "subject": one.subject,
            "fields": [{"field": row.field, "expected": row.expected, "actual": row.actual} for row in one.rows],
        }


def read_suites(paths: Sequence[Path]) -> list[SuiteFile]:
    """Files of tests. Raises Failure with every mistake in all of them and in the rules that they test."""
    mistakes: list[str] = []
    found = [suite for path in paths for suite in _suites(path, mistakes)]
    if mistakes:
        raise Failure(*in_order(list(dict.fromkeys(mistakes))))
    return found


def run_suites(files: Sequence[SuiteFile], names: Sequence[str]) -> list[Outcome]:
    """Runs the tests whose name holds one of `names`, all without any."""
    chosen = [
        (file, place, test)
        for file in files
        for place, test in enumerate(file.suite.tests)
        if not names or any(name in test.name for name in names)
    ]
    if not chosen:
        known = [test.name for file in files for test in file.suite.tests]
        near = difflib.get_close_matches(names[0], known, n=1, cutoff=0)
        wrong_usage(f"--run: no test has {names[0]!r} in its name; there is {near[0]!r}")
    return [Outcome(file, place, test, _differences(file, test)) for file, place, test in chosen]


def _differences(file: SuiteFile, test: RuleTest) -> Sequence[Difference]:
    from tocsin.engine.testing import outcome

    return outcome(
        test,
        file.rules,
        file.channels,
        file.suite.interval,
        routing=file.routing,
        escalations=file.escalations,
    )


def _suites(path: Path, mistakes: list[str]) -> Iterator[SuiteFile]:
    from tocsin.engine.testing import Suite

    document = read_document(path, mistakes)
    if document is None:
        return
    if not isinstance(document.value, dict):
        mistakes.append(line(document, (), (), "must hold rules and tests; write rules: [...] and tests: [...]"))
        return
    before = len(mistakes)
    rules = _rules(document, path, mistakes)
    channels = _channels(document, mistakes)
    routing = _routing(document, path, mistakes)
    escalations = _escalations(document, path, mistakes)
    try:
        suite = Suite.model_validate(document.value)
    except ValidationError as error:
        mistakes += lines(document, (), error, Suite)
        return
    names = {rule.id for rule in rules}
    if len(mistakes) == before:
        mistakes += _unknown_rules(document, suite, names)
    yield SuiteFile(document, suite, rules, channels, routing, escalations)


def _rules(document: Document, path: Path, mistakes: list[str]) -> list[Rule]:
    """The rules of a file and of those that it names, which are relative to it."""
    found: Found[Rule] = Found()
    named = document.value.get("rule_files")
    given = document.value.get("rules")
    if isinstance(named, list) and all(isinstance(name, str) for name in named):
        beside = path.parent if str(path) != "-" else Path()
        found = read_rules([beside / name for name in named])
    for place, value in enumerate(given if isinstance(given, list) else ()):
        take(document, ("rules", place), value, Rule, found)
    try:
        return [placed.entry for placed in cross_checked(found)]
    except Failure as failure:
        mistakes += failure.lines
        return []


def _routing(document: Document, path: Path, mistakes: list[str]) -> Routing | None:
    """The routes of a file, or of one that it names, which is relative to it; None where it leaves them out."""
    given, named = document.value.get("routing"), document.value.get("routing_file")
    try:
        if named and isinstance(named, str):
            return read_routing((path.parent if str(path) != "-" else Path()) / named)[0]
        return Routing.model_validate(given) if isinstance(given, dict) else None
    except Failure as failure:
        mistakes += failure.lines
    except ValidationError as error:
        mistakes += lines(document, ("routing",), error, Routing)
    return None


def _escalations(document: Document, path: Path, mistakes: list[str]) -> list[EscalationDocument]:
    """People, schedules and policies of a file and of those that it names, which are relative to it."""
    found: dict[str, Found[Any]] = {}
    names = document.value.get("escalation_files")
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        beside = path.parent if str(path) != "-" else Path()
        found |= escalation_files.read([beside / name for name in names], "escalations")
    for kind, model in KINDS.items():
        given = document.value.get(kind)
        for place, value in enumerate(given if isinstance(given, list) else ()):
            take(document, (kind, place), value, model, found.setdefault(kind, Found()))
    try:
        return [one for entries in escalation_files.checked(found).values() for one in entries]
    except Failure as failure:
        mistakes += failure.lines
        return []


def _channels(document: Document, mistakes: list[str]) -> list[Channel] | None:
    """The channels that a file gives; None where it leaves them open."""
    given = document.value.get("channels")
    if not isinstance(given, list):
        return None
    found: Found[Channel] = Found()
    for place, value in enumerate(given):
        take(document, ("channels", place), value, Channel, found)
    mistakes += found.mistakes
    return [placed.entry for placed in found.entries.values()]


def _unknown_rules(document: Document, suite: Suite, known: Collection[str]) -> Iterator[str]:
    """Says of each name in expectations and commands that is no rule's."""
    for location, name in _named(suite):
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            mend = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known))}"
            yield line(document, (), location, f"{name!r} is none of the rules; {mend}")


def _named(suite: Suite) -> Iterator[tuple[Location, str]]:
    for place, test in enumerate(suite.tests):
        for number, act in enumerate(test.commands):
            yield ("tests", place, "commands", number, "rule"), act.rule
        for number, one in enumerate(test.expect):
            around: Location = ("tests", place, "expect", number)
            for index, alert in enumerate(one.alerts or ()):
                yield (*around, "alerts", index, "rule"), alert.rule
            for index, told in enumerate(one.notifications or ()):
                if told.rule is not None:
                    yield (*around, "notifications", index, "rule"), told.rule
            for selector in one.states or ():
                yield (*around, "states", selector), selector.partition("{")[0].strip()


def said(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Lines for people: one for each test, and below one that failed what differs, side by side."""
    for one in outcomes:
        yield escape(f"{'FAIL' if one.differences else 'ok':4}  {one.where}  {one.test.name}")
        for difference in one.differences:
            yield from map(escape, _side_by_side(one, difference))


def _side_by_side(one: Outcome, difference: Difference) -> Iterator[str]:
    from tocsin.schemas.duration import format_duration

    where = one.file.document.at(("tests", one.place, *difference.path))
    yield f"      {where}: at {format_duration(difference.at_ms)}: {difference.subject}"
    rows = [("", "expected", "actual"), *((row.field, row.expected, row.actual) for row in difference.rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for field, expected, actual in rows:
        yield f"        {field:{widths[0]}}  {expected:{widths[1]}}  {actual}".rstrip()
