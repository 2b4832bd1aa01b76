"""Backtests: rules against samples in the request or on a metrics topic, one at a time, in a thread and in time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Self

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tocsin.agents.clock import clock_ms
from tocsin.api.problems import Problem, invalid, unavailable
from tocsin.api.requests import only, validated
from tocsin.api.rules import ADDED
from tocsin.api.state import Api, answer, api_of
from tocsin.backtest.document import document, series_documents
from tocsin.backtest.errors import HistoryError
from tocsin.backtest.intake import Intake
from tocsin.backtest.run import Checkpoint, replay, traced
from tocsin.backtest.store import Store
from tocsin.backtest.topic import read_topic
from tocsin.engine.templates import template_problems
from tocsin.kafka.errors import KafkaUnreachable
from tocsin.schemas.composites import member_problems
from tocsin.schemas.duration import Duration
from tocsin.schemas.problems import FieldError
from tocsin.schemas.rule import Rule

MAX_SAMPLES: Final = 100_000
MAX_TOPIC_SAMPLES: Final = 1_000_000
MAX_RULES: Final = 100
MAX_BODY_BYTES: Final = 32 * 2**20
DEADLINE_S: Final = 30.0
_RETRY_AFTER_S: Final = 5
_LOOK_S: Final = 0.2
_BLOCK: Final = 2_048  # samples between two looks at the clock
_BUSY: Final = "another backtest is running here; try again in some seconds"


class BacktestBody(BaseModel):
    """A rule, or several, and what they are to look at: samples as they lie on a metrics topic, or a topic."""

    model_config = ConfigDict(extra="forbid")

    rule: Rule | None = None
    rules: tuple[Rule, ...] = Field(default=(), max_length=MAX_RULES)
    samples: list[Any] | None = Field(
        default=None, max_length=MAX_SAMPLES, description="name, value, timestamp, labels and unit of each"
    )
    topic: str | None = Field(default=None, description="a metrics topic, instead of samples")
    since: Duration | None = Field(default=None, description="how far back to read the topic, such as 2h")
    as_written: bool = Field(default=False, description="keep the samples' order instead of that of event time")

    @field_validator("rule", "rules", mode="before")
    @classmethod
    def _as_listed(cls, value: Any) -> Any:
        """Rules as `GET /rules` gives them too: what that adds counts for nothing."""
        if isinstance(value, list):
            return [cls._as_listed(one) for one in value]
        return {name: one for name, one in value.items() if name not in ADDED} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if (self.rule is None) is not bool(self.rules):
            raise ValueError("give either rule or rules")
        if (self.samples is None) is (self.topic is None) or (self.topic is None) is not (self.since is None):
            raise ValueError("give either samples, or topic and since")
        if len({rule.id for rule in self.wanted}) < len(self.wanted):
            raise ValueError("two rules have the same id; rename one")
        return self

    @property
    def wanted(self) -> tuple[Rule, ...]:
        """The rules to judge by."""
        return self.rules or ((self.rule,) if self.rule else ())


class _Ended(Exception):
    """Nobody waits for it any more, or it took too long."""


async def backtest(request: web.Request) -> web.Response:
    """Say which alerts rules would have fired on samples, or on what a metrics topic holds; nothing is sent."""
    only(request, ())
    api = api_of(request)
    async with turn(api):
        body = validated(BacktestBody, await _body(request))
        problems = [problem for rule in body.wanted for problem in template_problems(rule)]
        known = {rule.id: rule for rule in body.wanted}
        problems += [
            FieldError(".".join(map(str, (rule.id, *path))), text)
            for rule in body.wanted
            for path, text in member_problems(rule, known, "among the rules of the request")
        ]
        if problems:
            raise invalid(problems)
        intake = Intake(Store(body.as_written, block=_BLOCK))
        began = time.monotonic()
        if body.topic is not None:
            await read(api, body.topic, body.since or 0, intake)
        field = "samples" if body.samples is not None else "since"
        return answer(await watched(request, partial(_judged, body, intake), began + DEADLINE_S, field))


def turn(api: Api) -> asyncio.Lock:
    """One at a time. Raises Problem while another runs."""
    if api.backtesting.locked():
        raise Problem(429, _BUSY, headers={"Retry-After": str(_RETRY_AFTER_S)})
    return api.backtesting


async def _body(request: web.Request) -> Any:
    """Samples need more room than other bodies."""
    content = bytearray()
    async for chunk in request.content.iter_chunked(2**16):
        content += chunk
        if len(content) > MAX_BODY_BYTES:
            raise Problem(413, f"the body is larger than {MAX_BODY_BYTES} bytes; send fewer samples")
    try:
        found = await asyncio.to_thread(orjson.loads, bytes(content) or b"{}")
    except orjson.JSONDecodeError as error:
        raise Problem(400, f"the body is not JSON: {error.msg} (line {error.lineno}, column {error.colno})") from None
    if not isinstance(found, dict):
        raise Problem(400, "the body must be a JSON object, such as {...}")
    return found


async def read(api: Api, topic: str, since: int, intake: Intake) -> None:
    """Take what a metrics topic holds of the last `since` milliseconds. Raises Problem."""
    known = [name.partition(":")[0] for name in api.context.settings.metrics.topics]
    if topic not in known:
        raise invalid([FieldError("topic", f"{topic!r} is no metrics topic; there are {', '.join(known)}")])
    since_ms = clock_ms() - since
    try:
        async with asyncio.timeout(DEADLINE_S):
            await read_topic(api.context.connection, topic, since_ms, intake, most=MAX_TOPIC_SAMPLES)
    except HistoryError as error:
        raise invalid([FieldError("topic", str(error))]) from None
    except (KafkaUnreachable, TimeoutError) as error:
        raise unavailable(f"Kafka did not answer ({type(error).__name__}); try again") from None


async def watched(request: web.Request, judged: Callable[[Checkpoint], Any], until: float, field: str) -> Any:
    """Wait for the thread; it is told to stop when the client leaves, and never outlives the lock. `field` is what to
    ask less with where it takes too long."""
    stop = threading.Event()

    def checkpoint(_done: int) -> None:
        if stop.is_set() or time.monotonic() > until:
            raise _Ended

    work = asyncio.get_running_loop().run_in_executor(None, judged, checkpoint)
    try:
        while not (await asyncio.wait([work], timeout=_LOOK_S))[0]:
            if request.transport is None or request.transport.is_closing():
                stop.set()
        return work.result()
    except _Ended:
        detail = f"this takes longer than {DEADLINE_S:g} s; send fewer samples or rules, or use `tocsin backtest`"
        raise invalid([FieldError(field, detail)]) from None
    finally:
        stop.set()
        if not work.done():
            await asyncio.wait([work])


def _judged(body: BacktestBody, intake: Intake, checkpoint: Checkpoint) -> dict[str, Any]:
    if body.samples is not None:
        messages = [orjson.dumps(sample) for sample in body.samples]
        intake.json(_sample, messages)
    intake.store.close()
    report = replay(body.wanted, intake.store, body.as_written, checkpoint)
    found: Sequence[Any] = traced(report, intake.store, body.as_written, checkpoint)
    return {**document(report, intake), "series": series_documents(found)}


def _sample(index: int) -> str:
    return f"samples.{index}"
