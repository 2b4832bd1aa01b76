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


def test_time_in_which_samples_came_does_not_carry_the_watermark_on() -> None:
    """Another worker's tick may be the first behind them; what theirs counts then went by before they came."""
    topic = TopicProgress()
    for clock_ms in (1_000, 2_000):
        topic.apply(tick(clock_ms, read(0, 900), read(1, 900)), TOPIC, TIMING)
    for partition in (0, 1):
        topic.rising(partition, np.array([3_000]), 3_000)
    topic.apply(tick(3_000), TOPIC, TIMING)
    for clock_ms in (3_000, 4_000):
        topic.apply(tick(clock_ms, read(0, 3_000, 2), read(1, 3_000, 2)), TOPIC, TIMING)
        assert topic.idle_watermark() == clock_ms


def test_what_is_left_of_time_does_not_count_for_a_partition_that_nobody_names() -> None:
    topic = TopicProgress()
    for clock_ms in (1_000, 2_000, 3_000, 4_000):
        topic.apply(tick(clock_ms, read(0, 900)), TOPIC, TIMING)
    topic.apply(tick(2_000, read(1, 900)), TOPIC, TIMING)
    topic.apply(tick(5_000, read(0, 900)), TOPIC, TIMING)
    topic.apply(tick(2_600, read(1, 900)), TOPIC, TIMING)
    assert topic.listened_ms == 600
    for clock_ms in (3_000, 4_000, 5_000):
        topic.apply(tick(clock_ms, read(1, 900)), TOPIC, TIMING)
        assert topic.listened_ms == 600


def test_ticks_of_two_workers_lose_no_time() -> None:
    topic = TopicProgress()
    for second in range(1, 60):
        for partition, jitter_ms in ((0, second * 7 % 90), (1, 400 + second * 13 % 110)):
            topic.apply(tick(second * 1_000 + jitter_ms, read(partition, 900)), TOPIC, Timing(stride_ms=2_000))
    assert topic.listened_ms >= 56_000


def test_a_tick_that_was_long_under_way_does_not_let_a_partition_follow_beyond_its_clock() -> None:
    topic = TopicProgress()
    topic.apply(tick(1_000, read(0, 900), read(1, 900)), TOPIC, TIMING)
    topic.apply(tick(20_000, read(0, 20_000, 2)), TOPIC, TIMING)
    for clock_ms in range(2_000, 9_000, 500):
        assert topic.apply(tick(clock_ms, read(1, 900)), TOPIC, TIMING) <= clock_ms
    assert topic.watermark_ms > 5_000
