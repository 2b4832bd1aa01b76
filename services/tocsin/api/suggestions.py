"""Settings that a rule might have instead, where people called its alerts false: suggested, never set."""

from __future__ import annotations

import time
from functools import partial
from typing import Any, Final

from aiohttp import web

from tocsin.agents.clock import clock_ms
from tocsin.api.backtests import DEADLINE_S, read, turn, watched
from tocsin.api.problems import Problem, invalid, not_found
from tocsin.api.requests import only
from tocsin.api.rules import KIND
from tocsin.api.state import Api, answer, api_of
from tocsin.backtest.intake import Intake
from tocsin.backtest.run import Checkpoint
from tocsin.backtest.store import Store
from tocsin.backtest.suggestions import Mark, best, outcomes
from tocsin.engine.replay import looks_at_others
from tocsin.projection import queries
from tocsin.schemas.duration import parse_duration
from tocsin.schemas.instant import parse_instant
from tocsin.schemas.learning import PEERS
from tocsin.schemas.problems import FieldError
from tocsin.schemas.rule import Rule

_SINCE: Final = "7d"
_MOST: Final = 200  # marks that are looked at, the latest
_BLOCK: Final = 2_048
_NONE_MARKED: Final = "nobody said of an alert of this rule in that time that it was a false positive"
_NOT_SEEN: Final = "in what the metrics topics still hold of that time, none of these alerts comes again"
_NONE_HELPS: Final = "none of the milder settings would have kept any of these alerts from firing"


async def show(request: web.Request) -> web.Response:
    """What a rule that learns might ask for instead, after what people called a `false_positive` in the last while
    (`since`, a week): milder settings, each with what a backtest makes of it. Nothing is changed."""
    only(request, ("since", "topic"))
    api = api_of(request)
    rule = await _rule(api, request.match_info["id"])
    try:
        since = parse_duration(request.query.get("since", _SINCE))
    except ValueError as error:
        raise invalid([FieldError("since", str(error))]) from None
    marked = await _marked(api, rule.id, clock_ms() - since)
    body: dict[str, Any] = {"rule_id": rule.id, "false_positives": marked}
    if not marked:
        return answer({**body, "now": None, "candidates": [], "suggestion": None, "detail": _NONE_MARKED})
    topics = [topic.partition(":")[0] for topic in api.context.settings.metrics.topics]
    async with turn(api):
        intake, began = Intake(Store(block=_BLOCK)), time.monotonic()
        for topic in [request.query["topic"]] if "topic" in request.query else topics:
            await read(api, topic, since, intake)
        judged = partial(_judged, rule, marked, intake)
        found = await watched(request, judged, began + DEADLINE_S, "since")
    return answer(body | found)


async def _rule(api: Api, rule_id: str) -> Rule:
    stored = await queries.one_document(api.database, KIND, rule_id)
    rule = stored.read(Rule) if stored else None
    if rule is None:
        raise not_found("rule", rule_id)
    if not rule.learns or (looks_at_others(rule) and rule.judged_as != PEERS):
        raise Problem(
            409, f"rule {rule_id!r} learns nothing of single series, so its settings are for people to choose"
        )
    return rule


async def _marked(api: Api, rule_id: str, from_ms: int) -> list[dict[str, Any]]:
    """Episodes that somebody called false, the latest first; of one the latest word counts, however it was said."""
    wanted = queries.AlertFilter({"rule_id": [rule_id], "type": ["acknowledged"]}, from_ms=from_ms)
    events = (await queries.alert_history(api.database, wanted, queries.Page(_MOST))).items
    said = [one for event in events if (one := _said_by(event))]
    said += (await queries.feedback_given(api.database, {"rule_id": [rule_id]}, from_ms, queries.Page(_MOST))).items
    latest: dict[tuple[str, str], dict[str, Any]] = {}
    for one in sorted(said, key=lambda one: parse_instant(one["at"]), reverse=True):
        latest.setdefault((one["fingerprint"], one["starts_at"]), one)
    found = [one for one in latest.values() if one["verdict"] == "false_positive"][:_MOST]
    return [{**one, "comment": one.get("comment", "")} for one in found]


def _said_by(event: dict[str, Any]) -> dict[str, Any] | None:
    """An acknowledgement as feedback; of one without a reason nothing follows."""
    said = event.get("acknowledged") or {}
    if said.get("reason") != "false_positive":
        return None
    kept = {name: event[name] for name in ("fingerprint", "labels", "starts_at", "rule_id")}
    return {**kept, "verdict": "false_positive", **{name: said.get(name, "") for name in ("by", "at", "comment")}}


def _until_ms(said: dict[str, Any]) -> int:
    """By when the alert had begun: one that was called false long after may have been followed by others."""
    return parse_instant(said.get("ends_at") or said["at"])


def _judged(rule: Rule, marked: list[dict[str, Any]], intake: Intake, checkpoint: Checkpoint) -> dict[str, Any]:
    intake.store.close()
    marks = [Mark(one["fingerprint"], parse_instant(one["starts_at"]), _until_ms(one)) for one in marked]
    now, *others = found = outcomes(rule, marks, intake.store, checkpoint)
    chosen = best(found)
    detail = "" if chosen else _NONE_HELPS if now.false_positives else _NOT_SEEN
    return {
        "now": now.document(),
        "candidates": [{"change": one.change, **one.document()} for one in others],
        "suggestion": chosen.change if chosen else None,
        "detail": detail,
    }
