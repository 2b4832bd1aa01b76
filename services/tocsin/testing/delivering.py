"""Delivery without Kafka: real workers and channels, with what they write down kept in memory."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from types import SimpleNamespace
from typing import Any, cast

from tocsin.deliver.actions import Actions
from tocsin.deliver.composer import Composer
from tocsin.deliver.credentials import seal_config
from tocsin.deliver.directory import Directory
from tocsin.deliver.drawing import Drawing
from tocsin.deliver.guard import Guard
from tocsin.deliver.journal import Journal
from tocsin.deliver.lane import Claim, Job
from tocsin.deliver.pictures import Pictures, Read
from tocsin.deliver.protocol import Clock, Transport
from tocsin.deliver.worker import Surroundings, Worker
from tocsin.permits import PURPOSE, Permits
from tocsin.schemas.channel import Channel
from tocsin.schemas.codec import encode_document
from tocsin.schemas.notification import Delivery, Notification, Remembered
from tocsin.testing.virtual_time import VirtualLoop, virtual_ms
from tocsin.testing.waiting import eventually
from tocsin.vault import Vault

VAULT = Vault(bytes(range(32)))
LOOPBACK = ip_network("127.0.0.0/8")
_POLL_S, _VIRTUAL_POLL_S = 0.005, 10.0
_LINKS_MS = 86_400_000
BASE_URL = "https://tocsin.example.com"


@dataclass
class Written:
    """A journal in memory; what is handed over goes to `taken`."""

    deliveries: list[Delivery] = field(default_factory=list)
    dead: list[tuple[str, str, str]] = field(default_factory=list)
    memory: dict[str, Remembered] = field(default_factory=dict)
    taken: list[Notification] = field(default_factory=list)

    async def record(self, delivery: Delivery) -> None:
        """An attempt."""
        self.deliveries.append(delivery)

    async def give_up(self, _record: Any, reason: str, channel_id: str, detail: str) -> None:
        """A dead letter."""
        self.dead.append((channel_id, reason, detail))

    async def hand_over(self, notification: Notification) -> None:
        """For another channel."""
        self.taken.append(notification)

    async def remember(self, entry: Remembered) -> None:
        """An entry of the memory."""
        self.memory[entry.key] = entry

    async def forget(self, key: str) -> None:
        """One entry less."""
        self.memory.pop(key, None)

    def outcomes(self, channel_id: str) -> list[str]:
        """How the attempts of a channel ended, in order."""
        return [one.outcome for one in self.deliveries if one.channel_id == channel_id]


@dataclass
class Deliverer:
    """Workers for channels. `claim` is the one partition that everything comes from."""

    directory: Directory
    transport: Transport
    stack: AsyncExitStack
    composer: Composer
    written: Written = field(default_factory=Written)
    claim: Claim = field(default_factory=Claim)
    workers: dict[str, Worker] = field(default_factory=dict)
    count: int = 0

    async def channel(self, identity: str, kind: str, **config: Any) -> None:
        """Place a channel, its secrets sealed as the API seals them."""
        sealed = seal_config(Channel(id=identity, type=kind, config=config), VAULT)
        await self.directory.apply(identity, encode_document(sealed))

    async def tell(self, *notifications: Notification) -> None:
        """Give notifications to the workers of their types."""
        for notification in notifications:
            kind = notification.channel_type
            if kind not in self.workers:
                # In memory it does what the journal's callers ask of it.
                journal = cast("Journal", self.written)
                around = Surroundings(self.directory, VAULT, self.transport, journal, self.composer)
                self.workers[kind] = await self.stack.enter_async_context(Worker(kind, around, lambda: True))
            record: Any = SimpleNamespace(partition=0, offset=self.count)
            self.claim.ledger.begin(self.count)
            self.count += 1
            self.workers[kind].submit(Job(notification, record, self.claim))

    async def settled(self, deadline_s: float = 60.0) -> Written:
        """Wait until nothing is left to do, handing over included; the deadline is in real time."""
        poll_s = _VIRTUAL_POLL_S if isinstance(asyncio.get_running_loop(), VirtualLoop) else _POLL_S
        while True:
            await eventually(lambda: self.claim.ledger.pending == 0, deadline_s, poll_s=poll_s)
            if not self.written.taken:
                return self.written
            handed, self.written.taken = self.written.taken, []
            await self.tell(*handed)


@asynccontextmanager
async def delivering(
    channels: Mapping[str, tuple[str, Mapping[str, Any]]],
    *,
    virtual: bool = False,
    tls: ssl.SSLContext | None = None,
    samples: Read | None = None,
    **transport: Any,
) -> AsyncIterator[Deliverer]:
    """Workers for these channels, by id with type and configuration; with `virtual` in the time of `run_virtually`.

    Messages have charts of what `samples` gives.
    """
    guard = Guard((LOOPBACK,))
    clock = Clock(now_ms=virtual_ms) if virtual else Clock()
    async with guard.session() as session, AsyncExitStack() as stack:
        ways_out = Transport(guard, session, tls or ssl.create_default_context(), clock, **transport)
        drawing = await stack.enter_async_context(Drawing())
        actions = Actions(Permits(VAULT.derived(PURPOSE)), BASE_URL, _LINKS_MS)
        composer = Composer(BASE_URL, Pictures(samples, drawing) if samples else None, actions)
        deliverer = Deliverer(Directory(), ways_out, stack, composer)
        for identity, (kind, config) in channels.items():
            await deliverer.channel(identity, kind, **config)
        yield deliverer
