"""Topics in the cluster: created where missing, verified against their declaration, ready before a worker starts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import BrokerResponseError, GroupCoordinatorNotAvailableError, TopicAlreadyExistsError, for_code
from aiokafka.protocol.admin import DescribeGroupsRequest_v3, DescribeGroupsResponse_v3

from tocsin.kafka.clients import KafkaConnection, client_arguments, unreachable_in_one_line
from tocsin.schemas.topics import TopicSpec

_TIMEOUT_S = 30.0
_POLL_S = 0.05
_NO_LEADER = -1
_ANY_GROUP = "tocsin"
# aiokafka 0.14 reads the answer to its version 3 as one of version 2.
DescribeGroupsRequest_v3.RESPONSE_TYPE = DescribeGroupsResponse_v3

# These decide whether records live long enough and whether old keys go; other settings are the operator's to tune.
_JUDGED_SETTINGS = ("cleanup.policy", "retention.ms", "min.compaction.lag.ms")


@dataclass(frozen=True, slots=True)
class TopicProblem:
    """One way in which a topic is not as declared; as text, one line that names the mend."""

    topic: str
    detail: str
    mend: str

    def __str__(self) -> str:
        return f"topic {self.topic}: {self.detail}; {self.mend}"


async def ensure_topics(
    connection: KafkaConnection, specs: Sequence[TopicSpec], timeout_s: float = _TIMEOUT_S
) -> list[TopicProblem]:
    """Creates the topics that are missing, waits until the cluster can serve them to groups, and verifies all of them.

    Several processes may do so at once. What exists is never altered: the problems returned are for an operator.
    Raises KafkaUnreachable when the cluster does not answer within the time.
    """
    async with _admin(connection, timeout_s) as admin:
        existing = await _partition_leaders(admin)
        missing = [spec for spec in specs if spec.name not in existing]
        refused = await _create(admin, missing) if missing else []
        not_created = {problem.topic for problem in refused}
        present = [spec for spec in specs if spec.name not in not_created]
        await _wait_for_leaders(admin, [spec.name for spec in present])
        await _wait_for_coordinator(admin)
        return refused + await _problems(admin, present)


async def check_topics(
    connection: KafkaConnection, specs: Sequence[TopicSpec], timeout_s: float = _TIMEOUT_S
) -> list[TopicProblem]:
    """Says how the topics differ from their declaration, in its order; changes nothing.

    Raises KafkaUnreachable when the cluster does not answer within the time.
    """
    async with _admin(connection, timeout_s) as admin:
        return await _problems(admin, specs)


async def partition_counts(
    connection: KafkaConnection, names: Sequence[str], timeout_s: float = _TIMEOUT_S
) -> dict[str, int]:
    """How many partitions each topic has, once all of them exist and have leaders.

    Raises KafkaUnreachable when the cluster does not answer, or a topic is not there, within the time.
    """
    async with _admin(connection, timeout_s) as admin:
        await _wait_for_leaders(admin, names)
        leaders = await _partition_leaders(admin)
        return {name: len(leaders[name]) for name in names}


async def group_states(
    connection: KafkaConnection, groups: Sequence[str], timeout_s: float = _TIMEOUT_S
) -> dict[str, tuple[str, int]]:
    """Each consumer group's state (`Stable`, `Empty`, ...) and number of members.

    Raises KafkaUnreachable when the cluster does not answer within the time.
    """
    async with _admin(connection, timeout_s) as admin:
        answers = await admin.describe_consumer_groups(list(groups))
    return {group[1]: (group[2], len(group[5])) for answer in answers for group in answer.groups if group[0] == 0}


async def committed_offsets(
    connection: KafkaConnection, group: str, timeout_s: float = _TIMEOUT_S
) -> dict[TopicPartition, int]:
    """What a consumer group has committed; raises KafkaUnreachable as `group_states` does."""
    async with _admin(connection, timeout_s) as admin:
        found = await admin.list_consumer_group_offsets(group)
    return {partition: entry.offset for partition, entry in found.items() if entry.offset >= 0}


@asynccontextmanager
async def _admin(connection: KafkaConnection, timeout_s: float) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**client_arguments(connection))
    async with unreachable_in_one_line(connection.bootstrap_servers, timeout_s):
        try:
            await admin.start()
            yield admin
        finally:
            await admin.close()


async def _partition_leaders(admin: AIOKafkaAdminClient) -> dict[str, list[int]]:
    """The leader of each partition of each topic in the cluster, -1 where there is none yet."""
    topics: list[dict[str, Any]] = await admin.describe_topics()
    return {
        topic["topic"]: [partition["leader"] for partition in topic["partitions"]]
        for topic in topics
        if topic["error_code"] == 0
    }


async def _create(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> list[TopicProblem]:
    wanted = [
        NewTopic(spec.name, spec.partitions, spec.replication_factor, topic_configs=spec.kafka_config())
        for spec in specs
    ]
    answer = await admin.create_topics(wanted)
    problems = []
    for name, code, message in answer.topic_errors:
        if code not in (0, TopicAlreadyExistsError.errno):  # another process may be quicker
            detail = f"cannot be created: {message or for_code(code).__name__}".rstrip(".")
            problems.append(TopicProblem(name, detail, "check the cluster's rights and replication factor"))
    return problems


async def _wait_for_leaders(admin: AIOKafkaAdminClient, names: Sequence[str]) -> None:
    """A client that asks for a topic without leaders goes deaf for minutes; the caller's timeout bounds this."""
    while True:
        leaders = await _partition_leaders(admin)
        if all(leaders.get(name) and _NO_LEADER not in leaders[name] for name in names):
            return
        await asyncio.sleep(_POLL_S)


async def _wait_for_coordinator(admin: AIOKafkaAdminClient) -> None:
    """A new cluster makes its topic of offsets when it is first asked; a group that came earlier would log errors."""
    while True:
        try:
            await admin.find_coordinator(_ANY_GROUP)
        except GroupCoordinatorNotAvailableError:
            await asyncio.sleep(_POLL_S)
        except BrokerResponseError:  # not allowed to ask: the groups themselves will say what is wrong
            return
        else:
            return


async def _problems(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> list[TopicProblem]:
    leaders = await _partition_leaders(admin)
    judged = [spec for spec in specs if spec.owned and spec.name in leaders]
    settings = await _settings(admin, [spec.name for spec in judged])
    problems: list[TopicProblem] = []
    for spec in specs:
        if spec.name not in leaders:
            problems.append(TopicProblem(spec.name, "does not exist", "run `tocsin topics create`"))
        elif spec.owned:
            problems += _differences(spec, len(leaders[spec.name]), settings.get(spec.name, {}))
    return problems


def _differences(spec: TopicSpec, partitions: int, settings: dict[str, str]) -> list[TopicProblem]:
    problems = []
    if partitions != spec.partitions:
        # More partitions would send a key's records elsewhere, so the count is never altered in place.
        mend = f"set TOCSIN_KAFKA_PARTITIONS={partitions}, or delete the topic and create it anew"
        if spec.partitions == 1:
            mend = "delete the topic and create it anew"
        problems.append(TopicProblem(spec.name, f"has {partitions} partitions, not {spec.partitions}", mend))
    wanted = spec.kafka_config()
    for name in _JUDGED_SETTINGS:
        if name in wanted and name in settings and settings[name] != wanted[name]:
            mend = f"set it with `kafka-configs --alter --topic {spec.name} --add-config {name}={wanted[name]}`"
            problems.append(TopicProblem(spec.name, f"has {name}={settings[name]}, not {wanted[name]}", mend))
    return problems


async def _settings(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """The judged settings of each topic; none for a topic whose settings may not be read."""
    if not names:
        return {}
    filters = dict.fromkeys(_JUDGED_SETTINGS, "")
    answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name, filters) for name in names])
    found: dict[str, dict[str, str]] = {}
    for answer in answers:
        for code, _message, _kind, name, entries in answer.resources:
            if code == 0:
                found[name] = {entry[0]: entry[1] for entry in entries}
    return found
