"""The world of one run: the log, the processes of each group, who owns what, and what was observed on the way."""

from collections.abc import Callable
from typing import Any, Final

from tocsin.engine.evaluate.state import PartitionState
from tocsin.engine.simulation.broker import (
    CHECKPOINTS,
    COMMANDS,
    RULES,
    SAMPLES,
    SIGNALS,
    Broker,
    Crashed,
    Violation,
)
from tocsin.engine.simulation.chance import Chance
from tocsin.engine.simulation.delivering import TYPES, DeliverProcess
from tocsin.engine.simulation.digest import difference, digest
from tocsin.engine.simulation.evaluating import EvaluateProcess
from tocsin.engine.simulation.routes import Document
from tocsin.engine.simulation.routing import Attempt, RouteProcess, Runs, notifications
from tocsin.engine.simulation.scenario import BEGIN_MS, GROUPS, Scenario
from tocsin.schemas.notification import Notification
from tocsin.schemas.rule import Rule

Process = EvaluateProcess | RouteProcess | DeliverProcess
_EVERYTHING: Final = 1_000_000
_ROUNDS: Final = 200  # of a drain; far more than any takes


class World:
    """Everything of one run. `rests` are, by samples partition, the offsets at which all was quiet, and whether for so
    long that every series counts as silent."""

    def __init__(self, scenario: Scenario, chance: Chance, trace: Callable[[str], None] | None = None) -> None:
        self.scenario, self.chance, self._trace = scenario, chance, trace
        self.broker = Broker()
        self.broker.clock_ms = BEGIN_MS
        self.processes: dict[str, list[Process]] = {group: [] for group in GROUPS}
        self.groups = scenario.groups
        self.paused: set[int] = set()
        self.joining: set[str] = set()  # groups with a member that has no partitions yet
        self.wanted = dict(scenario.processes)
        self.started = 0
        self.steps = 0
        self.produced: dict[tuple[int, int], list[tuple[int, int, float]]] = {}
        self.refused: set[tuple[int, int]] = set()
        self.garbled: set[tuple[str, int, int]] = set()  # on signals and commands
        self.edits: list[tuple[int, str, Rule | None]] = []
        self.rests: dict[int, list[tuple[int, bool]]] = {at: [] for at in range(scenario.partitions)}
        self.routings: list[tuple[int, Document | None]] = []  # each behind the number of its write
        self.silences: list[tuple[int, str, Document | None]] = []
        self.runs: dict[tuple[bool, int], list[Attempt]] = {}  # of lifecycle or not, and partition
        self._tried: dict[str, Attempt] = {}
        self.received: list[tuple[str, Notification]] = []
        self.failing: dict[str, int] = {}  # channel -> attempts that will fail
        self.refusing: set[str] = set()
        self.was_refused: set[str] = set()  # notification ids
        self.crashes = 0
        self._crash_state: dict[int, dict[str, Any]] = {}

    def say(self, text: Callable[[], str]) -> None:
        """One step of the schedule, for whoever traces it."""
        self.steps += 1
        if self._trace is not None:
            self._trace(f"{self.steps:4} {self.broker.clock_ms - BEGIN_MS:7} ms  {text()}")

    def start(self, group: str) -> Process:
        """A new process of a group, not assigned anything yet."""
        self.started += 1
        made: Process
        if group == "evaluate":
            made = EvaluateProcess(self.started, self.broker, self.scenario)
            made.on_replayed = self._replayed
            made.follow()
        elif group == "route":
            made = RouteProcess(self.started, self.broker, self.scenario, Runs(self._tried.__setitem__, self._counts))
            made.follow()
        else:
            made = DeliverProcess(self.started, self.broker, self.scenario)
            made.receive = self._receive
        self.processes[group].append(made)
        return made

    def running(self, group: str) -> list[Process]:
        """Processes that are alive and not paused."""
        return [process for process in self.processes[group] if process.number not in self.paused]

    def rebalance(self, group: str) -> None:
        """Spread a group's partitions over its running processes."""
        members = self.running(group)
        if not members:
            return
        self.joining.discard(group)
        self.broker.generations[group] = self.broker.generations.get(group, 0) + 1
        turn = self.chance.below(len(members))
        for index, process in enumerate(members):
            place = (index + turn) % len(members)
            if isinstance(process, EvaluateProcess):
                samples = range(place, self.scenario.partitions, len(members))
                process.assign(range(place, self.scenario.sources, len(members)), samples)
                process.replay_to = {at: state["offset"] for at, state in self._crash_state.items()}
                for partition in samples:
                    self.broker.owners[CHECKPOINTS, partition] = process.number
            elif isinstance(process, RouteProcess):
                process.assign(range(place, self.scenario.partitions, len(members)))
            else:
                places = [(notifications(kind), at) for kind in TYPES for at in range(self.scenario.partitions)]
                process.assign(places[place :: len(members)])

    def guarded(self, process: Process, act: Callable[[], None]) -> bool:
        """Let a process do something; False if it died of it, or stands still."""
        try:
            act()
        except Crashed:
            self.kill(process)
            return False
        if isinstance(process, RouteProcess) and process.is_still and process.number not in self.paused:
            self.say(lambda: f"{process.group} {process.number} stands still in a run")
            self.paused.add(process.number)
            return False
        return True

    def kill(self, process: Process) -> None:
        """The process is gone, and with it all that it had not written."""
        self.crashes += 1
        self.say(lambda: f"{process.group} {process.number} dies")
        if isinstance(process, EvaluateProcess):
            for partition, state in process.states.items():
                if state.offset > process.saved.get(partition, -1):
                    self._crash_state[partition] = digest(state)
        process.outbox.die(self.chance)
        self.processes[process.group].remove(process)
        self.paused.discard(process.number)

    def _replayed(self, partition: int, state: PartitionState) -> None:
        before = self._crash_state.pop(partition, None)
        if before is None or before["offset"] != state.offset:
            return
        after = digest(state)
        if after != before:
            raise Violation(
                "replay-equality",
                f"{SAMPLES}/{partition}@{state.offset}: {difference(before, after)} differ",
            )

    def _counts(self, name: str) -> None:
        """There is no way back from a run; its owner and whoever comes after it say so."""
        attempt = self._tried.pop(name, None)
        if attempt is not None:
            key = attempt.topic in (SIGNALS, COMMANDS), attempt.partition
            self.runs.setdefault(key, []).append(attempt)

    def _receive(self, told: Notification) -> bool | None:
        if self.failing.get(told.channel_id, 0) > 0:
            self.failing[told.channel_id] -= 1
            self.say(lambda: f"receiver {told.channel_id} fails")
            return False
        if told.channel_id in self.refusing:
            self.was_refused.add(told.id)
            return None
        self.received.append((told.channel_id, told))
        return True

    def heal(self) -> None:
        """All faults stop: every process that is wanted runs, and every receiver answers."""
        for group in self.groups:
            members = self.processes[group]
            is_whole = len(members) == self.wanted[group] and group not in self.joining
            is_whole = is_whole and not any(one.number in self.paused for one in members)
            for process in list(members):
                process.outbox.fuse = process.outbox.rest = None
                if isinstance(process, RouteProcess):
                    process.rest_in_run = None
                if not is_whole:
                    self.rejoin(process)
            if is_whole:
                continue
            while len(members) < self.wanted[group]:
                self.start(group)
            self.rebalance(group)
        self.failing.clear()
        self.refusing.clear()

    def rejoin(self, process: Process) -> None:
        """A process that was paused goes on, and then finds that its partitions went to others: what it had under way
        is gone, but for what it wrote before it knew."""
        if process.number in self.paused:
            self.paused.discard(process.number)
            self.joining.add(process.group)
            if isinstance(process, RouteProcess):
                process.outbox.rest = process.rest_in_run = None
                if not self.guarded(process, process.go_on):
                    return
            process.outbox.pending.clear()
            if isinstance(process, EvaluateProcess):
                process.assign((), ())
            else:
                process.assign(())

    def compact_rules(self) -> None:
        """Only the last record of each rule stays; not while that is unreadable: the one in force would be lost."""
        rules = self.broker.partition(RULES, 0)
        last = {record.key: record.offset for record in rules.records}
        written = {offset for offset, _, _ in self.edits}
        if written.issuperset(last.values()):
            rules.compact(rules.end)
            self.say(lambda: "rules are compacted")

    def drain(self) -> None:
        """Let everything be taken that is there; whoever dies of a fuse that still burns is replaced."""
        for _ in range(_ROUNDS):
            is_idle = True
            for group in self.groups:
                for process in list(self.processes[group]):
                    backlog = process.backlog()
                    is_idle = is_idle and not backlog
                    if not self.guarded(process, lambda one=process, found=backlog: _take_all(one, found)):  # type: ignore[misc]
                        self.replace(group)
                        break
            if is_idle:
                if not self._is_waiting():
                    return
                self.broker.clock_ms += 1_500
        raise Violation("liveness", "something is still under way long after the faults stopped")

    def replace(self, group: str) -> None:
        """Another process in the place of one that died."""
        made = self.start(group)
        self.rebalance(group)
        if isinstance(made, EvaluateProcess):
            made.tick()

    def _is_waiting(self) -> bool:
        return any(
            claim.jobs
            for process in self.processes["deliver"]
            if isinstance(process, DeliverProcess)
            for claim in process.claims.values()
        )


def _take_all(process: Process, backlog: list[tuple[str, int]]) -> None:
    for topic, partition in backlog:
        process.take(topic, partition, _EVERYTHING)
        if isinstance(process, RouteProcess) and process.is_still:
            return
    if not isinstance(process, RouteProcess):
        process.outbox.acknowledged()
