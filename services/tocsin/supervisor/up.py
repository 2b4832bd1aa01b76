"""`tocsin up` from the lock on the data directory to the last process ended."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final

from tocsin.api.tokens import load_or_create_token
from tocsin.config import ConfigError, Loaded, as_environment, context
from tocsin.kafka.admin import ensure_topics
from tocsin.kafka.ports import free_ports, is_taken
from tocsin.logs import is_json
from tocsin.supervisor.banner import Facts, banner
from tocsin.supervisor.broker import Broker
from tocsin.supervisor.child import Child
from tocsin.supervisor.declared import declared_topics, metric_topics
from tocsin.supervisor.errors import UpError
from tocsin.supervisor.running import RunningUp, find_up, forget_running, up_lock, write_running
from tocsin.supervisor.voice import SELF, Voice

_SERVICES: Final = ("evaluate", "route", "deliver", "api")
_STOP_EACH_S: Final = 8.0
_STILL_WAITING_S: Final = 30.0
_PORT_LEAVING_S: Final = 3.0
_POLL_S: Final = 0.1
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Options:
    """What `up` is asked for beside the settings."""

    demo: bool = False


def up(loaded: Loaded, options: Options) -> int:
    """Run everything until told to stop; returns the exit code.

    Raises ConfigError, UpError, KafkaStartError and KafkaUnreachable.
    """
    return asyncio.run(_locked(loaded, options))


async def _locked(loaded: Loaded, options: Options) -> int:
    data_dir = context(loaded).data_dir
    lock = up_lock(data_dir)
    if not lock.acquire():
        other = find_up(data_dir)
        who = f"process {other.pid}, {other.api_url}" if other else "it is just starting or stopping"
        raise UpError(
            f"the data directory {data_dir} is in use by another `tocsin up` ({who}): "
            "stop that one, or choose another directory with --data-dir"
        )
    try:
        forget_running(data_dir)
        return await _Up(loaded.replaced("data_dir", str(data_dir), "up"), options).run()
    finally:
        forget_running(data_dir)
        lock.release()


class _Up:
    def __init__(self, loaded: Loaded, options: Options) -> None:
        self._loaded = loaded
        self._options = options
        self._voice = Voice(as_json=is_json(loaded.settings.log, sys.stdout))
        self._context = context(loaded)
        self._broker: Broker | None = None
        self._children: list[Child] = []
        self._stop = asyncio.Event()
        self._began = time.monotonic()

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._told_to_stop)
        watch: asyncio.Task[None] | None = None
        try:
            with self._voice.progress("starting ..."):
                if await self._or_stop(self._start()):
                    return 0
            if self._broker is not None:
                watch = asyncio.create_task(self._broker.watch())
            await self._or_stop(self._until_one_gives_up())
            return 0
        finally:
            await self._end(watch)
            for number in _SIGNALS:
                loop.remove_signal_handler(number)

    async def _start(self) -> None:
        await self._free_api_port()
        token, is_new = load_or_create_token(self._context)
        if self._loaded.settings.kafka.bootstrap_servers is None:
            self._broker = Broker(self._context.data_dir / "kafka", self._loaded, self._voice)
            servers = await self._broker.start()
            self._loaded = self._loaded.replaced("kafka.bootstrap_servers", servers, "embedded")
            self._context = context(self._loaded)
        self._voice.say("kafka", f"ready on {self._context.connection.bootstrap_servers}")
        self._voice.busy_with("topics ...")
        problems = await ensure_topics(self._context.connection, declared_topics(self._context.settings))
        if problems:
            raise UpError("\n".join(map(str, problems)))
        await self._start_services()
        facts = self._facts(token if is_new else None)
        write_running(self._context.data_dir, RunningUp(os.getpid(), facts.api_url, facts.bootstrap_servers))
        if self._options.demo:
            await self._ready([self._child("demo", "--url", facts.api_url)])
        lines, fields = banner(facts)
        self._voice.announce("ready", lines, fields)

    async def _start_services(self) -> None:
        children = [self._child(name) for name in _SERVICES]
        await self._ready(children)

    def _child(self, name: str, *arguments: str) -> Child:
        as_json = is_json(self._loaded.settings.log, sys.stdout)
        chosen = self._loaded.replaced("log.format", "json" if as_json else "console", "up")
        own = {key: value for key, value in os.environ.items() if not key.startswith("TOCSIN_")}
        child = Child(name, [name, *arguments], {**own, **as_environment(chosen.settings)}, self._voice)
        self._children.append(child)
        child.start()
        return child

    async def _ready(self, children: list[Child]) -> None:
        waiting = {child.name: child for child in children}
        said = time.monotonic()
        while waiting:
            self._voice.busy_with(f"waiting for {', '.join(waiting)} ...")
            for child in list(waiting.values()):
                if child.gave_up.is_set():
                    raise UpError(f"{child.name} does not start; its lines above say why")
                if child.ready.is_set():
                    del waiting[child.name]
                    self._voice.say(child.name, "ready")
            if waiting and time.monotonic() - said > _STILL_WAITING_S:
                said = time.monotonic()
                self._voice.say(SELF, f"still waiting for {', '.join(waiting)}", "warning")
            await asyncio.sleep(_POLL_S)

    async def _until_one_gives_up(self) -> None:
        """Returns never, but raises UpError when a service cannot be brought back."""
        waits = {asyncio.create_task(child.gave_up.wait()): child for child in self._children}
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            raise UpError(f"{waits[done.pop()].name} cannot go on; its lines above say why")
        finally:
            for wait in waits:
                wait.cancel()

    async def _free_api_port(self) -> None:
        api = self._loaded.settings.api
        if await self._is_taken_for_good(api.host, api.port):
            mend = "stop that, or choose another with --port or TOCSIN_API_PORT"
            where = self._loaded.where("api.port")
            raise ConfigError(f"{where}: port {api.port} on {api.host} is taken by another program; {mend}")
        if api.port == 0:
            self._loaded = self._loaded.replaced("api.port", free_ports(1)[0], "up")

    async def _is_taken_for_good(self, host: str, port: int) -> bool:
        try:
            for _ in range(int(_PORT_LEAVING_S / _POLL_S)):  # that of an `up` which was killed may be leaving
                if not is_taken(port, host):
                    return False
                await asyncio.sleep(_POLL_S)
        except OSError as error:
            mend = "use 127.0.0.1, 0.0.0.0 or an address of this machine"
            where = self._loaded.where("api.host")
            raise ConfigError(f"{where}: {host} cannot be used ({error.strerror or error}); {mend}") from None
        return True

    def _facts(self, new_token: str | None) -> Facts:
        settings, api = self._context.settings, self._loaded.settings.api
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(api.host, api.host)
        return Facts(
            api_url=f"http://{f'[{host}]' if ':' in host else host}:{api.port}",
            bootstrap_servers=self._context.connection.bootstrap_servers,
            topics=metric_topics(settings),
            data_dir=self._context.data_dir,
            shown_settings={
                name: value
                for name, value in (
                    ("TOCSIN_DATA_DIR", str(self._context.data_dir) if self._has_own_data_dir() else ""),
                    ("TOCSIN_KAFKA_BOOTSTRAP_SERVERS", settings.kafka.bootstrap_servers if not self._broker else ""),
                )
                if value
            },
            new_token=new_token,
            demo=self._options.demo,
            seconds=time.monotonic() - self._began,
        )

    def _has_own_data_dir(self) -> bool:
        """Whether a command in another terminal would look elsewhere."""
        default = context(Loaded(type(self._loaded.settings)(), {"data_dir": "default"})).data_dir
        return default != self._context.data_dir

    async def _or_stop(self, work: Coroutine[Any, Any, None]) -> bool:
        """Does the work unless told to stop first, which is the answer."""
        task, stop = asyncio.create_task(work), asyncio.create_task(self._stop.wait())
        await asyncio.wait([task, stop], return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if task.done():
            task.result()
            return False
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return True

    def _told_to_stop(self) -> None:
        if self._stop.is_set():
            self._voice.say(SELF, "told twice: killing what is left", "warning")
            for child in self._children:
                child.kill()
            return
        self._stop.set()
        self._voice.say(SELF, "stopping (once more kills what is left)")

    async def _end(self, watch: asyncio.Task[None] | None) -> None:
        """From the one that asks to the one that is asked, so that each can still finish its work."""
        for name in ("demo", *reversed(_SERVICES)):
            for child in self._children:
                if child.name == name:
                    await child.stop(_STOP_EACH_S)
        if self._broker is not None:
            await self._broker.stop()
        if watch is not None:
            await watch
        self._voice.say(SELF, "stopped")
