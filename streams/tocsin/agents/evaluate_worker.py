"""The evaluate service: ingest and evaluate in one worker."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from tocsin.agents.app import WorkerSettings, batched_topic, make_app, make_table, new_outbox, run_worker
from tocsin.agents.background import Background
from tocsin.agents.config_log import ConfigLog
from tocsin.agents.evaluate import Evaluate
from tocsin.agents.ingest import Ingest
from tocsin.agents.once import Once
from tocsin.agents.transport import BatchApp
from tocsin.engine.evaluate.step import Timing
from tocsin.schemas.topics import Topics


@dataclass(frozen=True, slots=True)
class EvaluateSettings:
    """What the evaluate service is told. Times in milliseconds."""

    metrics_topics: Sequence[str]
    partitions: int
    max_ahead_ms: int
    checkpoint_ms: int
    tick_ms: int
    timing: Timing


class _Service:
    """Everything of one worker that needs its event loop."""

    def __init__(
        self, app: BatchApp, worker: WorkerSettings, settings: EvaluateSettings, topics: Topics, table: Any
    ) -> None:
        self._app, self._worker, self._settings = app, worker, settings
        self._outbox = new_outbox(worker)
        self._background = Background(app)
        self._hurry = asyncio.Event()
        self.ticked = asyncio.Event()
        self.ingest = Ingest(app, self._outbox, topics.samples, topics.dlq, settings.max_ahead_ms)
        checkpoint_s = settings.checkpoint_ms / 1_000
        self.evaluate = Evaluate(app, self._outbox, table, worker.client, topics.signals, settings.timing, checkpoint_s)
        self.rules = ConfigLog(dict(worker.client), topics.rules, self._on_rule)

    def _on_rule(self, offset: int, key: bytes, value: bytes | None) -> None:
        self.evaluate.read_rule(offset, key, value)
        self._hurry.set()

    async def start(self) -> None:
        """Connect, read the rules, and begin to tick. No frame is made before the first tick names the rules."""
        await self._outbox.start()
        await self.ingest.start()
        await self.rules.start()
        self._background.run(self.rules.follow())
        self._background.run(self._tick_for_ever())

    async def _tick_for_ever(self) -> None:
        """Ticks at an interval, and at once when rules change."""
        while True:
            self._hurry.clear()
            if self._app.consumer.assignment():
                await self.ingest.tick(self.rules.position, self._settings.metrics_topics)
                if not self.ticked.is_set():
                    self.ticked.set()
                    self._worker.on_ready()
            try:
                await asyncio.wait_for(self._hurry.wait(), self._settings.tick_ms / 1_000)
            except TimeoutError:
                continue

    async def stop(self) -> None:
        """Checkpoint everything and disconnect; Faust commits afterwards."""
        await self._background.stop()
        await self.ingest.drain()
        await self.evaluate.save_all()
        await self.rules.stop()
        await self._outbox.stop()

    def forget(self, revoked: set[Any]) -> None:
        """Partitions went away, for a moment or for good."""
        self._app.committable.forget(revoked)
        self._app.committable.cleared()
        self.evaluate.forget()
        self.ingest.forget(revoked)


def run(worker: WorkerSettings, settings: EvaluateSettings, topics: Topics) -> None:
    """Run the evaluate service until it is told to stop."""
    app = make_app(worker, [*settings.metrics_topics, topics.samples])
    table = make_table(
        app, "evaluate-checkpoint", topics.changelog("evaluate-checkpoint-changelog"), settings.partitions
    )

    async def make() -> _Service:
        await (made := _Service(app, worker, settings, topics, table)).start()
        return made

    service = Once(make)

    async def on_revoked(_: Any, *revoked: Any, **__: Any) -> None:
        if made := service.if_made():
            made.forget(set(revoked[0]))

    app.on_partitions_revoked.connect(cast("Any", on_revoked))

    @app.agent(batched_topic(app, *settings.metrics_topics), name="ingest")
    async def ingest(stream: Any) -> None:
        await (made := await service.get()).ticked.wait()
        async for event in stream.events():
            app.committable.taken(event.message.tp)
            await made.ingest.take(event.message.tp, event.message.value)

    @app.agent(batched_topic(app, topics.samples), name="evaluate")
    async def evaluate(stream: Any) -> None:
        made = await service.get()
        async for event in stream.events():
            app.committable.taken(event.message.tp)
            await made.evaluate.take(event.message.tp, event.message.value, made.rules)

    @app.on_before_shutdown.connect
    async def on_stop(*_: Any, **__: Any) -> None:
        if made := service.if_made():
            await made.stop()

    run_worker(app, worker)
