"""One run: phases of input and faults, with rests between them, and at the end a world without faults."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tocsin.engine.simulation import checkers
from tocsin.engine.simulation.broker import CHANNELS, INPUTS, METRICS, SAMPLES, Violation
from tocsin.engine.simulation.chance import Chance
from tocsin.engine.simulation.delivering import DeliverProcess
from tocsin.engine.simulation.evaluating import EvaluateProcess
from tocsin.engine.simulation.faults import Faults, wind_down
from tocsin.engine.simulation.producing import Producer
from tocsin.engine.simulation.routing import RouteProcess
from tocsin.engine.simulation.scenario import LONG_REST_MS, LULLS_MS, SHORT_REST_MS, draw
from tocsin.engine.simulation.world import Process, World
from tocsin.schemas.codec import encode_document

_SAMPLING: Final = ("evaluate", "evaluate", "evaluate", "route", "route", "deliver")
_ROUTING: Final = ("evaluate", "route", "route", "route", "route", "route", "deliver")
_MESSAGES: Final = (1, 2, 3, 4, 5, 6, 8, 20)  # of a round
_LEAST_STRIDE_MS: Final = 100
_RESTS_MS: Final = ((3_000,), (3_000,), (1_000, 20_000), (6_000, 70_000, 300_000))


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: the invariant that did not hold, if any, at which step, and what was seen. `inputs` are all
    records that producers, people and the API wrote."""

    seed: int
    steps: int
    invariant: str = ""
    detail: str = ""
    inputs: int = 0
    samples: int = 0
    events: int = 0
    crashes: int = 0

    def line(self) -> str:
        """The outcome in one line, with what repeats it."""
        if not self.invariant:
            return f"seed {self.seed}: {self.steps} steps, {self.samples} samples, {self.events} events, no violation"
        return (
            f"seed {self.seed} violates {self.invariant} at step {self.steps}: {self.detail}; "
            f"repeat: tocsin sim --seed {self.seed} --trace"
        )


def run(seed: int, trace: Callable[[str], None] | None = None) -> Outcome:
    """Run one seed. The same seed gives the same outcome, wherever and whenever."""
    chance = Chance(seed)
    world = World(draw(seed, chance), chance, trace)
    invariant = detail = ""
    try:
        _Schedule(world).play()
        checkers.at_the_end(world)
    except Violation as violation:
        invariant, detail = violation.invariant, violation.detail
    except Exception as error:
        if trace is not None:
            raise
        invariant, detail = "no-error", f"{type(error).__name__}: {error}"
    samples = sum(map(len, world.produced.values()))
    events = sum(len(found.records) for _, found in world.broker.of_topic("alerts"))
    inputs = sum(found.end for (topic, _), found in world.broker.partitions.items() if topic in INPUTS)
    return Outcome(seed, world.steps, invariant, detail, inputs, samples, events, world.crashes)


class _Schedule:
    def __init__(self, world: World) -> None:
        self._world, self._chance = world, world.chance
        self._producer = Producer(world)
        self._watch = checkers.Watch(world)
        self._faults = Faults(world, self._people)
        self._faulty = bool(world.scenario.swarm.faults)
        weighted = _ROUTING if world.scenario.is_about_routes else _SAMPLING
        self._groups = [group for group in weighted if group in world.groups]

    def play(self) -> None:
        chance, world = self._chance, self._world
        self._begin()
        phases = world.scenario.swarm.rounds
        for phase, rounds in enumerate(phases, 1):
            for _ in range(rounds):
                self._round()
            is_last = phase == len(phases)
            is_long = is_last or world.scenario.has_lulls
            self._rest(is_long or (not world.scenario.is_instant and chance.happens(20)))
            if not is_last and chance.happens(80):
                self._change_rules()

    def _begin(self) -> None:
        world = self._world
        world.say(lambda: f"configuration: {world.scenario}")
        for channel in world.scenario.channels:
            world.broker.append(CHANNELS, 0, channel.id.encode(), encode_document(channel))
        for rule in world.scenario.rules:
            self._producer.put(rule.id, rule)
        if world.scenario.routing:
            self._producer.put_routing(world.scenario.routing)
        for group in world.groups:
            for _ in range(world.wanted[group]):
                world.start(group)
            world.rebalance(group)
        self._tick_all()

    def _tick_all(self, only_readers: bool = False) -> None:
        for process in self._world.running("evaluate"):
            assert isinstance(process, EvaluateProcess)
            if process.sources or not only_readers:
                process.tick()
                process.outbox.acknowledged()

    def _follow_all(self) -> None:
        """Configuration is read before what it concerns may be compacted: a tombstone stays for a day."""
        for process in (*self._world.processes["evaluate"], *self._world.processes["route"]):
            assert not isinstance(process, DeliverProcess)
            process.follow()

    def _change_rules(self) -> None:
        """Let every evaluate process read the rules, and time carry them; a moment later silence is looked for."""
        if "evaluate" not in self._world.groups:
            return
        self._producer.edit()
        self._follow_all()
        self._tick_all()
        self._world.broker.clock_ms += 1_000
        self._tick_all()
        self._world.drain()

    def _round(self) -> None:
        chance, producer = self._chance, self._producer
        if "evaluate" in self._world.groups:
            self._messages()
        if self._world.paused and chance.happens(50):
            self._faults.resume()
        if self._faulty and chance.happens(65):
            self._faults.strike()
        if "route" in self._world.groups:
            self._people()
        if self._world.scenario.is_instant and chance.happens(20) and "evaluate" in self._world.groups:
            producer.edit()
        for _ in range(chance.between(1, 5)):
            self._act()
        self._watch.look()

    def _messages(self) -> None:
        chance, producer = self._chance, self._producer
        if self._world.scenario.has_lulls and chance.happens(40):
            self._world.broker.clock_ms += chance.one_of(LULLS_MS)
            self._world.say(lambda: "producers were silent")
        count = chance.below(4) if self._world.scenario.is_about_routes else chance.one_of(_MESSAGES)
        producer.samples(count)
        self._world.say(lambda: f"{count} messages")
        if self._world.scenario.has_lulls and chance.happens(20):
            self._fall_behind()

    def _people(self) -> None:
        """What people do: about alerts, silences and routes."""
        chance, producer = self._chance, self._producer
        if chance.happens(2):
            producer.garble()
        if not self._world.scenario.is_about_routes:
            if chance.happens(25):
                producer.command()
            return
        for _ in range(chance.between(1, 4)):
            self._world.broker.clock_ms += chance.one_of((0, 200, 900, 2_500))
            {"command": producer.command, "silence": producer.silence, "route": producer.route}[
                chance.one_of(self._world.scenario.swarm.deeds)
            ]()

    def _act(self) -> None:
        """One process does one thing."""
        chance, world = self._chance, self._world
        group = chance.one_of(self._groups)
        members = world.running(group)
        if not members:
            if len(world.processes[group]) < world.wanted[group]:
                world.start(group)
                world.rebalance(group)
            return
        process = chance.one_of(members)
        if not world.guarded(process, lambda: self._do(process)):
            if process.number in world.paused and chance.happens(20):
                return  # not for so long that the group would notice
            if chance.happens(50):
                world.start(group)
            world.rebalance(group)

    def _do(self, process: Process) -> None:
        chance = self._chance
        if isinstance(process, EvaluateProcess):
            self._evaluate(process)
        elif isinstance(process, RouteProcess):
            self._route(process)
        else:
            self._faults.take(process)
        if chance.happens(30) and process.number not in self._world.paused:
            process.commit()
            self._world.say(lambda: f"{process.group} {process.number} commits")
            self._watch.committed()

    def _route(self, process: RouteProcess) -> None:
        chance = self._chance
        if chance.happens(20):
            process.follow()
        if chance.happens(40):
            process.tick()
            self._world.say(lambda: f"route {process.number} ticks")
        for _ in range(chance.between(1, 3)):
            self._faults.take(process)
            if process.is_still:
                return

    def _evaluate(self, process: EvaluateProcess) -> None:
        chance = self._chance
        if chance.happens(40):
            process.follow()
        self._faults.take(process, METRICS)
        if chance.happens(50) or not process.has_ticked:
            process.tick()
            self._world.say(lambda: f"evaluate {process.number} ticks")
        if chance.happens(20):
            process.commit()
            self._watch.committed()
        if chance.happens(50):
            process.mark()
        if chance.happens(60):
            process.outbox.acknowledged()
            self._faults.take(process, SAMPLES)
        if chance.happens(30):
            process.outbox.acknowledged()
        if chance.happens(40) and process.samples:
            partition = chance.one_of(process.samples)
            process.save(partition)
            self._world.say(lambda: f"evaluate {process.number} saves {partition}")

    def _rest(self, is_long: bool) -> None:
        """Faults stop; everything is taken; then time goes by without input."""
        world = self._world
        world.say(lambda: f"faults stop; a {'long' if is_long else 'short'} rest")
        world.heal()
        world.scenario.clock_error_ms = 0
        self._follow_all()
        self._tick_all()
        if self._faulty and self._chance.happens(40):
            self._die_catching_up()
            world.drain()
            world.heal()
        world.drain()
        if world.scenario.is_instant and not self._has_silence():
            self._rest_of_routes()
            return
        is_long = is_long and self._has_silence()
        self._tick_all()
        world.drain()  # what this tick counts for says by how much time may go on
        self._pass(LONG_REST_MS if is_long else SHORT_REST_MS)
        world.broker.clock_ms += 1_000  # silence is looked for once a second, by the first tick of it
        self._tick_all()
        self._tick_routes()
        world.drain()
        self._end_rest(is_long)

    def _pass(self, left: int) -> None:
        """Time goes by in steps that are counted in full; who reads nothing ticks only at the end."""
        stride_ms = self._first_stride_ms()
        while left > 0:
            self._world.broker.clock_ms += stride_ms
            left -= stride_ms
            stride_ms = min(2 * stride_ms, self._world.scenario.timing.stride_ms)
            self._tick_all(only_readers=left > 0)

    def _fall_behind(self) -> None:
        """Time goes by while something of the metrics is unread by us: that is no series' silence."""
        running = self._world.running("evaluate")
        if any(process.outbox.fuse is not None for process in running):
            return
        if any(topic == METRICS for process in running for topic, _ in process.backlog()):
            self._world.say(lambda: "evaluate reads nothing for a while")
            self._pass(LONG_REST_MS)

    def _rest_of_routes(self) -> None:
        """Nothing waits for time but route."""
        for ms in self._chance.one_of(_RESTS_MS) if "route" in self._world.groups else ():
            self._world.broker.clock_ms += ms
            self._tick_routes()
            self._world.drain()
        self._end_rest(is_long=False)

    def _tick_routes(self) -> None:
        for one in self._world.processes["evaluate"]:
            assert isinstance(one, EvaluateProcess)
            one.mark()
        for process in self._world.processes["route"]:
            assert isinstance(process, RouteProcess)
            process.tick()

    def _end_rest(self, is_long: bool) -> None:
        world = self._world
        for partition, rests in world.rests.items():
            rests.append((world.broker.partition(SAMPLES, partition).end, is_long))
        self._watch.look()
        if self._chance.happens(30):
            self._settle_down()

    def _first_stride_ms(self) -> int:
        """By how much the clock may go on: a tick counts at most twice the time of the one before, and it takes a few
        until a partition that is still follows the others."""
        scenario, steps = self._world.scenario, []
        for process in self._world.processes["evaluate"]:
            assert isinstance(process, EvaluateProcess)
            for topic in (topic for state in process.states.values() for topic in state.topics.values()):
                steps += [2 * source.step_ms or scenario.timing.stride_ms for source in topic.sources.values()]
        are_all_known = len(steps) == scenario.partitions * scenario.sources
        return min(*steps, scenario.timing.idle_ms) if are_all_known else _LEAST_STRIDE_MS

    def _die_catching_up(self) -> None:
        """One more process dies, while all there is is taken at once."""
        process = self._chance.one_of(self._world.processes[self._chance.one_of(self._world.groups)])
        if isinstance(process, RouteProcess) and self._chance.happens(50):
            self._faults.stop_still(process)
            return
        fuse = process.outbox.fuse = self._chance.below(self._chance.one_of((4, 12, 30)))
        self._world.say(lambda: f"{process.group} {process.number} will die after {fuse} writes")

    def _has_silence(self) -> bool:
        return any(rule.on_no_data != "keep" or rule.condition == "absence" for rule in self._world.scenario.rules)

    def _settle_down(self) -> None:
        """Everything is saved and committed; then what nobody needs any more may be compacted away."""
        world = self._world
        for group in world.groups:
            for process in world.processes[group]:
                wind_down(process)
        self._watch.committed()
        if self._chance.happens(50):
            world.compact_rules()
