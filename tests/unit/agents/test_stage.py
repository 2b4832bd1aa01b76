"""What a restored checkpoint says in the log."""

from __future__ import annotations

import orjson
from structlog.testing import capture_logs

from tocsin.agents.combine import CombineStage
from tocsin.agents.evaluate import EvaluateStage
from tocsin.engine.evaluate.checkpoint import HEADER
from tocsin.engine.evaluate.judge import RuleVersion
from tocsin.engine.evaluate.plan import compile_plan
from tocsin.engine.watermark import Timing
from tocsin.schemas.as_written import rule_as_written
from tocsin.schemas.topics import Topics

TOPICS = Topics("t.")
VALUE = orjson.dumps({"id": "bad", "metric_type": "m", "threshold": 1, "recovery_threshold": 9})


def test_a_rule_that_is_taken_out_is_named_with_what_is_wrong() -> None:
    refused = compile_plan([RuleVersion(rule_as_written(VALUE, "bad"), 0, 0)], 1)
    of_evaluate, of_combine = EvaluateStage(TOPICS, 1, Timing(), 10), CombineStage(TOPICS, 1, Timing())
    one, other = of_evaluate.begin(0), of_combine.begin(0)
    one.adopt(refused, 0)
    other.adopt(refused, 0, 1)
    saved = of_evaluate.checkpoint(one), of_combine.checkpoint(other)
    tables = [{**entries, HEADER: header} for entries, header in saved]
    with capture_logs() as logs:
        restored = of_evaluate.restore(tables[0].get, 0), of_combine.restore(tables[1].get, 0)
    assert [log["rule"].partition(":")[0] for log in logs] == ["bad", "bad"]
    assert all("recovery_threshold" in log["rule"] for log in logs)
    assert not any(state.plan.versions for state in restored)
