"""What the outside world writes: samples, good and bad, people's commands, and changes of rules."""

from typing import Final

from tocsin.engine.memory_log import partition_of
from tocsin.engine.simulation.broker import ALERTS, COMMANDS, METRICS, ROUTES, RULES, SIGNALS, SILENCES
from tocsin.engine.simulation.routes import Document, draw_routing, draw_silence, encoded
from tocsin.engine.simulation.routing import alert_in
from tocsin.engine.simulation.scenario import METRIC, changed
from tocsin.engine.simulation.world import World
from tocsin.schemas import codec
from tocsin.schemas.codec import encode_document
from tocsin.schemas.command import Command, Trigger
from tocsin.schemas.labels import alert_fingerprint
from tocsin.schemas.route import ROUTING_ID
from tocsin.schemas.rule import Rule

_MORE: Final = 3
_GAPS: Final = (50, 150, 150, 400, 400, 1_100)
_BAD: Final[tuple[bytes | None, ...]] = (
    b"{nonsense",
    b"",
    None,
    b'{"name":"m","value":"high","timestamp":1700000000000}',
    b'{"name":"m","value":1,"timestamp":1700099999999}',
    b'{"name":"","value":1,"timestamp":1700000000000}',
    b'{"name":"m","value":1,"timestamp":1700000000000,"labels":{"s":7}}',
    b"\xff\xfe",
)
_SPANS_MS: Final = (None, None, 900, 3_000, 12_000, 90_000)
_SEVERITIES: Final = ("info", "warning", "warning", "error")


class Producer:
    """Writes samples whose values wander, so that conditions hold for a while and then end."""

    def __init__(self, world: World) -> None:
        self._world, self._chance = world, world.chance
        self._values = [world.chance.between(-2, 4) for _ in world.scenario.series]
        self._latest = [0 for _ in world.scenario.series]
        self._used: set[tuple[int, int]] = set()
        self._commands = 0
        self._learns = world.scenario.learns
        self._last_command: Command | None = None
        self._is_behind = world.scenario.late_ms or (world.scenario.immediate and world.chance.happens(15))

    def samples(self, count: int) -> None:
        """Some messages, each a moment after the one before."""
        scenario, chance, broker = self._world.scenario, self._chance, self._world.broker
        for _ in range(count):
            broker.clock_ms += chance.one_of(_GAPS)
            number = chance.below(len(scenario.series))
            series = scenario.series[number]
            source = series.source if series.keyed else chance.below(scenario.sources)
            key = b"%d" % number if series.keyed else None
            if chance.happens(4):
                self._bad(source, key)
                continue
            found = [self._sample(number)]
            if chance.happens(8):
                found.append(self._sample(number))
            if self._learns:  # which takes many
                found += [self._sample(number) for _ in range(_MORE)]
            value = b",".join(
                b'{"name":"%s","value":%d,"timestamp":%d,"labels":%s}' % (METRIC.encode(), v, at_ms, series.spelling)
                for at_ms, v in found
            )
            value = b"[" + value + b"]" if len(found) > 1 else value
            for _ in range(2 if series.keyed and chance.happens(4) else 1):
                offset = broker.append(METRICS, source, key, value)
                self._world.produced[source, offset] = [(number, at_ms, float(v)) for at_ms, v in found]

    def _sample(self, number: int) -> tuple[int, int]:
        """A time that this series has not used, and a value near its last one."""
        chance = self._chance
        if chance.happens(55):
            self._values[number] = min(max(self._values[number] + chance.between(-3, 3), -4), 7)
        behind = chance.below((self._world.scenario.late_ms or 2_000) - 60) if self._is_behind else 0
        at_ms = self._world.broker.clock_ms - (behind if chance.happens(40) else 0)
        while (number, at_ms) in self._used:
            at_ms += 1
        self._used.add((number, at_ms))
        return at_ms, self._values[number]

    def _bad(self, source: int, key: bytes | None) -> None:
        offset = self._world.broker.append(METRICS, source, key, self._chance.one_of(_BAD))
        self._world.refused.add((source, offset))

    def garble(self) -> None:
        """Bytes that are nothing, on a topic of our own."""
        partition = self._chance.below(self._world.scenario.partitions)
        topic = self._chance.one_of((SIGNALS, COMMANDS))
        offset = self._world.broker.append(topic, partition, b"x", b"\x00garbage")
        self._world.garbled.add((topic, partition, offset))

    def command(self) -> None:
        """A person acts on an alert, raises one, or the API sends again what it is not sure of."""
        chance, world = self._chance, self._world
        if self._last_command is not None and chance.happens(15):
            command = self._last_command
        elif chance.happens(45 if world.scenario.is_about_routes else 25):
            command = self._trigger()
        else:
            command = self._action()
        self._last_command = command
        partition = partition_of(command.fingerprint.encode(), world.scenario.partitions)
        world.broker.append(COMMANDS, partition, command.fingerprint.encode(), codec.encode(command))
        world.say(lambda: f"command {command.type} {command.fingerprint} {command.id}")

    def _action(self) -> Command:
        chance, now_ms = self._chance, self._world.broker.clock_ms
        fingerprint, starts_at = self._known_alert()
        span_ms, every_ms = chance.one_of(_SPANS_MS), 0
        kind = chance.one_of(self._world.scenario.swarm.actions)
        if kind == "acknowledge" and chance.happens(25):
            every_ms = chance.one_of((700, 4_000, 30_000))
        until_ms = now_ms + span_ms if span_ms and kind in ("acknowledge", "snooze") else None
        return Command(
            self._id(),
            kind,
            fingerprint,
            chance.one_of(("ann", "ann", "bea")),
            now_ms,
            starts_at=starts_at,
            until_ms=until_ms,
            remind_every_ms=every_ms,
        )

    def _id(self) -> str:
        self._commands += 1
        return f"command-{self._commands}"

    def _known_alert(self) -> tuple[str, str | None]:
        """An alert that exists, mostly; the episode that is meant may be an old one."""
        found = list(self._world.broker.records(ALERTS))
        if not found or self._chance.happens(10):
            return self._chance.one_of(sorted(self._world.scenario.fingerprints)), None
        event = alert_in(self._chance.one_of(found[-4:]).value)
        return event.fingerprint, event.starts_at if self._chance.happens(60) else None

    def _trigger(self) -> Command:
        chance, now_ms = self._chance, self._world.broker.clock_ms
        labels = {"by": str(chance.below(3)), "zone": chance.one_of("ab")}
        names = ("c0", "console") if chance.happens(40) else ()
        span_ms = chance.one_of(_SPANS_MS)
        severity, drill = chance.one_of(_SEVERITIES), chance.happens(10)
        if drill:
            labels["drill"] = "true"
        trigger = Trigger("hand", "By hand", severity=severity, labels=labels, notifications=names, drill=drill)
        fingerprint = alert_fingerprint("hand", labels)
        until_ms = now_ms + span_ms if span_ms else None
        return Command(self._id(), "trigger", fingerprint, "bob", now_ms, trigger=trigger, until_ms=until_ms)

    def route(self) -> None:
        """The routes are changed, or deleted."""
        self.put_routing(draw_routing(self._chance) if self._chance.happens(90) else None)

    def put_routing(self, routing: Document | None) -> None:
        """Write the routes, or a tombstone."""
        world = self._world
        world.broker.append(ROUTES, 0, ROUTING_ID.encode(), encoded(routing) if routing else None)
        world.routings.append((world.broker.writes, routing))
        world.say(lambda: f"routes: {routing}")

    def silence(self) -> None:
        """A silence begins, is changed, or is over before its time."""
        world, chance = self._world, self._chance
        name = f"s{chance.below(3)}"
        silence = None if chance.happens(25) else draw_silence(chance, name, world.broker.clock_ms)
        world.broker.append(SILENCES, 0, name.encode(), encoded(silence) if silence else None)
        world.silences.append((world.broker.writes, name, silence))
        world.say(lambda: f"silence {name}: {silence}")

    def edit(self) -> None:
        """A rule is changed, switched off or on, deleted, or written by somebody who cannot write rules."""
        world, chance = self._world, self._chance
        rule = chance.one_of(world.scenario.rules)
        now = next((found for _, name, found in reversed(world.edits) if name == rule.id), None)
        choice = chance.below(100)
        if choice < 8:
            world.broker.append(RULES, 0, rule.id.encode(), b'{"id": "' + rule.id.encode() + b'"}')
            world.say(lambda: f"{rule.id} is written wrongly")
            return
        shared = bool(rule.window) or rule.condition == "absence" or rule.learns
        if now is None or not now.enabled:
            # A window, or what is learnt, that another rule kept meanwhile would hold what came before: left open.
            new = None if shared else rule.model_copy(update={"enabled": True})
        elif choice < 70:
            new = changed(now, chance)
        else:
            new = rule.model_copy(update={"enabled": False}) if choice < 85 else None
        self.put(rule.id, new)

    def put(self, rule_id: str, rule: Rule | None) -> None:
        """Write a rule, or a tombstone."""
        value = encode_document(rule) if rule is not None else None
        offset = self._world.broker.append(RULES, 0, rule_id.encode(), value)
        self._world.edits.append((offset, rule_id, rule))
        self._world.say(lambda: f"{rule_id} at {offset}: {rule.model_dump(exclude_defaults=True) if rule else 'gone'}")
