"""The watermark under partitions that nobody reads, samples from the future, and ticks that come late."""

from __future__ import annotations

import numpy as np

from tocsin.engine.frame import SourceProgress, Tick
from tocsin.engine.watermark import Timing, TopicProgress

TOPIC = "m"
TIMING = Timing()


def tick(clock_ms: int, *sources: SourceProgress) -> Tick:
    return Tick(clock_ms, 0, sources, {TOPIC: 2})


def read(partition: int, highest_ms: int, position: int = 1) -> SourceProgress:
    return SourceProgress(TOPIC, partition, position, highest_ms, 0)


def test_a_partition_that_nobody_reads_is_not_idle() -> None:
    topic = TopicProgress()
    topic.apply(tick(1_000, read(0, 900), read(1, 900)), TOPIC, TIMING)
    for clock_ms in range(2_000, 20_000, 1_000):
        watermark = topic.apply(tick(clock_ms, read(0, clock_ms, clock_ms)), TOPIC, TIMING)
        assert watermark == 900
        assert topic.idle_watermark() <= 1_000
    for clock_ms in (21_000, 22_000, 23_000):
        watermark = topic.apply(tick(clock_ms, read(0, 19_000, 19_000), read(1, 900)), TOPIC, TIMING)
    assert watermark == 19_000


def test_a_sample_from_the_future_does_not_wait_for_ever() -> None:
    topic = TopicProgress()
    topic.apply(tick(1_000, read(0, 900), read(1, 900)), TOPIC, TIMING)
    topic.rising(0, np.array([1_400]), 1_000)
    assert topic.apply(tick(1_100, read(0, 1_000, 2), read(1, 900)), TOPIC, TIMING) < 1_400
    for clock_ms in range(2_000, 5_000, 500):
        watermark = topic.apply(tick(clock_ms, read(0, 1_000, 2), read(1, 900)), TOPIC, TIMING)
    assert watermark == 1_400


def test_a_late_tick_does_not_say_that_a_time_was_reached_before() -> None:
    topic = TopicProgress()
    topic.apply(tick(1_000, read(0, 900), read(1, 900)), TOPIC, TIMING)
    topic.rising(0, np.array([9_000]), 9_000)
    topic.apply(tick(2_000, read(0, 900), read(1, 900)), TOPIC, TIMING)
    assert topic.idle_watermark() <= 3_000


def test_time_before_the_watermark_rose_does_not_carry_it_on() -> None:
    """A tick that was long under way tells of time in which the others were listened to already."""
    topic = TopicProgress()
    for clock_ms in (5_000, 5_500, 6_000, 6_500):
        topic.apply(tick(clock_ms, read(0, 4_900)), TOPIC, TIMING)
    for clock_ms in (5_000, 5_500):
        topic.apply(tick(clock_ms, read(1, 4_900)), TOPIC, TIMING)
    assert topic.watermark_ms == 4_900
    topic.apply(tick(6_500, read(1, 4_900)), TOPIC, TIMING)
    assert topic.idle_watermark() == 4_900
