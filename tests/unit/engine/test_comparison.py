"""Two rules' alerts as stretches of time: which are the same, which only one of them has, and what that would send."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.engine.comparison import Episode, Pair, compare, document, episodes, teller
from tocsin.engine.evaluate.judge import NEVER_MS
from tocsin.engine.route.tree import Tree
from tocsin.schemas.channel import Channel
from tocsin.schemas.instant import parse_instant
from tocsin.schemas.route import Routing
from tocsin.schemas.topics import CHANNEL_TYPES
from tocsin.testing.alerts import ENDED_AT, STARTED_AT, UPDATED_AT, firing_event, resolved_event

SILENT = teller({}, ())
FIRED_MS, ENDED_MS = parse_instant(UPDATED_AT), parse_instant(ENDED_AT)
CHANNELS = {
    "hook": Channel(id="hook", type="webhook"),
    "mail": Channel(id="mail", type="email", config={"send_resolved": False}),
    "off": Channel(id="off", type="email", config={"enabled": False}),
}
TELL = teller(CHANNELS, CHANNEL_TYPES)


def episode(fired_ms: int, ended_ms: int = NEVER_MS, began_ms: int | None = None, series: str = "a") -> Episode:
    return Episode(
        series, "r", {"series": series}, "warning", fired_ms if began_ms is None else began_ms, fired_ms, ended_ms
    )


def kinds(pairs: tuple[Pair, ...]) -> list[str]:
    return [pair.side for pair in pairs]


def test_alerts_that_overlap_are_the_same_and_others_are_not() -> None:
    current = [episode(10, 20), episode(40, 50), episode(10, 20, series="b")]
    candidate = [episode(15, 25), episode(60), episode(20, 30, series="b")]
    found = compare(current, candidate, 0, 100)
    assert [(pair.first.fingerprint, pair.first.fired_ms, pair.side) for pair in found.pairs] == [
        ("a", 10, "both"), ("b", 10, "current"), ("b", 20, "candidate"), ("a", 40, "current"), ("a", 60, "candidate"),
    ]  # fmt: skip


def test_one_long_alert_is_the_same_as_all_short_ones_within_it() -> None:
    (pair,) = compare([episode(10, 12), episode(14, 16), episode(18, 30)], [episode(11, 40)], 0, 100).pairs
    assert (pair.side, len(pair.current), len(pair.candidate)) == ("both", 3, 1)


def test_an_alert_of_no_length_is_one() -> None:
    assert kinds(compare([episode(10, 10)], [episode(10, 10)], 0, 100).pairs) == ["both"]
    assert kinds(compare([episode(10, 10)], [], 0, 100).pairs) == ["current"]


def test_only_the_time_in_shadow_counts() -> None:
    current = [episode(0, 10), episode(100), episode(20, 30)]
    assert kinds(compare(current, [], 10, 100).pairs) == ["current"]


def test_what_began_before_the_candidate_did_is_left_out_unless_it_says_the_same() -> None:
    alone = compare([episode(5, 30, began_ms=1)], [], 10, 100)
    assert (alone.pairs, alone.unseen) == ((), 1)
    paired = compare([episode(5, 30, began_ms=1)], [episode(12, 30)], 10, 100)
    assert (kinds(paired.pairs), paired.unseen) == (["both"], 0)
    held = compare([episode(12, 30, began_ms=9)], [], 10, 100)
    assert (held.pairs, held.unseen) == ((), 1)


stretches = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 30), st.integers(1, 12)), max_size=8)


def apart(found: list[tuple[str, int, int]]) -> list[Episode]:
    """One after the other in each series, as alerts are."""
    kept: list[Episode] = []
    over = {"a": 0, "b": 0}
    for series, fired_ms, length in sorted(found, key=lambda one: one[1]):
        if fired_ms >= over[series]:
            kept.append(episode(fired_ms, fired_ms + length, series=series))
            over[series] = fired_ms + length
    return kept


@given(stretches, stretches)
def test_the_pairs_are_those_of_painting_every_millisecond(
    one: list[tuple[str, int, int]], other: list[tuple[str, int, int]]
) -> None:
    current, candidate = apart(one), apart(other)
    wanted: Counter[tuple[str, str]] = Counter()
    for series in "ab":
        rows = [[(e.fired_ms, e.ended_ms) for e in side if e.fingerprint == series] for side in (current, candidate)]
        groups = [({place}, side) for side, row in enumerate(rows) for place in row]
        blocks = [[group] for group in groups]
        merged = True
        while merged:
            merged = False
            for left in blocks:
                for right in blocks:
                    if left is not right and any(
                        mine & theirs for mine in map(painted, left) for theirs in map(painted, right)
                    ):
                        left += right
                        blocks.remove(right)
                        merged = True
                        break
                if merged:
                    break
        for block in blocks:
            sides = {side for _, side in block}
            wanted[series, "both" if len(sides) == 2 else "current" if 0 in sides else "candidate"] += 1
    found = Counter((pair.first.fingerprint, pair.side) for pair in compare(current, candidate, 0, 1_000).pairs)
    assert found == wanted


def painted(group: tuple[set[tuple[int, int]], int]) -> set[int]:
    ((begin, end),) = group[0]
    return set(range(begin, end))


def test_events_in_any_order_and_often_are_one_alert() -> None:
    events = [
        resolved_event(),
        firing_event(),
        firing_event(severity="critical"),
        firing_event(id="x", type="pending", fired_at=None),
    ]
    (found,) = episodes(events, SILENT)
    assert (found.began_ms, found.fired_ms, found.ended_ms) == (parse_instant(STARTED_AT), FIRED_MS, ENDED_MS)
    assert (found.severity, found.value, found.fingerprint) == ("critical", 1234.5, "9f2c000000000001")


def test_an_end_alone_tells_the_whole_alert() -> None:
    (found,) = episodes([resolved_event()], TELL)
    assert (found.fired_ms, found.ended_ms) == (FIRED_MS, ENDED_MS)
    (named,) = episodes([resolved_event(notifications=("hook",))], TELL)
    assert named.told == {("hook", "firing"): 1, ("hook", "resolved"): 1}


def test_what_comes_after_the_time_in_shadow_has_not_happened() -> None:
    (found,) = episodes(
        [firing_event(notifications=("hook",)), resolved_event(notifications=("hook",))], TELL, ENDED_MS
    )
    assert (found.ended_ms, found.told) == (NEVER_MS, {("hook", "firing"): 1})


def test_what_somebody_raised_by_hand_is_no_rules_alert() -> None:
    assert episodes([firing_event(evidence=None, reason="manual")], SILENT) == []


def test_a_candidates_fingerprint_is_that_of_the_alert() -> None:
    (found,) = episodes([firing_event(fingerprint="shadow/9f2c000000000001")], SILENT)
    assert found.fingerprint == "9f2c000000000001"


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ((), {}),
        (("hook",), {("hook", "firing"): 1, ("hook", "changed"): 1, ("hook", "resolved"): 1}),
        (("mail", "email"), {("mail", "firing"): 1, ("mail", "changed"): 1}),
        (("off", "nobody"), {}),
    ],
)
def test_told_is_who_takes_it(names: tuple[str, ...], told: dict[tuple[str, str], int]) -> None:
    changed = firing_event(3, id="c", type="changed", severity="critical", notifications=names)
    events = [firing_event(notifications=names), changed, resolved_event(9, notifications=names)]
    (found,) = episodes(events, TELL)
    assert found.told == told


def test_notifications_are_compared_by_channel_and_kind() -> None:
    mine = episodes([firing_event(notifications=("hook",)), resolved_event(notifications=("hook",))], TELL)
    theirs = episodes([firing_event(fingerprint="shadow/9f2c000000000001", notifications=("mail", "hook"))], TELL)
    found = compare(mine, theirs, 0, NEVER_MS)
    assert (found.added, found.removed) == (1, 1)  # a mail more, and the hook hears of no end


def test_a_document_counts_all_and_shows_the_first() -> None:
    found: dict[str, Any] = document(compare([episode(10 * n, 10 * n + 5) for n in range(1, 6)], [], 0, 100), most=2)
    assert found["totals"] == {"both": 0, "only_current": 5, "only_candidate": 0, "unseen": 0}
    assert [alert["fired_at"] for alert in found["only_current"]] == [
        "1970-01-01T00:00:00.010Z", "1970-01-01T00:00:00.020Z",
    ]  # fmt: skip


def test_a_rule_that_names_no_channels_tells_those_of_its_routes() -> None:
    routes = [{"match": ['alertname="other"'], "channels": ["off"]}, {"match": ['service="api"'], "channels": ["mail"]}]
    tree = Tree(Routing.model_validate({"route": {"channels": ["hook"], "routes": routes}}))
    tell = teller(CHANNELS, CHANNEL_TYPES, tree)
    event = firing_event(notifications=(), labels={"service": "api"})
    assert [*tell(event, "firing")] == ["mail"]
    assert [*tell(event, "resolved")] == []
    assert [*tell(firing_event(notifications=(), labels={}), "resolved")] == ["hook"]
    assert [*tell(firing_event(notifications=("hook",), labels={"service": "api"}), "firing")] == ["hook"]
