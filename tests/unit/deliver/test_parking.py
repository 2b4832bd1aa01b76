"""Which notifications of a channel with too many waiting are parked; what is critical does not wait for them."""

from __future__ import annotations

from pathlib import Path

from aiokafka import TopicPartition

from tocsin.context import Context
from tocsin.deliver.lane import Claim
from tocsin.deliver.parking import Parking
from tocsin.kafka.clients import KafkaConnection
from tocsin.schemas.notification import Notification
from tocsin.schemas.settings import Settings
from tocsin.schemas.topics import Topics
from tocsin.testing.alerts import Addressee, firing_event

PLACE = TopicPartition("notifications", 0)


def about(number: int, severity: str) -> Notification:
    return Addressee("hook", "webhook").notification(firing_event(1, f"alert-{number}", severity=severity))


def test_a_critical_notification_overtakes_what_is_parked_unless_it_is_of_its_own_alert(tmp_path: Path) -> None:
    parking = Parking(Context(Settings(), KafkaConnection("127.0.0.1:1"), Topics(), tmp_path), limit=10)
    assert not parking.takes(about(1, "warning"), waiting=9)
    assert parking.takes(about(1, "warning"), waiting=10)
    parking.park(about(1, "warning"), Claim(), PLACE, 0, 1)
    assert parking.takes(about(2, "warning"), waiting=0), "it came behind what is parked"
    assert not parking.takes(about(3, "critical"), waiting=15)
    assert parking.takes(about(1, "critical"), waiting=0), "an alert's notifications stay in order"
    assert parking.takes(about(3, "critical"), waiting=20), "memory is bounded for these, too"
