"""Keys go where Kafka's own clients send them."""

from __future__ import annotations

from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from tocsin.agents.partitioning import partitions_of


@given(st.lists(st.binary(max_size=40), max_size=20), st.integers(1, 50))
def test_many_keys_go_where_each_of_them_would_go(keys: list[bytes], count: int) -> None:
    alone = [DefaultPartitioner()(key, list(range(count)), []) for key in keys]
    assert partitions_of(keys, count) == alone
