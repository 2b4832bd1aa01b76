"""The command line against an API, and against what is none: whole answers, honest words, one line for a mistake."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tocsin.cli.app import run

FINGERPRINT = "9f2c000000000001"
# What one read of a response gives is some 64 KiB to 128 KiB.
LONG = "x" * 700
Answer = Callable[[], web.Response]


class Server:
    """Gives the same answer to every request; the command runs on a thread, since it has a loop of its own."""

    def __init__(self) -> None:
        self.answer: Answer = lambda: web.json_response({})
        self.url = ""
        self.asked: list[str] = []
        self.bodies: list[Any] = []

    async def serve(self, request: web.Request) -> web.Response:
        self.asked.append(request.path_qs)
        if request.can_read_body:
            self.bodies.append(await request.json())
        return self.answer()

    async def run(self, *arguments: str) -> int:
        return await asyncio.to_thread(run, [*arguments, "--url", self.url])


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Server]:
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path / "data"))
    found, app = Server(), web.Application()
    app.router.add_route("*", "/{path:.*}", found.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


async def test_an_answer_of_any_length_is_read_whole(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    items = [{"id": f"rule{number}", "description": LONG} for number in range(500)]
    server.answer = lambda: web.json_response({"items": items, "next_cursor": None, "total": 500})
    assert await server.run("rules", "list", "--output", "json") == 0
    assert json.loads(capsys.readouterr().out) == items


async def test_the_list_says_what_keeps_alerts_quiet(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    quiet = [{"why": "inhibited", "by": ["9f2c000000000002"]}, {"why": "outside hours", "by": ["nights", "noon"]}]
    items = [
        {"status": "firing", "rule_id": "slow", "quiet": quiet},
        {"status": "firing", "rule_id": "down", "quiet": []},
    ]
    server.answer = lambda: web.json_response({"items": items, "next_cursor": None, "total": 2})
    assert await server.run("alerts", "list", "--no-quiet") == 0
    assert "quiet=false" in server.asked[0]
    slow, down = (line for line in capsys.readouterr().out.splitlines() if "firing" in line)
    assert "inhibited by 9f2c000000000002, outside hours by nights noon" in slow
    assert down.split() == ["firing", "down"]
    assert await server.run("alerts", "list", "--history") == 0
    assert "QUIET" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "answer",
    [
        lambda: web.Response(text="<html>welcome</html>", content_type="text/html"),
        lambda: web.json_response([]),
        lambda: web.json_response({"hello": "world"}),
        lambda: web.json_response({"items": None}),
        lambda: web.json_response({"items": ["text"]}),
        lambda: web.Response(),
        lambda: web.Response(status=204),
        lambda: web.Response(status=404, text="no such page"),
        lambda: web.Response(status=302, headers={"Location": "/login"}),
    ],
)
@pytest.mark.parametrize("command", [("rules", "list"), ("alerts", "list"), ("channels", "list"), ("dlq", "list")])
async def test_another_server_is_said_to_be_one(
    server: Server, answer: Answer, command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    server.answer = answer
    assert await server.run(*command) == 3
    shown = capsys.readouterr().err
    assert shown.startswith(f"what answers at {server.url} is not tocsin's API (")
    assert "--url" in shown
    assert shown.count("\n") == 1


async def test_a_question_about_the_past_is_put_as_it_was_asked(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answer = lambda: web.json_response({"items": []})
    asked = ["--learns", "--fingerprint", FINGERPRINT, "--type", "resolved", "--from", "2026-12-01T00:00:00Z"]
    assert await server.run("alerts", "list", "--history", *asked, "--text", "db") == 0
    wanted = f"type=resolved&fingerprint={FINGERPRINT}&from=2026-12-01T00:00:00Z&learns=true"
    assert server.asked == [f"/api/v1/alerts/history?q=db&{wanted}&limit=100"]
    capsys.readouterr()
    assert await server.run("alerts", "list", *asked) == 2
    assert capsys.readouterr().err == "--type: is of the history; add --history\n"


async def test_an_alert_raised_by_hand_has_all_that_is_said_of_it(server: Server) -> None:
    said = ["--notify", "pager", "--notify", "chat", "--escalation-policy", "page", "--description", "x", "-m", "why"]
    assert await server.run("alerts", "trigger", "disk", "--category", "c", "--threshold", "5", *said) == 0
    assert server.bodies == [
        {
            "rule_id": "disk", "description": "x", "category": "c", "threshold": 5.0,
            "notifications": ["pager", "chat"], "escalation_policy": "page", "comment": "why",
        }
    ]  # fmt: skip


@pytest.mark.parametrize("action", ["ack", "resolve"])
async def test_what_is_only_accepted_is_not_said_to_have_happened(
    server: Server, action: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answer = lambda: web.json_response({"status": "accepted", "fingerprint": FINGERPRINT}, status=202)
    assert await server.run("alerts", action, FINGERPRINT) == 0
    shown = capsys.readouterr().err
    assert "has not happened yet" in shown
    assert "tocsin alerts show" in shown


@pytest.mark.parametrize(("action", "status"), [("ack", "acknowledged"), ("resolve", "resolved")])
async def test_what_happened_is_read_from_the_answer(
    server: Server, action: str, status: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answer = lambda: web.json_response({"status": status, "fingerprint": FINGERPRINT})
    assert await server.run("alerts", action, FINGERPRINT) == 0
    assert capsys.readouterr().err == f"{FINGERPRINT} is {status}\n"


async def test_a_refusal_is_told_in_the_apis_words(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    problem: dict[str, Any] = {"title": "Not Found", "detail": "there is no rule 'x'"}
    server.answer = lambda: web.json_response(problem, status=404)
    assert await server.run("rules", "get", "x") == 1
    assert capsys.readouterr().err == "there is no rule 'x'\n"


async def test_a_table_off_a_terminal_keeps_each_entry_on_one_line(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    alert = {"status": "firing", "rule_id": "r", "labels": {"path": "y" * 300}, "fingerprint": FINGERPRINT}
    server.answer = lambda: web.json_response({"items": [alert, alert]})
    assert await server.run("alerts", "list") == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if FINGERPRINT in line]
    assert len(rows) == 2
    assert all(f"path={'y' * 300}" in row for row in rows)


async def test_a_channel_without_a_switch_is_shown_as_enabled(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    channels = [{"id": "a", "type": "console", "config": {}}, {"id": "b", "type": "x", "config": {"enabled": False}}]
    server.answer = lambda: web.json_response({"items": channels})
    assert await server.run("channels", "list") == 0
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["a", "console", "yes"] in shown
    assert ["b", "x", "no"] in shown


async def test_channels_are_written_only_where_all_in_the_file_are_right(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answer = lambda: web.json_response({"items": []})
    file = tmp_path / "channels.yaml"
    file.write_text(
        "- {id: a, type: console}\n"
        "- {id: b, type: file, config: {path: x}}\n"
        "- {id: c, type: pigeon}\n"
        "- {id: d, type: pagerduty, config: {routing_key: '********'}}\n"
        "- {id: e, type: console, config: {fallback: e}}\n"
    )
    assert await server.run("channels", "apply", str(file)) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"{file}:2:38: config.path: is not a known field; remove it"
    assert said[1].startswith(f"{file}:3:17: type: ")
    assert said[2].startswith(f"{file}:5:45: config.fallback: is this channel itself")
    assert len(said) == 3
    assert server.asked == []


async def test_a_fallback_that_is_not_there_yet_is_said(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answer = lambda: web.json_response({"items": [{"id": "there"}]})
    file = tmp_path / "channels.yaml"
    lines = [
        f"- {{id: {name}, type: console, config: {{fallback: {other}}}}}"
        for name, other in zip("abc", ("there", "a", "nowhere"), strict=True)
    ]
    file.write_text("\n".join(lines))
    assert await server.run("channels", "apply", str(file)) == 0
    (said,) = capsys.readouterr().err.splitlines()
    assert "there is no channel 'nowhere' yet; add it, or name another" in said
