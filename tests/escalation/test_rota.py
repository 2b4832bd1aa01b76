"""Schedules against the slow model, over random layers, hours, overrides and zones, through changes of clocks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.oracle.oncall import QUARTER, on_call, shifts

from tocsin.engine.escalate.rota import Rota
from tocsin.schemas.interval import zone
from tocsin.schemas.oncall import Schedule

# By an hour, by half an hour, at midnight, never; east and west.
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Asia/Kathmandu", "UTC")
# In the middle of windows: the changes of clocks of these zones in 2026, and a time without any.
AROUND = [datetime(2026, month, day, 12, tzinfo=UTC)
          for month, day in ((3, 8), (3, 29), (4, 5), (9, 6), (10, 4), (10, 25), (11, 1), (6, 15))]  # fmt: skip
LENGTHS = {"1h": 1, "90m": 1.5, "8h": 8, "12h": 12, "daily": 24, "36h": 36, "weekly": 168, "2w": 336}
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
PEOPLE = ("anna", "ben", "cleo")
quarters = st.integers(0, 95).map(lambda number: number * 15)


@st.composite
def _hours(draw: st.DrawFn) -> list[tuple[int, int, frozenset[str]]]:
    found = []
    for _ in range(draw(st.integers(0, 2))):
        begin, end = sorted((draw(quarters), draw(quarters) + 15))
        found.append((begin, max(end, begin + 15), frozenset(draw(st.sets(st.sampled_from(DAYS), min_size=2)))))
    return found


@st.composite
def schedules(draw: st.DrawFn) -> tuple[dict[str, Any], datetime]:
    """A schedule as the model reads it, and the beginning of a window of three days."""
    middle = draw(st.sampled_from(AROUND))
    begin = middle - timedelta(days=1.5) + draw(st.integers(0, 96)) * QUARTER
    layers = []
    for _ in range(draw(st.integers(1, 3))):
        starts = begin.date() + timedelta(days=draw(st.integers(-30, 2)))
        length = draw(st.integers(1, 40))
        layers.append(
            {
                "people": draw(st.lists(st.sampled_from(PEOPLE), min_size=1, max_size=3)),
                "rotation": timedelta(hours=LENGTHS[draw(st.sampled_from(list(LENGTHS)))]),
                "starts": starts,
                "ends": draw(st.sampled_from((None, None, starts + timedelta(days=length)))),
                "handover": draw(quarters),
                "hours": draw(_hours()),
            }
        )
    overrides = []
    for number in range(draw(st.integers(0, 2))):
        starts_at = begin + draw(st.integers(-50, 280)) * QUARTER
        ends_at = starts_at + draw(st.integers(1, 100)) * QUARTER
        person = draw(st.sampled_from(PEOPLE))
        overrides.append({"id": f"o{number}", "person": person, "starts_at": starts_at, "ends_at": ends_at})
    return {"time_zone": draw(st.sampled_from(ZONES)), "layers": layers, "overrides": overrides}, begin


def rota(model: Mapping[str, Any]) -> Rota:
    def clock(minutes: int) -> str:
        return f"{minutes // 60:02}:{minutes % 60:02}"

    layers = [
        {
            **layer,
            "rotation": f"{layer['rotation'] // timedelta(minutes=1)}m",
            "handover": clock(layer["handover"]),
            "hours": [
                {"times": [{"start_time": clock(begin), "end_time": clock(end)}], "weekdays": sorted(days)}
                for begin, end, days in layer["hours"]
            ],
        }
        for layer in model["layers"]
    ]
    overrides = [
        {**one, "starts_at": ms(one["starts_at"]), "ends_at": ms(one["ends_at"])} for one in model["overrides"]
    ]
    schedule = Schedule.model_validate({**model, "id": "primary", "layers": layers, "overrides": overrides})
    read_back = Schedule.model_validate(schedule.document())
    assert read_back == schedule
    return Rota(read_back, zone(read_back.time_zone))


def ms(moment: datetime) -> int:
    return round(moment.timestamp()) * 1_000


def layer(**given: Any) -> dict[str, Any]:
    usual = {"people": ["anna", "ben"], "rotation": timedelta(days=1), "starts": date(2026, 3, 1), "ends": None}
    return {**usual, "handover": 540, "hours": [], **given}


@settings(max_examples=80, deadline=None)
@given(schedules())
@example(  # a handover that clocks leave out
    ({"time_zone": "Europe/Berlin", "layers": [layer(handover=150)], "overrides": []},
     datetime(2026, 3, 28, tzinfo=UTC))
)  # fmt: skip
@example(  # one that they show twice, by the hour
    ({"time_zone": "Australia/Lord_Howe", "layers": [layer(rotation=timedelta(hours=1))], "overrides": []},
     datetime(2026, 4, 4, tzinfo=UTC))
)  # fmt: skip
def test_who_is_on_call_is_whom_the_model_names(case: tuple[dict[str, Any], datetime]) -> None:
    model, begin = case
    made, count = rota(model), 3 * 96
    wanted = shifts(model, begin, count)
    found = made.shifts(ms(begin), ms(begin + count * QUARTER))
    assert [((one.person, one.source), one.begin_ms, one.end_ms) for one in found] == [
        (who, ms(begins), ms(ends)) for who, begins, ends in wanted
    ]
    for who, begins, ends in wanted:
        assert (made.on_call(ms(begins)), made.on_call(ms(ends) - 1)) == (who[0], who[0])
    middle = wanted[len(wanted) // 2]
    now = made.shift(ms(middle[1]))
    assert (now.person, now.source) == middle[0]
    assert now.begin_ms <= ms(middle[1]) < now.end_ms
    if 0 < len(wanted) // 2 < len(wanted) - 1:
        assert (now.begin_ms, now.end_ms) == (ms(middle[1]), ms(middle[2]))
    if other := next(((who, begins) for who, begins, _ in wanted if who[0] != wanted[0][0][0]), None):
        relief = made.relief(ms(begin))
        assert relief is not None
        assert (relief.person, relief.begin_ms) == (other[0][0], ms(other[1]))


@settings(max_examples=25, deadline=None)
@given(schedules())
def test_layers_are_shown_as_if_each_were_alone(case: tuple[dict[str, Any], datetime]) -> None:
    model, begin = case
    end = begin + 96 * QUARTER
    for number, (name, found) in enumerate(rota(model).layers(ms(begin), ms(end))):
        alone = {**model, "layers": [model["layers"][number]], "overrides": []}
        assert name == f"layer {number + 1}"
        assert [one.person for one in found] == [who[0] for who, _, _ in shifts(alone, begin, 96)]
        assert [one.begin_ms for one in found] == [ms(begins) for _, begins, _ in shifts(alone, begin, 96)]


def test_a_zone_that_left_out_a_day_goes_on_with_the_turn_of_the_calendar() -> None:
    made = rota({"time_zone": "Pacific/Apia", "overrides": [],
                 "layers": [layer(starts=date(2011, 12, 28), people=["anna", "ben", "cleo"])]})  # fmt: skip
    found = made.shifts(ms(datetime(2011, 12, 28, tzinfo=UTC)), ms(datetime(2012, 1, 2, tzinfo=UTC)))
    # The 30th was left out, and cleo with it.
    assert [one.person for one in found] == [None, "anna", "ben", "anna", "ben", "cleo"]


def test_the_model_itself_knows_the_hour_that_is_left_out() -> None:
    plain = {"time_zone": "Europe/Berlin", "layers": [layer(handover=150)], "overrides": []}
    change = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)  # clocks show 3:30, where 2:30 would have been
    before, after = (on_call(plain, moment)[0] for moment in (change - QUARTER, change))
    assert before != after
