"""The invariants of route, a small check each: what was told is what the model says, to whom, in which order, and why
not."""

from collections.abc import Callable
from typing import Final

from tocsin.engine.simulation.broker import ALERTS, DECISIONS, GROUPED, Violation
from tocsin.engine.simulation.delivering import TYPES
from tocsin.engine.simulation.model_groups import Said
from tocsin.engine.simulation.model_quiet import Past, inhibits
from tocsin.engine.simulation.model_route import Joined, RouteModel
from tocsin.engine.simulation.routing import Attempt, RouteProcess, event_of, grouped_of, notifications, told_of
from tocsin.engine.simulation.world import World
from tocsin.schemas import codec
from tocsin.schemas.decision import Decision
from tocsin.schemas.grouping import Join
from tocsin.schemas.notification import Notification

_QUIET: Final = ("inhibited", "outside hours", "silenced")
Models = dict[int, RouteModel]


def at_the_end(world: World) -> None:
    """What must hold of route once all faults have stopped, and everything was taken."""
    past = Past(world)
    models = {at: RouteModel(world.scenario.channels, past) for at in range(world.scenario.partitions)}
    for at, model in models.items():
        for attempt in world.runs.get((False, at), []):
            model.take(attempt)
    checks: tuple[Callable[[World, Models], None], ...] = (_taken, _joins, _told, _decisions)
    for check in checks:
        check(world, models)
    _known(world)
    if "deliver" in world.groups:
        _received(world)
    _empty(world)


def _taken(world: World, models: Models) -> None:
    """Every event on the log went through route."""
    for at, model in models.items():
        records = world.broker.partition(ALERTS, at).records
        events = {(event.fingerprint, event.sequence) for _, event in map(event_of, records)}
        if missing := events - model.events:
            raise Violation("every-event-routed", f"{ALERTS}/{at}: {sorted(missing)[:3]} were passed over")


def _known(world: World) -> None:
    """Who tells of anything knows everything that was written before."""
    states = [number for number, _ in world.broker.states] if any(doc for _, doc in world.routings) else []
    config = [number for number, _ in world.routings] + [number for number, *_ in world.silences]
    for (is_of_alerts, _), attempts in world.runs.items():
        for attempt in () if is_of_alerts else attempts:
            seen = config + states if _may_inhibit(world, attempt.known) else config
            if _tells(attempt) and any(attempt.known < number <= attempt.written for number in seen):
                place = f"{attempt.topic}/{attempt.partition}@{attempt.records[-1].offset}"
                raise Violation("knows-before-telling", f"{place} was told by what was true {attempt.known} writes in")


def _may_inhibit(world: World, write: int) -> bool:
    documents = [document for number, document in world.routings if number <= write]
    return bool(documents) and inhibits(documents[-1])


def _tells(attempt: Attempt) -> bool:
    if attempt.topic == ALERTS:
        return any(event.type in ("firing", "changed") for _, event in map(event_of, attempt.records))
    return any(isinstance(item, Join) for _, item in map(grouped_of, attempt.records))


def _joins(world: World, models: Models) -> None:
    """Each alert in exactly the groups that its routes say, and each of these heard of it once."""
    found: dict[str, dict[tuple[int, int], tuple[bytes, Joined]]] = {}
    for record in world.broker.records(GROUPED):
        _, item = grouped_of(record)
        if isinstance(item, Join):
            joined = Joined(item.group_key, item.event.sequence, item.left)
            known = found.setdefault(item.event.fingerprint, {})
            value = record.value or b""
            if known.setdefault((item.source, item.number), (value, joined))[0] != value:
                raise Violation("same-bytes", f"join {item.source} {item.number} was written with other bytes")
    wanted = {name: joins for model in models.values() for name, joins in model.joins.items() if joins}
    for name in sorted({*wanted, *found}):
        joins = [joined for _, (_, joined) in sorted(found.get(name, {}).items())]
        if joins != wanted.get(name, []):
            raise Violation("grouping", f"{name} joins {joins}, not {wanted.get(name, [])}")


def _told(world: World, models: Models) -> None:
    """Every group and every alert with channels of its own is told what the model says, once, in order."""
    found: dict[tuple[str, str], list[Said | str]] = {}
    for one in _sent(world).values():
        found.setdefault((one.group_key, one.channel_id), []).append(_said(one) if one.group else one.id)
    wanted: dict[tuple[str, str], list[Said | str]] = {}
    for model in models.values():
        for name, told in model.told.items():
            for channel, identity in told:
                wanted.setdefault((name, channel), []).append(identity)
        for key, told_group in model.groups.said.items():
            for said in told_group:
                wanted.setdefault((key, said.channel), []).append(said)
    for place in sorted({*found, *wanted}):
        if found.get(place, []) != wanted.get(place, []):
            raise Violation("told", f"{place} hears {found.get(place, [])}, not {wanted.get(place, [])}")


def _said(one: Notification) -> Said:
    assert one.group is not None
    alerts = one.group.alerts
    return Said(
        one.channel_id,
        one.group.reason,
        tuple(sorted((alert.fingerprint, alert.sequence) for alert in alerts if alert.status != "resolved")),
        tuple(sorted((alert.fingerprint, alert.sequence) for alert in alerts if alert.status == "resolved")),
    )


def _sent(world: World) -> dict[str, Notification]:
    """Every notification by its id, in order of each partition."""
    found: dict[str, Notification] = {}
    values: dict[str, bytes] = {}
    for kind in TYPES:
        for record in world.broker.records(notifications(kind)):
            value = record.value or b""
            one = told_of(record)
            if values.setdefault(one.id, value) != value:
                raise Violation("same-bytes", f"notification {one.id} was written with other bytes")
            found.setdefault(one.id, one)
    return found


def _decisions(world: World, models: Models) -> None:
    """That something keeps an alert quiet is written down, with what does it, and nothing else is."""
    found = set()
    for record in world.broker.records(DECISIONS):
        one = codec.decode(Decision, record.value)
        if one.outcome in _QUIET:
            found.add((one.group_key, one.fingerprint, (str(one.outcome), one.by)))
    wanted = {entry for model in models.values() for entry in (*model.quiet, *model.groups.quiet)}
    if found != wanted:
        raise Violation("named-why", f"{sorted(found ^ wanted)[:3]}: written or true, but not both")


def _received(world: World) -> None:
    """What is on the topics reaches its receiver, in order; repeats are what a crash left open."""
    heard: dict[tuple[str, str], dict[str, None]] = {}
    repeats = 0
    for channel_id, told in world.received:
        known = heard.setdefault((channel_id, told.group_key), {})
        repeats += told.id in known
        known[told.id] = None
    if repeats > world.crashes:
        raise Violation("repeats", f"{repeats} notifications were sent twice, with {world.crashes} crashes")
    sent: dict[tuple[str, str], list[str]] = {}
    for one in _sent(world).values():
        sent.setdefault((one.channel_id, one.group_key), []).append(one.id)
    for place in sorted({*sent, *heard}):
        # What was refused has no turn: it was buried, and a repeat of it on the log may be taken later.
        found = [one for one in heard.get(place, ()) if one not in world.was_refused]
        expected = [one for one in sent.get(place, []) if one not in world.was_refused]
        if found != expected:
            raise Violation("received", f"{place} heard {len(found)} of {len(expected)}, or in another order")


def _empty(world: World) -> None:
    """No run is left half done."""
    for process in world.processes["route"]:
        assert isinstance(process, RouteProcess)
        if process.is_still:
            raise Violation("bounded", f"{process.number} stands still for ever")
