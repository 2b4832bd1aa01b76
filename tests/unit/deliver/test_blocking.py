"""What hangs outside holds up nobody inside: a console that nobody reads, names that no server answers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TextIO

import pytest

from tocsin.deliver.blocking import BlockingCalls
from tocsin.deliver.channels import channel_type, check_config
from tocsin.deliver.guard import Guard
from tocsin.deliver.message import compose
from tocsin.deliver.protocol import Outgoing, Transient, Transport
from tocsin.deliver.resolver import Resolver
from tocsin.testing import eventually
from tocsin.testing.alerts import Addressee, firing_event

DEADLINE_S = 10.0


@contextlib.contextmanager
def unread() -> Iterator[TextIO]:
    """Standard output that is full, and that nobody reads."""
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writable, b"x" * 4_096)
    os.set_blocking(writable, True)
    output = os.fdopen(writable, "w")
    try:
        yield output
    finally:
        os.close(readable)
        with contextlib.suppress(BrokenPipeError):
            output.close()


def console_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "console"]


async def send(transport: Transport, within: str) -> None:
    notification = Addressee("screen", "console").notification(firing_event())
    outgoing = Outgoing(notification, compose(notification, "https://tocsin.example.com"))
    await channel_type("console").send(check_config("console", {"timeout": within}), outgoing, transport)


async def test_a_console_that_nobody_reads_takes_one_thread_and_none_of_the_loops() -> None:
    loop = asyncio.get_running_loop()
    guard = Guard()
    with ThreadPoolExecutor(1) as pool, unread() as output:
        loop.set_default_executor(pool)
        async with guard.session() as session:
            transport = Transport(guard, session, ssl.create_default_context(), output=output)
            ends = await asyncio.gather(*(send(transport, "50ms") for _ in range(8)), return_exceptions=True)
            assert [str(end) for end in ends] == ["the console took nothing within 0.05 s"] * 8
            assert all(isinstance(end, Transient) for end in ends)
            assert len(console_threads()) == 1
            async with asyncio.timeout(DEADLINE_S):
                assert await loop.run_in_executor(None, lambda: "free") == "free"


async def test_the_blocks_come_whole_and_in_their_order() -> None:
    readable, writable = os.pipe()
    guard = Guard()
    with os.fdopen(readable, "rb") as reader, os.fdopen(writable, "w") as output:
        async with guard.session() as session:
            transport = Transport(guard, session, ssl.create_default_context(), output=output)
            async with asyncio.timeout(DEADLINE_S):
                await asyncio.gather(*(send(transport, "10s") for _ in range(3)))
        output.close()
        lines = reader.read().decode().splitlines()
    block = len(lines) // 3
    assert lines == lines[:block] * 3
    assert "FIRING" in lines[0]


def test_a_process_ends_although_its_console_is_blocked() -> None:
    program = (
        "import asyncio, sys\n"
        "from tocsin.deliver.blocking import BlockingCalls\n"
        "from tocsin.deliver.channels.console import _write\n"
        "async def main():\n"
        "    try:\n"
        "        async with asyncio.timeout(0.2):\n"
        "            await BlockingCalls('console', 1).run(lambda: _write(sys.stdout, 'x' * 1_000_000))\n"
        "    except TimeoutError:\n"
        "        print('gave up', file=sys.stderr)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.wait(60) == 0
        finally:
            process.kill()
        assert process.stderr is not None
        assert process.stderr.read().decode().strip() == "gave up"


async def test_a_call_that_nobody_waits_for_any_more_is_not_made() -> None:
    calls, gate = BlockingCalls("test", 1), threading.Event()
    made: list[str] = []
    first = asyncio.create_task(calls.run(lambda: gate.wait(DEADLINE_S)))
    await asyncio.sleep(0)
    second = asyncio.create_task(calls.run(partial(made.append, "second")))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    gate.set()
    assert await first
    await calls.run(partial(made.append, "third"))
    assert made == ["third"]


async def test_what_a_call_raises_reaches_its_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        await BlockingCalls("test", 1).run(lambda: 1 // 0)


class Names:
    """Stands for the system's resolver: names that begin with `slow` are answered once the gate is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.asked: list[str] = []
        self._real = socket.getaddrinfo

    def getaddrinfo(self, host: str, port: int, family: int = 0, kind: int = 0, flags: int = 0) -> list[Any]:
        if flags & socket.AI_NUMERICHOST:
            return self._real(host, port, family, kind, flags=flags)
        self.asked.append(host)
        if host.startswith("slow"):
            self.gate.wait(DEADLINE_S)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", port))]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    found = Names()
    monkeypatch.setattr(socket, "getaddrinfo", found.getaddrinfo)
    yield found
    found.gate.set()


async def test_a_name_that_hangs_takes_one_thread_and_holds_up_no_other(names: Names) -> None:
    resolver = Resolver()
    hanging = [asyncio.create_task(resolver.lookup("slow.example.com", 443)) for _ in range(100)]
    await eventually(lambda: names.asked)
    async with asyncio.timeout(DEADLINE_S):
        (found,) = await resolver.resolve("quick.example.com", 443)
    assert (found["host"], found["port"]) == ("192.0.2.1", 443)
    assert names.asked == ["slow.example.com", "quick.example.com"]
    names.gate.set()
    assert {answer[0][4] for answer in await asyncio.gather(*hanging)} == {("192.0.2.1", 443)}


async def test_names_that_hang_hold_up_neither_addresses_nor_other_guards(names: Names) -> None:
    resolver, other = Resolver(), Resolver()
    hanging = [asyncio.create_task(resolver.lookup(f"slow{number}.example.com", 443)) for number in range(40)]
    await eventually(lambda: names.asked)
    async with asyncio.timeout(DEADLINE_S):
        assert (await resolver.lookup("127.0.0.1", 25))[0][4] == ("127.0.0.1", 25)
        assert await other.lookup("quick.example.com", 443)
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
