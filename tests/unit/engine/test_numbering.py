"""Numbers by name, many at a time: as a dictionary would have it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tocsin.engine.ingest.interning import Glossary
from tocsin.engine.numbering import ABSENT, Numbering, names_of
from tocsin.schemas.labels import series_id

# Few names, some of which want the same place in the table, and some of which differ in one half only.
NAMES = [(number % 7 << 20, number) for number in range(40)] + [(number << 26, 5) for number in range(40)]
UNWATCHED = -1
changes = st.lists(st.tuples(st.sampled_from(["put", "remove", "drop"]), st.sets(st.sampled_from(NAMES))), max_size=12)


def array_of(names: list[tuple[int, int]]) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    return np.array(names, np.int64).reshape(-1, 2)


@given(changes, st.integers(-1, 3))
def test_numbers_are_those_that_a_dictionary_would_give(
    steps: list[tuple[str, set[tuple[int, int]]]], often: int
) -> None:
    numbering, model = Numbering(), dict[tuple[int, int], int]()
    for turn, (kind, names) in enumerate(steps):
        if kind == "drop":
            numbering.drop(often)
            model = {name: number for name, number in model.items() if number != often}
            continue
        chosen = [name for name in names if (name in model) == (kind == "remove")]
        if kind == "remove":
            numbering.remove(array_of(chosen))
            for name in chosen:
                del model[name]
        else:
            numbers = [(turn + place) % 5 + UNWATCHED for place in range(len(chosen))]
            numbering.put(array_of(chosen), np.array(numbers, np.int64))
            model.update(zip(chosen, numbers, strict=True))
        asked = [*NAMES, *NAMES[::3]]
        assert numbering.find(array_of(asked)).tolist() == [model.get(name, ABSENT) for name in asked]


def test_names_of_one_partition_are_found_after_many_were_added() -> None:
    identities = [identity for n in range(20_000) if not (identity := series_id(b"%d" % n))[0] % 4]
    numbering = Numbering()
    for begin in range(0, len(identities), 700):
        some = identities[begin : begin + 700]
        numbering.put(names_of(b"".join(some)), np.arange(begin, begin + len(some)))
    assert (numbering.find(names_of(b"".join(identities))) == np.arange(len(identities))).all()
    assert numbering.find(names_of(series_id(b"another"))).tolist() == [ABSENT]


@given(st.lists(st.binary(max_size=5), min_size=1, max_size=1_500), st.data())
def test_an_excerpt_of_a_glossary_is_what_was_added_at_its_places(keys: list[bytes], data: st.DataObject) -> None:
    glossary = Glossary()
    places = [glossary.add(key, series_id(key)) for key in keys]
    chosen = sorted(data.draw(st.sets(st.sampled_from(places), min_size=1)))
    ids, ends, text = glossary.excerpt(np.array(chosen))
    assert ids == b"".join(series_id(keys[place]) for place in chosen)
    begins = [0, *np.frombuffer(ends, np.uint32).tolist()]
    assert [text[begin:end] for begin, end in pairwise(begins)] == [keys[p] for p in chosen]
    assert [glossary.key(place) for place in places] == keys
