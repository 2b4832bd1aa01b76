"""What the parts of delivery say to each other: what is to be sent, and how an attempt ends."""

from __future__ import annotations

import hashlib
import random
import ssl
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from tocsin.agents.clock import clock_ms
from tocsin.deliver.blocking import BlockingCalls
from tocsin.deliver.message import Message
from tocsin.deliver.settings import ChannelSettings
from tocsin.schemas.notification import Notification

if TYPE_CHECKING:
    import aiohttp

    from tocsin.deliver.guard import Guard
    from tocsin.deliver.topic_writer import TopicWriter


@dataclass(frozen=True, slots=True)
class Receipt:
    """The receiver's acknowledgement; `detail` tells what of it went wrong, such as recipients that were refused.

    `reference` is where the message lies at the receiver, for channels that edit it when the alert changes.
    """

    text: str = ""
    status_code: int | None = None
    detail: str = ""
    reference: Mapping[str, str] | None = None


class DeliveryError(Exception):
    """An attempt that failed. The text is one line without credentials."""

    def __init__(self, detail: str, *, status_code: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status_code = status_code


class Transient(DeliveryError):
    """May work later, not before `retry_after_s` where the receiver said so."""

    def __init__(self, detail: str, *, status_code: int | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(detail, status_code=status_code)
        self.retry_after_s = retry_after_s


class Permanent(DeliveryError):
    """Will fail again until somebody changes something."""


class Authentication(Permanent):
    """The receiver does not take the channel's credentials."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Time and chance, given in, so that tests decide them."""

    now_ms: Callable[[], int] = clock_ms
    monotonic_s: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random


@dataclass(frozen=True, slots=True)
class Transport:
    """The ways out: all of them pass the guard. `tls` checks certificates; `output` is the console.

    `printing` is the one thread that writes to it, block after block, and all that a reader who stops holds up.
    `topics` writes to users' topics, `files` is the folder of users' files, and `filing` the threads that write there.
    """

    guard: Guard
    http: aiohttp.ClientSession
    tls: ssl.SSLContext
    clock: Clock = field(default_factory=Clock)
    output: TextIO = field(default_factory=lambda: sys.stdout)
    printing: BlockingCalls = field(default_factory=lambda: BlockingCalls("console", 1))
    topics: TopicWriter | None = None
    files: Path | None = None
    filing: BlockingCalls = field(default_factory=lambda: BlockingCalls("files", 4))


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One notification on its way, for all of its attempts.

    `settled` names the recipients, or the parts of a message, that earlier attempts served or that refused for good:
    they are not tried again. `refused` says why, for the latter. `earlier` is the reference of the message that told
    about the same before, as its receipt gave it.
    """

    notification: Notification
    message: Message
    settled: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)
    earlier: Mapping[str, str] | None = None

    @property
    def subject_key(self) -> str:
        """A name for receivers: the same for all that is said about one alert, or one group; a test has its own."""
        notification = self.notification
        parts = (notification.channel_id, notification.group_key, "test" if notification.test else "")
        return hashlib.sha256("\x00".join(parts).encode()).hexdigest()


Send = Callable[[Any, Outgoing, Transport], Awaitable[Receipt]]
Preview = Callable[[Any, Outgoing], Mapping[str, Any]]
Paths = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class ChannelType:
    """A way to tell people: the model of its settings, how it sends, and what of its configuration is secret.

    `secrets` gives the paths of the secret values in a configuration. `destination` is what a kept secret is bound to:
    a change of it needs the secret again, else an update could send the secret elsewhere. `preview` gives what `send`
    would send, without credentials. With `digests`, messages beyond the rate limit become one; where each means
    something to a machine, they wait. What `remembers` gets back the references of its messages. `pictured` says
    whether a message is to have a chart. What `keeps_incidents` leaves them open until it hears that they are over.
    """

    settings: type[ChannelSettings]
    send: Send
    secrets: Callable[[Mapping[str, Any]], Paths]
    destination: Callable[[Mapping[str, Any]], str]
    preview: Preview
    digests: bool = True
    remembers: bool = False
    keeps_incidents: bool = False
    pictured: Callable[[Any, Outgoing], bool] = lambda _settings, _outgoing: False


def secret_fields(*names: str) -> Callable[[Mapping[str, Any]], Paths]:
    """Those of the fields that a configuration has."""
    return lambda config: tuple((name,) for name in names if config.get(name))


def destination_fields(*names: str) -> Callable[[Mapping[str, Any]], str]:
    """The fields as one text. A secret that is its own destination needs none."""
    return lambda config: "|".join(str(config.get(name)) for name in names)
