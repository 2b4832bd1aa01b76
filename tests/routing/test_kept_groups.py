"""Groups that a partition keeps in memory: bounded, and a run pays for its own groups only."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tocsin.engine.route import store
from tocsin.engine.route.group_record import GroupRecord, Member
from tocsin.engine.route.store import Groups


class Counted(dict[str, Member]):
    """Says how often somebody asked how many there are."""

    asked = 0

    def __len__(self) -> int:
        self.asked += 1
        return super().__len__()


def group(key: str, size: int = 1) -> GroupRecord:
    members = Counted((f"{key}-{number}", Member(1, True, False, 0, "e", "r")) for number in range(size))
    return GroupRecord(key, "r", {}, 0, 0, members=members)


def test_a_run_does_not_look_at_the_groups_of_others() -> None:
    kept, others = Groups(), {f"g{number}": group(f"g{number}") for number in range(100)}
    kept.keep(others)
    before = [record.members.asked for record in others.values()]  # type: ignore[attr-defined]
    for _ in range(5):
        kept.keep({"mine": group("mine")})
    assert [record.members.asked for record in others.values()] == before  # type: ignore[attr-defined]


@given(st.lists(st.dictionaries(st.sampled_from("abcdef"), st.integers(-1, 9), min_size=1, max_size=3), max_size=30))
def test_it_keeps_the_latest_that_fit(runs: list[dict[str, int]]) -> None:
    kept, model = Groups(), dict[str, int]()
    limit, store._MOST_KEPT = store._MOST_KEPT, 12  # type: ignore[misc]
    try:
        for run in runs:
            kept.keep({key: None if size < 0 else group(key, size) for key, size in run.items()})
            for key, size in run.items():
                model.pop(key, None)
                if size >= 0:
                    model[key] = 1 + size
            while sum(model.values()) > 12 and len(model) > 1:
                del model[next(iter(model))]
            assert {key for key in "abcdef" if kept.get(key)} == set(model)
    finally:
        store._MOST_KEPT = limit  # type: ignore[misc]
