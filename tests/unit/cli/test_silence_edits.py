"""What `tocsin silences edit` leaves as it was."""

from __future__ import annotations

from typing import Any

import pytest

from tocsin.cli.silences import edited

WEEKLY = {"rrule": "FREQ=WEEKLY", "cron": None, "duration": "4h", "location": "Europe/Berlin"}
BEFORE: dict[str, Any] = {
    "match": ["a=x"], "ends_at": "2027-01-01T00:00:00Z", "schedule": None, "comment": "c",
    "reminder": {"before": "1h", "notifications": ["chat"]},
}  # fmt: skip


@pytest.mark.parametrize(
    ("before", "change", "differs"),
    [
        ({"schedule": WEEKLY}, {"schedule": {"cron": "0 2 * * *"}},
         {"schedule": {"cron": "0 2 * * *", "duration": "4h", "location": "Europe/Berlin"}}),
        ({"schedule": WEEKLY}, {"schedule": {"rrule": "FREQ=DAILY", "duration": "2h", "location": "UTC"}},
         {"schedule": {"rrule": "FREQ=DAILY", "duration": "2h", "location": "UTC"}}),
        ({"schedule": WEEKLY}, {"duration": "2h"}, {"schedule": {**WEEKLY, "duration": "2h"}}),
        ({}, {"schedule": {"rrule": "FREQ=DAILY"}}, {"schedule": {"rrule": "FREQ=DAILY", "duration": "1h"}}),
        ({}, {"duration": "2h"}, {"duration": "2h", "ends_at": None}),
        ({}, {"reminder": {"before": "2h"}}, {"reminder": {"before": "2h", "notifications": ["chat"]}}),
        ({"schedule": WEEKLY}, {"schedule": None, "duration": "2h"},
         {"schedule": None, "duration": "2h", "ends_at": None}),
        ({}, {"reminder": None}, {"reminder": None}),
        ({"reminder": None}, {"reminder": {"before": "2h"}}, {"reminder": {"before": "2h"}}),
    ],
)  # fmt: skip
def test_what_is_not_said_stays(before: dict[str, Any], change: dict[str, Any], differs: dict[str, Any]) -> None:
    stands = {**BEFORE, **before}
    wanted = {name: value for name, value in {**stands, **differs}.items() if (name, value) != ("ends_at", None)}
    assert edited(stands, change) == wanted
