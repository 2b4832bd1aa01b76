"""What every test may ask for: one real Kafka for the whole run, and names of its own in it."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import settings

from tocsin.schemas.topics import Topics, topic_specs
from tocsin.testing import create_topics, delete_topics, shared_broker

# Two are enough to show what depends on partitioning, and quick to create.
TEST_PARTITIONS = 2

# The same examples each time, so that a failure comes from a change. TOCSIN_EXAMPLES=N looks at N times as many,
# others at each run: what that finds becomes a test of its own. How long one takes says nothing on a busy machine.
settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
settings.register_profile("searching", deadline=None)
settings.load_profile("searching" if "TOCSIN_EXAMPLES" in os.environ else "repeatable")


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap servers of a running cluster: the one TOCSIN_TEST_BOOTSTRAP_SERVERS names, else an embedded broker."""
    with shared_broker(tmp_path_factory.mktemp("kafka")) as bootstrap_servers:
        yield bootstrap_servers


@pytest.fixture
def topic_prefix() -> str:
    """A prefix that no other test uses; consumer groups of a test should begin with it too."""
    return f"test-{uuid.uuid4().hex[:10]}."


@pytest.fixture
async def topics(kafka: str, topic_prefix: str) -> AsyncIterator[Topics]:
    """All of tocsin's topics under the test's prefix, with two partitions each, removed afterwards."""
    specs = topic_specs(topic_prefix, TEST_PARTITIONS)
    await create_topics(kafka, specs)
    yield Topics(topic_prefix)
    await delete_topics(kafka, [spec.name for spec in specs])
