"""The oracle: from the log of samples, as it lies there, to every signal and event that must come of it.

It takes from the log only the order in which things were written, and which rules were in force; what follows from
that is in the models, which share no code with evaluate, lifecycle or route.
"""

from array import array
from typing import Final

from tocsin.engine.frame import ID_BYTES, Frame, Tick
from tocsin.engine.memory_log import LogRecord
from tocsin.engine.simulation.broker import SAMPLES, Violation, item_of
from tocsin.engine.simulation.model_alerts import AlertModel
from tocsin.engine.simulation.model_rules import RuleModel, Said
from tocsin.engine.simulation.routing import Attempt, input_of
from tocsin.engine.simulation.world import World
from tocsin.schemas.codec import UnreadableRecord
from tocsin.schemas.grouping import RouteTick
from tocsin.schemas.labels import alert_fingerprint
from tocsin.schemas.matcher import matches_all
from tocsin.schemas.rule import Rule
from tocsin.schemas.signal import Signal

_UNSEEN_MS: Final = -1
InForce = dict[str, tuple[Rule, int]]  # rule id -> rule, revision


class PartitionModel:
    """One samples partition: its series' samples in order of arrival, judged segment by segment."""

    def __init__(self, world: World, partition: int) -> None:
        self._world, self._partition = world, partition
        self._numbers = {one.identity: number for number, one in enumerate(world.scenario.series)}
        self.said: dict[str, list[Said]] = {}
        self.taken: dict[tuple[int, int], list[tuple[int, int, float]]] = {}
        self._models: dict[tuple[str, int], RuleModel] = {}
        self._arrived: dict[int, list[tuple[int, float]]] = {}
        self._latest_ms: dict[int, int] = {}
        self._in_force: InForce = {}
        self._end = 0
        self._is_silent = False

    def read(self) -> None:
        """The whole log."""
        rests = list(self._world.rests[self._partition])
        applied: dict[int, int] = {}
        for record in self._world.broker.partition(SAMPLES, self._partition).records:
            while rests and rests[0][0] <= record.offset:
                self._rest(rests.pop(0)[1])
            item = item_of(record.value or b"")
            if isinstance(item, Tick):
                if item.rules_offset > self._end:
                    self._switch(item.rules_offset, item.clock_ms)
                continue
            self._take(item, applied, record)
        for _, is_long in rests:
            self._rest(is_long)

    def _take(self, item: Frame, applied: dict[int, int], record: LogRecord) -> None:
        offsets, numbers = array("I", item.offsets), array("I", item.series)
        times, values = array("q", item.at_ms), array("d", item.values)
        known = applied.get(item.partition, -1)
        for offset, index, at_ms, value in zip(offsets, numbers, times, values, strict=True):
            place = item.base_offset + offset
            if place <= known:
                continue  # made again after a crash
            applied[item.partition] = place
            number = self._numbers.get(item.ids[index * ID_BYTES : (index + 1) * ID_BYTES])
            if number is None:
                raise Violation("none-invented", f"{SAMPLES}@{record.offset} holds a series that nobody wrote")
            self.taken.setdefault((item.partition, place), []).append((number, at_ms, value))
            self._arrived.setdefault(number, []).append((at_ms, value))
            self._is_silent = False

    def _flush(self) -> None:
        """Judge what arrived since the last change."""
        scenario = self._world.scenario
        for number, arrived in self._arrived.items():
            is_direct = scenario.sources == 1 or scenario.series[number].keyed
            in_order = sorted(arrived, key=lambda sample: sample[0])
            watching = [rule for rule, _ in self._in_force.values() if _watches(rule, self._labels(number))]
            models = [self._model(rule.id, number) for rule in watching]
            if watching:
                self._latest_ms[number] = max(in_order[-1][0], self._latest_ms.get(number, _UNSEEN_MS))
            for rule, model in zip(watching, models, strict=True):
                waits = rule.lateness_ms > 0 or not is_direct
                for at_ms, value in in_order if waits else arrived:
                    self._say(rule.id, number, model.take(at_ms, value))
        self._arrived.clear()

    def _labels(self, number: int) -> dict[str, str]:
        return self._world.scenario.series[number].labels

    def _model(self, rule_id: str, number: int) -> RuleModel:
        found = self._models.get((rule_id, number))
        if found is None:
            found = RuleModel(*self._in_force[rule_id], self._latest_ms.get(number, _UNSEEN_MS))
            for (_, other), model in self._models.items():
                if other == number and _watch_alike(model.rule, found.rule):  # what is late for one is so for both
                    found.window.newest_ms = max(found.window.newest_ms, model.window.newest_ms)
            self._models[rule_id, number] = found
        return found

    def _say(self, rule_id: str, number: int, said: list[Said]) -> None:
        if said:
            fingerprint = alert_fingerprint(rule_id, self._labels(number))
            self.said.setdefault(fingerprint, []).extend(said)

    def _rest(self, is_long: bool) -> None:
        self._flush()
        self._is_silent = self._is_silent or is_long
        for number, latest_ms in self._latest_ms.items():
            for rule, _ in self._in_force.values():
                if _watches(rule, self._labels(number)):
                    self._say(rule.id, number, self._model(rule.id, number).rest(is_long, latest_ms))

    def _switch(self, end: int, clock_ms: int) -> None:
        """Other rules are in force from here on."""
        self._flush()
        before, now = self._in_force, rules_at(self._world, end)
        for rule_id in before:
            reason = "rule deleted" if rule_id not in now else "" if now[rule_id][0].enabled else "rule disabled"
            for key in [key for key in self._models if key[0] == rule_id]:
                if reason:
                    self._say(*key, self._models.pop(key).stop(clock_ms, reason))
                else:
                    self._models[key].change(*now[rule_id])
        self._in_force = {rule_id: found for rule_id, found in now.items() if found[0].enabled}
        self._end = end
        for number in list(self._latest_ms):
            if not any(_watches(rule, self._labels(number)) for rule, _ in self._in_force.values()):
                del self._latest_ms[number]  # nobody watches it: forgotten
        if self._is_silent:
            self._silence_for(before)

    def _silence_for(self, before: InForce) -> None:
        for number, latest_ms in self._latest_ms.items():
            for rule_id, (rule, _) in self._in_force.items():
                if rule_id not in before and _watches(rule, self._labels(number)):
                    self._say(rule_id, number, self._model(rule_id, number).silence(latest_ms))


def _watches(rule: Rule, labels: dict[str, str]) -> bool:
    return matches_all(rule.match, labels)


def _watch_alike(one: Rule, other: Rule) -> bool:
    kinds = [(rule.match, rule.window, rule.lateness_ms, rule.condition == "absence") for rule in (one, other)]
    return kinds[0] == kinds[1]


def rules_at(world: World, end: int) -> InForce:
    """The rules written below an offset."""
    found: InForce = {}
    for offset, rule_id, rule in world.edits:
        if offset < end:
            if rule is None:
                found.pop(rule_id, None)
            else:
                found[rule_id] = rule, offset
    return found


class Oracle:
    """All that must have come of a run, up to the events of alerts."""

    def __init__(self, world: World) -> None:
        self.said: dict[str, list[Said]] = {}
        self.taken: dict[tuple[int, int], list[tuple[int, int, float]]] = {}
        self.alerts: dict[str, AlertModel] = {}
        for partition in range(world.scenario.partitions):
            model = PartitionModel(world, partition)
            model.read()
            self.said |= model.said
            for place, samples in model.taken.items():
                self.taken.setdefault(place, []).extend(samples)
        self._revisions = {offset: rule for offset, _, rule in world.edits if rule is not None}
        self._left = {fingerprint: list(reversed(said)) for fingerprint, said in self.said.items()}
        if "route" not in world.groups:
            return
        for partition in range(world.scenario.partitions):
            self._lifecycle(world.runs.get((True, partition), []))
        for fingerprint, left in self._left.items():
            while left:
                self._alert(fingerprint).hear(left.pop())

    def _alert(self, fingerprint: str) -> AlertModel:
        found = self.alerts.get(fingerprint)
        if found is None:
            found = self.alerts[fingerprint] = AlertModel(fingerprint, self._revisions.__getitem__)
        return found

    def _lifecycle(self, attempts: list[Attempt]) -> None:
        """Signals as foreseen; commands and time between them where lifecycle took them, each once."""
        known: set[tuple[str, object]] = set()
        mine: dict[str, AlertModel] = {}
        for topic, record in ((attempt.topic, record) for attempt in attempts for record in attempt.records):
            try:
                item = input_of(topic, record)
            except UnreadableRecord:
                continue
            if isinstance(item, RouteTick):
                for alert in mine.values():
                    alert.wait(item.at_ms)
                continue
            name: tuple[str, object]
            name = (
                (item.fingerprint, item.order) if isinstance(item, Signal) else (item.command.fingerprint, item.offset)
            )
            if name in known:
                continue
            known.add(name)
            model = mine[name[0]] = self._alert(name[0])
            if not isinstance(item, Signal):
                model.obey(item.command)
            elif left := self._left.get(name[0]):
                model.hear(left.pop())
