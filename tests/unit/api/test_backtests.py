"""What a backtest is asked for over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tocsin.api.backtests import BacktestBody

RULE = {"id": "slow", "metric_type": "response_time", "threshold": 1000}
LISTED = {**RULE, "revision": 7, "updated_at": "2026-11-25T00:00:00.000Z"}


@pytest.mark.parametrize("body", [{"rule": LISTED}, {"rules": [LISTED]}])
def test_a_rule_may_be_sent_as_it_was_listed(body: dict[str, Any]) -> None:
    wanted = BacktestBody.model_validate({**body, "samples": []}).wanted
    assert wanted == BacktestBody.model_validate({"rule": RULE, "samples": []}).wanted
