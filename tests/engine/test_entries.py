"""What a checkpoint writes: all that changed, and nothing that is gone."""

from __future__ import annotations

import pytest

from tocsin.engine.evaluate.copies import Copies
from tocsin.engine.evaluate.judge import RuleVersion
from tocsin.engine.evaluate.lanes import make_lane
from tocsin.engine.evaluate.plan import compile_plan
from tocsin.engine.evaluate.series import SeriesTable
from tocsin.engine.partial import DamagedPartial, Panes, decode, encode
from tocsin.schemas.labels import series_id, series_key
from tocsin.schemas.rule import Rule


def test_a_series_in_a_slot_that_was_given_up_is_written() -> None:
    rule = Rule.model_validate({"id": "r", "metric_type": "m", "threshold": 1})
    plan = compile_plan([RuleVersion(rule, 0, 0)], 1)
    (key,) = plan.specs
    table = SeriesTable()
    lane = make_lane(plan.specs[key], plan.rules[key], table)
    names = [series_key("m", {"a": "1"}), series_key("m", {})]
    numbers = table.add([series_id(name) for name in names], names, [None, None])
    lane.admit(numbers[:1])
    lane.dismiss(int(numbers[0]))
    lane.dirty_chunks()
    lane.admit(numbers[1:])
    assert lane.slot_of(int(numbers[1])) == 0
    assert lane.dirty_chunks() == [0]


def test_an_entry_that_is_dropped_is_removed_once_no_header_names_it() -> None:
    copies = Copies()
    copies.put("lane/a/0", b"x")
    assert copies.written()
    copies.drop("lane/a/0")
    assert copies.written() == {}  # the header that names it is still in force
    assert copies.written() == {"lane/a/0/0": b"", "lane/a/0/1": b""}
    assert copies.written() == {}


@pytest.mark.parametrize(
    "changes", [{"groups": b""}, {"starts": b"\0" * 7}, {"groups": b"\xff" * 4}, {"figures": {"count": ("<i8", b"\0")}}]
)
def test_shares_whose_columns_do_not_go_together_are_refused(changes: dict[str, object]) -> None:
    fields = {
        "source": "0", "sequence": 0, "lane": "l", "keys": [b""], "groups": b"\0" * 4, "starts": b"\0" * 8,
        "figures": {"count": ("<i8", b"\0" * 8)},
    }  # fmt: skip
    assert isinstance(decode(encode(Panes(**fields))), Panes)  # type: ignore[arg-type]
    with pytest.raises(DamagedPartial):
        decode(encode(Panes(**{**fields, **changes})))  # type: ignore[arg-type]
