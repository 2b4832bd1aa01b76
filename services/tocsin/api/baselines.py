"""What rules that learn hold to be ordinary: made when it is asked for, of what the metrics topics still hold."""

from __future__ import annotations

import time
from functools import partial
from typing import Any, Final

import numpy as np
from aiohttp import web

from tocsin.api.backtests import DEADLINE_S, read, turn, watched
from tocsin.api.problems import Problem, invalid, not_found
from tocsin.api.requests import only
from tocsin.api.rules import KIND
from tocsin.api.state import Api, answer, api_of
from tocsin.backtest.intake import Intake
from tocsin.backtest.run import Checkpoint, learnt
from tocsin.backtest.store import Store
from tocsin.engine.replay import looks_at_others
from tocsin.engine.testing.notation import format_labels, parse_series
from tocsin.projection.queries import documents, one_document
from tocsin.schemas.duration import parse_duration
from tocsin.schemas.instant import format_instant
from tocsin.schemas.learning import PEERS, Learning
from tocsin.schemas.matcher import matches_all
from tocsin.schemas.problems import FieldError
from tocsin.schemas.rule import Rule

_SINCE: Final = "1d"
_POINTS: Final = 250  # columns of a chart, of up to four points each
_BLOCK: Final = 2_048
_FIGURES: Final = ("value", "expected", "lower", "upper", "score")


async def show(request: web.Request) -> web.Response:
    """What is expected of a series, such as `latency{service="api"}`, by a rule that learns: the past, and what held
    last. Without `rule` it is the first in force that looks at the series alone, or a baseline with its defaults."""
    only(request, ("rule", "since", "topic"))
    api = api_of(request)
    name, labels = _series(request.match_info["series"])
    since = _since(request.query.get("since", _SINCE))
    rule = await _rule(api, request.query.get("rule"), name, labels)
    topics = [topic.partition(":")[0] for topic in api.context.settings.metrics.topics]
    async with turn(api):
        intake, began = Intake(Store(block=_BLOCK)), time.monotonic()
        for topic in [request.query["topic"]] if "topic" in request.query else topics:
            await read(api, topic, since, intake)
        judged = partial(_judged, rule, labels, intake)
        found = await watched(request, judged, began + DEADLINE_S, "since")
    if not found["points"]:
        raise Problem(404, f"there are no samples of {name}{format_labels(labels)} {_when(rule)}")
    return answer({"series": name + format_labels(labels), "rule_id": rule.id, **found})


def _series(text: str) -> tuple[str, dict[str, str]]:
    try:
        return parse_series(text)
    except ValueError as error:
        raise invalid([FieldError("series", str(error))]) from None


def _when(rule: Rule) -> str:
    """In which time there are none, and what to do."""
    learnt = rule.settings
    if isinstance(learnt, Learning) and learnt.learn_from is not None:
        begins = f"after {format_instant(learnt.learn_from)}, from when rule {rule.id!r} learns"
        return f"in that time and {begins}; ask for more with since, or wait for some"
    return "in that time; ask for more with since"


def _since(text: str) -> int:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise invalid([FieldError("since", str(error))]) from None


async def _rule(api: Api, rule_id: str | None, name: str, labels: dict[str, str]) -> Rule:
    """The rule to learn by."""
    if rule_id is None:
        entries = await documents(api.database, KIND)
        alone = [rule for entry in entries if (rule := entry.read(Rule)) and not looks_at_others(rule)]
        fitting = [rule for rule in alone if _fits(rule, name, labels)]
        plain = Rule(id="baseline", condition="baseline", metric_type=name)
        return min(fitting, key=lambda rule: rule.id, default=plain)
    found = await one_document(api.database, KIND, rule_id)
    rule = found.read(Rule) if found else None
    if rule is None:
        raise not_found("rule", rule_id)
    if not _fits(rule, name, labels):
        text = f"{rule_id!r} does not learn from this series: it is of another kind, metric or match, or about groups"
        raise invalid([FieldError("rule", text)])
    return rule


def _fits(rule: Rule, name: str, labels: dict[str, str]) -> bool:
    watches = rule.metric_type == name and matches_all(rule.match, labels)
    return rule.learns and watches and (rule.judged_as == PEERS or not looks_at_others(rule))


def _judged(rule: Rule, labels: dict[str, str], intake: Intake, checkpoint: Checkpoint) -> dict[str, Any]:
    intake.store.close()
    if not intake.store.samples:
        return {"points": []}
    trace = learnt(rule, labels, intake.store, checkpoint)
    if trace.course is None or not len(trace.at_ms):
        return {"points": []}
    trace = trace.thinned(int(trace.at_ms[0]), int(trace.at_ms[-1]) + 1, _POINTS)
    assert trace.course is not None
    rows = np.column_stack((trace.at_ms.astype(np.float64), *trace.course.columns()))
    latest = dict(zip(_FIGURES, rows[-1, 1:].tolist(), strict=True))
    return {"latest": {"at": format_instant(int(trace.at_ms[-1])), **latest}, "points": rows.tolist()}
