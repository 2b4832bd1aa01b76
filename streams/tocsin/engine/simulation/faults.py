"""What goes wrong: processes die, stop, stand still, come and go; receivers, clocks and compaction do what they do."""

from collections.abc import Callable

from tocsin.engine.simulation.broker import COMPACTED, METRICS, ROUTES, RULES, SAMPLES, SILENCES, STATES, Partition
from tocsin.engine.simulation.evaluating import EvaluateProcess
from tocsin.engine.simulation.routing import RouteProcess, alert_in
from tocsin.engine.simulation.world import Process, World


class Faults:
    """The faults of one run. `people` let something happen meanwhile."""

    def __init__(self, world: World, people: Callable[[], None]) -> None:
        self._world, self._chance, self._people = world, world.chance, people

    def take(self, process: Process, only: str = "") -> None:
        """Let a process take something of a partition, of one topic or of any."""
        backlog = [place for place in process.backlog() if only in ("", place[0])]
        if not backlog:
            return
        topic, partition = self._chance.one_of(backlog)
        limit = self._chance.one_of((2, 20, 1_000))
        process.take(topic, partition, limit)
        self._world.say(lambda: f"{process.group} {process.number} takes {topic}/{partition}, at most {limit}")

    def strike(self) -> None:
        """One fault."""
        chance, world = self._chance, self._world
        if world.scenario.swarm.overtakes and chance.happens(75):
            self._overtake()
            return
        kind = chance.one_of(world.scenario.swarm.faults)
        group = chance.one_of((world.groups[0], *world.groups))
        group = "deliver" if world.failing and chance.happens(50) else group
        group = "route" if world.scenario.is_about_routes and chance.happens(60) else group
        members = world.running(group)
        if kind == "crash" and members:
            self._crash(chance.one_of(members))
        elif kind == "pause" and members:
            self._pause(chance.one_of(members))
        elif kind == "rescale":
            self._rescale(group, chance.one_of((1, 2, 3)))
        elif kind == "rebalance":
            world.say(lambda: f"{group} rebalances")
            world.rebalance(group)
        elif kind == "stop" and members:
            self._stop(chance.one_of(members))
        else:
            self._disturb(kind)

    def _crash(self, process: Process) -> None:
        """One dies some writes later, or after it took, and while it says, saves and commits what came of that."""
        chance, world = self._chance, self._world
        fuse = chance.below(chance.one_of((3, 6, 20)))
        world.say(lambda: f"{process.group} {process.number} will die after {fuse} writes")
        if chance.happens(30):
            process.outbox.fuse = fuse
        elif not world.guarded(process, lambda: self._work(process, fuse)):
            world.replace(process.group)

    def _work(self, process: Process, fuse: int) -> None:
        if isinstance(process, EvaluateProcess):
            self._evaluate(process, fuse)
        else:
            process.outbox.fuse = fuse
            self.take(process)
        process.commit()
        if not isinstance(process, RouteProcess):
            process.outbox.acknowledged()

    def _evaluate(self, process: EvaluateProcess, fuse: int) -> None:
        self.take(process, METRICS)
        process.tick()
        if not self._chance.happens(60):
            process.outbox.fuse = fuse
            return
        process.outbox.acknowledged()
        self.take(process, SAMPLES)
        process.outbox.fuse = fuse
        for partition in process.samples:
            process.save(partition)
        if self._chance.happens(50):
            process.outbox.fuse = 0

    def _overtake(self) -> None:
        """An owner stands still in a run, others go on with its partitions, and then it goes on as if nothing had
        been."""
        chance, world = self._chance, self._world
        members = world.running("route")
        if not members:
            return
        process = chance.one_of(members)
        assert isinstance(process, RouteProcess)
        if chance.happens(50) or not process.backlog():
            self._people()
        process.rest_in_run = 1 if chance.happens(35) else chance.below(9)
        if world.guarded(process, lambda: self.take(process)):
            return
        if len(members) == 1:
            world.start("route")
        world.rebalance("route")
        self._go_on_without()
        if process.number in world.paused:
            world.say(lambda: f"route {process.number} goes on")
            world.rejoin(process)
            if chance.happens(50):
                world.rebalance("route")

    def _go_on_without(self) -> None:
        chance, world = self._chance, self._world
        if chance.happens(70):
            self._people()
        for process in world.running("route"):
            assert isinstance(process, RouteProcess)
            for _ in range(chance.between(1, 5)):
                if chance.happens(25):
                    world.broker.clock_ms += chance.one_of((500, 3_000, 25_000))
                    if not world.guarded(process, process.tick):
                        break
                if not world.guarded(process, lambda one=process: self.take(one)):  # type: ignore[misc]
                    break

    def _disturb(self, kind: str) -> None:
        """Faults of the world around."""
        chance, world = self._chance, self._world
        channel = chance.one_of(world.scenario.channels).id
        if kind == "receiver":
            world.failing[channel] = chance.between(2, 9)
            self._hand_over()
        elif kind == "refusal":
            world.refusing.add(channel)
        elif kind == "compaction":
            self._compact()
        elif kind == "clock" and world.scenario.may_jump:
            world.scenario.clock_error_ms = chance.one_of((-300_000, -3_000, 0, 3_000, 300_000))
        world.say(lambda: f"{kind} {channel}, clock error {world.scenario.clock_error_ms} ms")

    def _hand_over(self) -> None:
        """Partitions go from one to another while notifications of them wait to be tried again."""
        world = self._world
        for process in world.running("deliver"):
            if not world.guarded(process, lambda one=process: self.take(one)):  # type: ignore[misc]
                continue
            if self._chance.happens(50):
                world.guarded(process, process.commit)
        world.rebalance("deliver")

    def _compact(self) -> None:
        """Rules are compacted only long after nobody needs what was superseded: at rests. States only behind what
        everybody has read: that there is no alert any more stays for a day."""
        topic = self._chance.one_of([topic for topic in COMPACTED if topic != RULES])
        routers = [one for one in self._world.processes["route"] if isinstance(one, RouteProcess)]
        if topic == STATES and not self._world.paused.isdisjoint(one.number for one in routers):
            return
        for process in routers if topic == STATES else ():
            process.follow()
        for _, partition in self._world.broker.of_topic(topic):
            if topic != STATES or _is_in_order(partition):
                partition.compact(
                    self._chance.below(partition.end + 1), with_tombstones=topic not in (ROUTES, SILENCES)
                )

    def _pause(self, process: Process) -> None:
        """For so long that its partitions go to others; it comes back at a rebalance. One of route stops at a write."""
        world = self._world
        if isinstance(process, RouteProcess) and self._chance.happens(75):
            self.stop_still(process)
            return
        world.say(lambda: f"{process.group} {process.number} is paused")
        world.paused.add(process.number)
        world.rebalance(process.group)

    def stop_still(self, process: RouteProcess) -> None:
        if self._chance.happens(60):
            steps = process.rest_in_run = self._chance.below(8)
            self._world.say(lambda: f"route {process.number} will stand still {steps} steps into its next run")
            return
        after = process.outbox.rest = self._chance.below(self._chance.one_of((4, 10, 25)))
        self._world.say(lambda: f"route {process.number} will stand still after {after} writes")

    def resume(self) -> None:
        """A process that was paused wakes up; it has nothing to do until the next rebalance."""
        world = self._world
        number = min(world.paused)
        process = next(one for group in world.groups for one in world.processes[group] if one.number == number)
        world.say(lambda: f"{process.group} {number} goes on")
        world.rejoin(process)

    def _rescale(self, group: str, count: int) -> None:
        world = self._world
        world.say(lambda: f"{group} is rescaled to {count}")
        world.wanted[group] = count
        members = world.processes[group]
        for process in list(members):
            world.rejoin(process)
        while len(members) > count:
            self._leave(members[-1])
        while len(members) < count:
            world.start(group)
        world.rebalance(group)

    def _stop(self, process: Process) -> None:
        """A graceful stop: all is finished and committed; another takes its place."""
        world = self._world
        world.say(lambda: f"{process.group} {process.number} stops")
        self._leave(process)
        world.start(process.group)
        world.rebalance(process.group)

    def _leave(self, process: Process) -> None:
        world = self._world
        if world.guarded(process, lambda: wind_down(process)):
            world.processes[process.group].remove(process)


def wind_down(process: Process) -> None:
    """Finish, save and commit everything."""
    if isinstance(process, EvaluateProcess):
        process.settle()
        for partition in process.samples:
            process.save(partition)
    process.outbox.acknowledged()
    process.commit()


def _is_in_order(states: Partition) -> bool:
    """Whether the last state of each alert is the newest: behind one that was written late, compaction would take it,
    until the alert says something again."""
    newest: dict[bytes | None, int] = {}
    for record in states.records:
        number = alert_in(record.value).sequence if record.value else newest.get(record.key, 0)
        if number < newest.get(record.key, 0):
            return False
        newest[record.key] = number
    return True
