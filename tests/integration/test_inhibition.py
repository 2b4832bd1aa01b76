"""An alert that something may inhibit waits for what fired no later, however late that comes, and no longer."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Literal

from aiokafka import AIOKafkaProducer
from tests.integration.routed import PARTITIONS, RULE, World, is_decided, told, world

from tocsin.kafka.clients import KafkaConnection, producer_arguments, started
from tocsin.schemas.codec import encode
from tocsin.schemas.instant import parse_instant
from tocsin.schemas.labels import alert_fingerprint
from tocsin.schemas.mark import Passed, mark_key
from tocsin.schemas.signal import Evidence, Signal
from tocsin.schemas.topics import Topics
from tocsin.testing import collect, eventually

ROUTING = {
    "route": {"channels": ["hook"], "group_by": ["..."], "group_wait": "0s", "group_interval": "1m"},
    "inhibit_rules": [{"source": ["alertname=down"], "target": ["alertname=slow"], "equal": ["host"], "hold": "90s"}],
}
RuleId = Literal["slow", "down"]
REVISIONS: dict[RuleId, int] = {"slow": 0, "down": 1}


class Evaluate:
    """What evaluate says, as this test wants it: each of its partitions as far, and as late, as it likes."""

    def __init__(self, kafka: str, topics: Topics, producer: AIOKafkaProducer) -> None:
        self._kafka, self._topics, self._producer = kafka, topics, producer

    async def fires(self, rule: RuleId, host: str, at_ms: int) -> str:
        labels = {"host": host}
        fingerprint = alert_fingerprint(rule, labels)
        evidence = Evidence(metric="response_time", window=(at_ms, at_ms), samples=1)
        order = REVISIONS[rule], at_ms, 0
        signal = Signal(fingerprint, "firing", rule, REVISIONS[rule], order, at_ms, at_ms, labels, 2.0, evidence)
        await self._producer.send_and_wait(self._topics.signals, encode(signal), key=fingerprint.encode())
        return fingerprint

    async def has_passed(self, watermark_ms: int, *partitions: int) -> None:
        counts = Counter(record.partition for record in await collect(self._kafka, self._topics.signals))
        mark = encode(Passed(watermark_ms, tuple(counts[at] for at in range(PARTITIONS))))
        for partition in partitions:
            await self._producer.send_and_wait(self._topics.marks, mark, key=mark_key("evaluate", partition))


async def waited_until_ms(at: World, fingerprint: str) -> int:
    decisions = (await at.call("GET", f"/alerts/{fingerprint}"))["decisions"]
    return next(parse_instant(one["until"]) for one in decisions if one["outcome"] == "waiting")


async def test_a_source_whose_partition_lags_inhibits_all_the_same_also_after_kill_9(
    kafka: str, tmp_path: Path, topic_prefix: str
) -> None:
    async with world(kafka, tmp_path, topic_prefix) as at:
        await at.call("POST", "/rules", {**RULE, "id": "down"}, 201)
        await at.call("PUT", "/routes", ROUTING, 201)
        async with started(AIOKafkaProducer(**producer_arguments(KafkaConnection(kafka))), kafka) as producer:
            evaluate, now_ms = Evaluate(kafka, Topics(topic_prefix), producer), int(time.time() * 1_000)
            early = await evaluate.fires("slow", "c1", now_ms - 2_000)
            inhibited, free = await evaluate.fires("slow", "a1", now_ms), await evaluate.fires("slow", "b1", now_ms)
            await evaluate.has_passed(now_ms + 1_000, 0, 2, 3)
            await evaluate.has_passed(now_ms - 3_000, 1)
            await eventually(lambda: is_decided(at, inhibited, "waiting"), 20, "that it waits")
            await at.services["route"].kill()
            await at.services["route"].start()
            await evaluate.has_passed(now_ms - 1, 1)
            await eventually(lambda: is_decided(at, early, "sent"), 30, f"what is known, and nothing else; {at.log()}")
            await eventually(lambda: time.time() * 1_000 > now_ms + 6_000, 20, "longer than the default hold")
            assert await at.outcomes(free) == ["waiting"]
            source = await evaluate.fires("down", "a1", now_ms)
            await evaluate.has_passed(now_ms, 1)
            await eventually(lambda: is_decided(at, inhibited, "inhibited"), 30, f"the inhibition; {at.log()}")
            await eventually(lambda: is_decided(at, free, "sent"), 30, f"what nothing inhibits; {at.log()}")
            assert time.time() * 1_000 < await waited_until_ms(at, free), "it need not wait so long"
            late = await evaluate.fires("slow", "d1", now_ms)
            await eventually(lambda: is_decided(at, late, "sent"), 30, "one that fired long ago does not wait at all")
            assert await at.outcomes(late) == ["sent first"]
        hosts = sorted(host for _, alerts in told(at.hook) for host in alerts)
        assert hosts == ["a1 firing", "b1 firing", "c1 firing", "d1 firing"]
        assert await at.outcomes(inhibited) == ["waiting", "inhibited"]
        listed = (await at.call("GET", "/alerts/active?quiet=true"))["items"]
        wanted = [(inhibited, [{"why": "inhibited", "by": [source]}])]
        assert [(one["fingerprint"], one["quiet"]) for one in listed] == wanted
