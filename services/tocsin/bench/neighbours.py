"""Whether a channel is told later because the receivers of other channels misbehave: in one deployment they do, in one
they answer as they should, and in one there are no others. The three stand side by side and are probed in turns, since
a machine is not the same from minute to minute."""

from __future__ import annotations

import asyncio
import gc
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

import orjson
from aiohttp import web

from tocsin.bench.latency import percentile
from tocsin.bench.misbehaving import ANSWERS, Receivers
from tocsin.bench.receiver import receiving
from tocsin.bench.scenario import Bench, Scenario
from tocsin.schemas.channel import Channel
from tocsin.schemas.codec import encode
from tocsin.testing.alerts import Addressee, firing_event
from tocsin.testing.certificates import Authority

_PROBED: Final = Addressee("hook", "webhook")
_PROBES_PER_S: Final = 50
_OTHER_EVERY: Final = 5  # probes
_BEFORE: Final = 20  # notifications that wait for each of the others from the beginning
_FIRST: Final = 10  # probes of a turn that are not counted
_AFTER_S: Final = 20.0
_POLL_S: Final = 0.02


@dataclass(slots=True)
class Figures:
    """Milliseconds from a notification on its topic to the webhook, rising, of each turn of each deployment; how many
    never arrived."""

    alone: list[list[float]] = field(default_factory=list)
    well: list[list[float]] = field(default_factory=list)
    misbehaving: list[list[float]] = field(default_factory=list)
    lost: int = 0

    @property
    def change_percent(self) -> float:
        """Of the p99, by the misbehaviour."""
        return _change(self.well, self.misbehaving)

    @property
    def noise_percent(self) -> float:
        """What it seems to change by where nothing does: from one half of the turns to the other."""
        return abs(_change(self.well[::2], self.well[1::2]))


def p99_ms(turns: list[list[float]]) -> float:
    """The median of the turns, so that a moment at which the machine stood still does not count for one of them."""
    return median(percentile(turn, 99) for turn in turns)


def _change(before: list[list[float]], after: list[list[float]]) -> float:
    return 100 * (p99_ms(after) / p99_ms(before) - 1)


@dataclass(slots=True)
class _Deployment:
    scenario: Scenario
    others: list[Addressee]
    arrived: dict[str, float] = field(default_factory=dict)
    number: int = 0

    async def received(self, request: web.Request) -> web.Response:
        """The webhook receiver."""
        event = orjson.loads(await request.read())["data"]
        self.arrived.setdefault(event["fingerprint"], time.monotonic())
        return web.Response(text="ok")

    async def warm_up(self, seconds: float) -> None:
        """From here on there are some that wait, and channels that fail rest."""
        for channel in self.others * _BEFORE:
            await self.tell(channel)
        await self.turn(seconds)

    async def turn(self, seconds: float) -> dict[str, float]:
        """Probes at an even pace, and between them notifications for the others, each in its turn; when each was
        sent, once all have arrived."""
        began_s, sent = time.monotonic(), dict[str, float]()
        for count in range(round(seconds * _PROBES_PER_S)):
            await asyncio.sleep(max(0.0, began_s + count / _PROBES_PER_S - time.monotonic()))
            if self.others and count % _OTHER_EVERY == 0:
                await self.tell(self.others[count // _OTHER_EVERY % len(self.others)])
            at_s = time.monotonic()
            sent[await self.tell(_PROBED)] = at_s
        deadline_s = time.monotonic() + _AFTER_S
        while not sent.keys() <= self.arrived.keys() and time.monotonic() < deadline_s:  # noqa: ASYNC110
            await asyncio.sleep(_POLL_S)
        return sent

    async def tell(self, channel: Addressee) -> str:
        """Of a new alert; its fingerprint."""
        self.number += 1
        fingerprint = f"{self.number:016x}"
        notification = channel.notification(firing_event(1, fingerprint))
        topic = self.scenario.topics.notifications(channel.channel_type)
        await self.scenario.producer.send(topic, encode(notification), key=notification.group_key.encode())
        return fingerprint


async def measure(bench: Bench, turns: int, seconds: float) -> Figures:
    """So many turns of each deployment, of `seconds` each."""
    figures, authority = Figures(), Authority()
    with tempfile.NamedTemporaryFile(suffix=".pem") as trusted:
        await asyncio.to_thread(Path(trusted.name).write_text, authority.pem)
        settings = {"SSL_CERT_FILE": trusted.name}
        async with (
            Receivers(well=True).listening(authority) as well,
            Receivers(well=False).listening(authority) as misbehaving,
            _deployed(bench, [], settings) as alone,
            _deployed(bench, list(_others(well)), settings) as beside_well,
            _deployed(bench, list(_others(misbehaving)), settings) as beside_misbehaving,
        ):
            order = [(alone, figures.alone), (beside_well, figures.well), (beside_misbehaving, figures.misbehaving)]
            for deployment, _ in order:
                await deployment.warm_up(seconds)
            gc.freeze()
            for _ in range(turns):
                order.reverse()  # none is always the first
                for deployment, found in order:
                    sent, arrived = await deployment.turn(seconds), deployment.arrived
                    counted = list(sent.items())[_FIRST:]
                    found.append(sorted((arrived[one] - at_s) * 1e3 for one, at_s in counted if one in arrived))
                    figures.lost += len(sent.keys() - arrived.keys())
            gc.unfreeze()
    return figures


@asynccontextmanager
async def _deployed(bench: Bench, others: list[Channel], settings: dict[str, str]) -> AsyncIterator[_Deployment]:
    async with bench.scenario((), settings) as scenario:
        deployment = _Deployment(scenario, [Addressee(one.id, one.type) for one in others])
        async with receiving(deployment.received) as url:
            await scenario.add_webhook(url)
            for channel in others:
                await scenario.add_channel(channel)
            await scenario.start("deliver")
            yield deployment


def _others(receivers: Receivers) -> Iterator[Channel]:
    """One of the same type and one of another for each way to misbehave, with the settings that all have by default."""
    for way in ANSWERS:
        url, name = receivers.url(way), way.replace(" ", "-")
        yield Channel(id=f"webhook-{name}", type="webhook", config={"url": url})
        yield Channel(id=f"ntfy-{name}", type="ntfy", config={"url": url, "topic": "alerts"})
