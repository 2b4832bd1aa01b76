"""The evaluate service: ingest, evaluate and combine in one worker."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, cast

import structlog
from faust.types import TP

from tocsin.agents.app import WorkerSettings, make_app, make_table, new_outbox, read_runs, run_worker
from tocsin.agents.background import Background
from tocsin.agents.columnar import Columnar
from tocsin.agents.combine import CombineStage
from tocsin.agents.config_log import ConfigLog
from tocsin.agents.evaluate import EvaluateStage
from tocsin.agents.ingest import Ingest
from tocsin.agents.late_counts import LateCounts
from tocsin.agents.marks import MarkWriter
from tocsin.agents.once import Once
from tocsin.agents.transport import BatchApp
from tocsin.engine.evaluate.rulebook import RuleBook
from tocsin.engine.watermark import Timing
from tocsin.schemas.topics import Topics

_MARK_S: Final = 1.0
_TOLD_EVERY: Final = 60  # marks
_log = structlog.get_logger("tocsin.evaluate")


@dataclass(frozen=True, slots=True)
class EvaluateSettings:
    """What the evaluate service is told. Times in milliseconds."""

    metrics_topics: Sequence[str]
    partitions: int
    max_ahead_ms: int
    checkpoint_ms: int
    tick_ms: int
    timing: Timing
    most_series: int


class _Service:
    """Everything of one worker that needs its event loop."""

    def __init__(
        self, app: BatchApp, worker: WorkerSettings, settings: EvaluateSettings, topics: Topics, tables: Sequence[Any]
    ) -> None:
        self._app, self._worker, self._settings = app, worker, settings
        self._outbox = new_outbox(worker)
        self._background = Background(app)
        self._hurry = asyncio.Event()
        self.ticked = asyncio.Event()
        self.ingest = Ingest(app, self._outbox, topics.samples, topics.dlq, settings.max_ahead_ms)
        checkpoint_s = settings.checkpoint_ms / 1_000
        self._book = RuleBook()
        parts = topics, settings.partitions, settings.timing
        self.evaluate = Columnar(
            app,
            self._outbox,
            tables[0],
            worker.client,
            EvaluateStage(*parts, settings.most_series),
            self._book,
            checkpoint_s,
        )
        self.combine = Columnar(
            app, self._outbox, tables[1], worker.client, CombineStage(*parts), self._book, checkpoint_s
        )
        self.rules = ConfigLog(dict(worker.client), topics.rules, self._on_rule)
        self._marks = MarkWriter(worker.client, self._outbox, topics, settings.partitions)

    def _on_rule(self, offset: int, key: bytes, value: bytes | None, at_ms: int) -> None:
        ignored = self._book.append(offset, key, value, at_ms)
        if ignored:
            _log.warning("a rule that cannot be read was ignored; the one before it stays in force", rule=ignored)
        self._hurry.set()

    async def start(self) -> None:
        """Connect, read the rules, and begin to tick. No frame is made before the first tick names the rules."""
        await self._outbox.start()
        await self.ingest.start()
        await self.rules.start()
        await self._marks.start()
        self._background.run(self.rules.follow())
        self._background.run(self._tick_for_ever())
        self._background.run(self._mark_for_ever())

    async def _tick_for_ever(self) -> None:
        """Ticks at an interval, and at once when rules change."""
        while True:
            self._hurry.clear()
            if self._app.consumer.assignment():
                await self.ingest.tick(self.rules.position, self._settings.metrics_topics)
                if not self.ticked.is_set():
                    self.ticked.set()
                    self._worker.on_ready()
            # Not `wait_for`: before Python 3.12 it takes a cancellation that comes with the timeout for the timeout.
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.tick_ms / 1_000):
                    await self._hurry.wait()

    async def _mark_for_ever(self) -> None:
        """Say how far everything is, so that nobody waits longer than need be for what may still come; and in the log,
        every minute, what came too late."""
        late = LateCounts()
        for turn in count(1):
            await asyncio.sleep(_MARK_S)
            await self._marks.write([*self.evaluate.said(), *self.combine.said()])
            late.look({tp: one.state.late() for tp, one in self.evaluate.partitions.items()})
            for rule_id, samples in late.hand_over().items() if turn % _TOLD_EVERY == 0 else ():
                _log.warning("samples came too late to be judged", rule=rule_id, samples=samples)

    async def stop(self) -> None:
        """Checkpoint everything and disconnect; Faust commits afterwards."""
        await self._background.stop()
        await self.ingest.drain()
        await self.evaluate.save_all()
        await self.combine.save_all()
        await self.rules.stop()
        await self._marks.stop()
        await self._outbox.stop()

    async def take_metrics(self, tp: TP, run: Any) -> None:
        """A run of a metrics topic; none before the first tick has named the rules."""
        await self.ticked.wait()
        await self.ingest.take(tp, run)

    async def take_samples(self, tp: TP, run: Any) -> None:
        """A run of `samples`."""
        await self.evaluate.take(tp, run, self.rules)

    async def take_partials(self, tp: TP, run: Any) -> None:
        """A run of `partials`."""
        await self.combine.take(tp, run, self.rules)

    def forget(self, revoked: set[Any]) -> None:
        """Partitions went away, for a moment or for good."""
        self._app.committable.forget(revoked)
        self._app.committable.cleared()
        self.evaluate.forget()
        self.combine.forget()
        self.ingest.forget(revoked)


def run(worker: WorkerSettings, settings: EvaluateSettings, topics: Topics) -> None:
    """Run the evaluate service until it is told to stop."""
    app = make_app(worker, [*settings.metrics_topics, topics.samples, topics.partials])
    names = ("evaluate-checkpoint", "combine-checkpoint")
    tables = [make_table(app, name, topics.changelog(f"{name}-changelog"), settings.partitions) for name in names]

    async def make() -> _Service:
        await (made := _Service(app, worker, settings, topics, tables)).start()
        return made

    service = Once(make)

    async def on_revoked(_: Any, *revoked: Any, **__: Any) -> None:
        if made := service.if_made():
            made.forget(set(revoked[0]))

    app.on_partitions_revoked.connect(cast("Any", on_revoked))

    read_runs(app, settings.metrics_topics, "ingest", service, _Service.take_metrics)
    read_runs(app, [topics.samples], "evaluate", service, _Service.take_samples)
    read_runs(app, [topics.partials], "combine", service, _Service.take_partials)

    @app.on_before_shutdown.connect
    async def on_stop(*_: Any, **__: Any) -> None:
        if made := service.if_made():
            await made.stop()

    run_worker(app, worker)
