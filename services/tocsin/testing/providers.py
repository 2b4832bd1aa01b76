"""Stand-ins for providers, on loopback: each holds what it gets to the provider's documented form, and keeps state.

What breaks the form is answered as the provider would, and is noted in `complaints`, which a test expects to be empty.
"""

from __future__ import annotations

import base64
import itertools
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import orjson
from aiohttp import web

from tocsin.testing.receivers import HOST

Json = dict[str, Any]


@dataclass
class Provider:
    """A web server; `answers` go before its own ones, one for each request."""

    complaints: list[str] = field(default_factory=list)
    requests: list[tuple[str, Json]] = field(default_factory=list)
    answers: list[web.Response] = field(default_factory=list)
    port: int = 0
    limit_bytes: ClassVar[int] = 1_000_000

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self.port}"

    def expect(self, right: object, complaint: str) -> bool:
        """Note a complaint unless it is right."""
        if not right:
            self.complaints.append(complaint)
        return bool(right)

    async def handle(self, path: str, body: Json, request: web.Request) -> web.Response:
        """Answer a request with a JSON body. Each provider has its own."""
        raise AssertionError(f"{type(self).__name__} answers nothing at {path} ({request.method}): {body}")

    async def _answer(self, request: web.Request) -> web.Response:
        raw = await request.read()
        self.expect(len(raw) <= self.limit_bytes, f"{len(raw)} bytes are too many")
        self.expect("gzip" not in request.headers.get("Content-Encoding", ""), "compressed")
        body = _fields(request, raw)
        self.requests.append((request.path, body))
        return self.answers.pop(0) if self.answers else await self.handle(request.path, body, request)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Self]:
        """Serve within the block."""
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, HOST, 0).start()
        self.port = runner.addresses[0][1]
        try:
            yield self
        finally:
            await runner.cleanup()


def _fields(request: web.Request, raw: bytes) -> Json:
    if request.content_type == "application/json":
        return dict(orjson.loads(raw))
    if request.content_type == "multipart/form-data":
        return _parts(raw, re.findall("boundary=([0-9a-zA-Z]+)", request.headers["Content-Type"])[0].encode())
    return {"raw": raw}


def _parts(raw: bytes, boundary: bytes) -> Json:
    """The fields of a form, files as bytes."""
    before, *parts, after = (b"\r\n" + raw).split(b"\r\n--" + boundary)
    assert (before, after) == (b"", b"--\r\n"), "the form is not closed"
    found: Json = {}
    for part in parts:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = re.findall(rb' name="([^"]+)"', head)[0].decode()
        found[name] = content if b"filename=" in head else content.decode()
    return found


@dataclass
class PagerDuty(Provider):
    """Events API v2: `incidents` by their key, each with its status and severity."""

    routing_key: str = "R" * 32
    incidents: dict[str, list[str]] = field(default_factory=dict)
    limit_bytes: ClassVar[int] = 512_000

    async def handle(self, path: str, body: Json, request: web.Request) -> web.Response:
        """Take an event."""
        if not self.expect(path == "/v2/enqueue" and request.method == "POST", f"{request.method} {path}"):
            return web.json_response({"status": "not found"}, status=404)
        if body.get("routing_key") != self.routing_key:
            return web.json_response({"status": "invalid event", "errors": ["'routing_key' is invalid"]}, status=400)
        action, key, payload = body.get("event_action"), str(body.get("dedup_key", "")), body.get("payload") or {}
        right = [
            self.expect(action in ("trigger", "acknowledge", "resolve"), f"event_action {action!r}"),
            self.expect(0 < len(key) <= 255, "dedup_key"),
            self.expect(0 < len(payload.get("summary", "")) <= 1024, "payload.summary"),
            self.expect(payload.get("source"), "payload.source"),
            self.expect(payload.get("severity") in ("critical", "error", "warning", "info"), "payload.severity"),
            self.expect(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", payload.get("timestamp", "")), "payload.timestamp"),
            self.expect(all({"href", "text"} == set(link) for link in body.get("links", [])), "links"),
        ]
        if not all(right):
            return web.json_response({"status": "invalid event", "errors": self.complaints}, status=400)
        states = self.incidents.setdefault(key, [])
        if action == "trigger" or (states and states[-1] != "resolve"):
            states.append(str(action))
        return web.json_response({"status": "success", "message": "Event processed", "dedup_key": key}, status=202)


@dataclass
class Opsgenie(Provider):
    """Alerts by alias, each with what was done to it."""

    api_key: str = "genie-key-of-this-test"
    alerts: dict[str, list[str]] = field(default_factory=dict)

    async def handle(self, path: str, body: Json, request: web.Request) -> web.Response:
        """Take a request."""
        if request.headers.get("Authorization") != f"GenieKey {self.api_key}":
            return web.json_response({"message": "Could not authenticate", "took": 0.0, "requestId": "r"}, status=403)
        found = re.fullmatch(r"/v2/alerts(?:/([0-9a-f]{64})/(close|acknowledge|unacknowledge|priority))?", path)
        if not self.expect(found, path) or found is None:
            return web.json_response({"message": "not found"}, status=404)
        if found[1]:
            self.expect(request.query.get("identifierType") == "alias", "identifierType")
            self.expect(request.method == ("PUT" if found[2] == "priority" else "POST"), f"{request.method} {path}")
            self.alerts.setdefault(found[1], []).append(found[2])
        else:
            self.expect(0 < len(body.get("message", "")) <= 130, "message")
            self.expect(len(body.get("description", "")) <= 15_000, "description")
            self.expect(body.get("priority") in ("P1", "P2", "P3", "P4", "P5"), "priority")
            self.expect(all(isinstance(value, str) for value in body["details"].values()), "details")
            self.expect(len(body["tags"]) <= 20 and all(len(tag) <= 50 for tag in body["tags"]), "tags")
            self.alerts.setdefault(body["alias"], []).append("create")
        return web.json_response({"result": "Request will be processed", "took": 0.1, "requestId": "r"}, status=202)


@dataclass
class Discord(Provider):
    """A webhook of a channel; `messages` are what is to be seen."""

    messages: list[Json] = field(default_factory=list)
    pictures: list[bytes] = field(default_factory=list)

    async def handle(self, path: str, body: Json, request: web.Request) -> web.Response:
        """Take a message."""
        self.expect(path == "/api/webhooks/1/token" and request.query.get("wait") == "true", f"{path}")
        if "payload_json" in body:
            self.pictures.append(body["files[0]"])
            body = orjson.loads(body["payload_json"])
        (embed,) = body["embeds"]
        texts = [embed["title"], embed["description"], embed.get("footer", {}).get("text", "")]
        texts += [text for one in embed["fields"] for text in (one["name"], one["value"])]
        right = [
            self.expect(sum(map(len, texts)) <= 6_000, "an embed of more than 6000 characters"),
            self.expect(len(embed["title"]) <= 256 and len(embed["description"]) <= 4_096, "title or description"),
            self.expect(len(embed["fields"]) <= 25, "fields"),
            self.expect(all(0 < len(one["value"]) <= 1_024 for one in embed["fields"]), "a field's value"),
            self.expect("allowed_mentions" in body, "allowed_mentions"),
        ]
        if not all(right):
            return web.json_response({"code": 50035, "message": "Invalid Form Body"}, status=400)
        self.messages.append(body)
        return web.json_response({"id": str(10**17 + len(self.messages)), "embeds": body["embeds"]})


@dataclass
class Telegram(Provider):
    """A bot that is in one chat."""

    token: str = "123456:" + "A" * 35
    chat_id: str = "-1001"
    messages: list[Json] = field(default_factory=list)
    pictures: list[bytes] = field(default_factory=list)

    async def handle(self, path: str, body: Json, request: web.Request) -> web.Response:
        """Call a method."""
        self.expect(request.method == "POST", request.method)
        if not path.startswith(f"/bot{self.token}/"):
            return web.json_response({"ok": False, "error_code": 404, "description": "Not Found"}, status=404)
        if not self.expect(body.get("chat_id") == self.chat_id, "chat_id"):
            return _telegram_error("Bad Request: chat not found")
        if path.endswith("/sendPhoto"):
            self.pictures.append(body["photo"])
            return web.json_response({"ok": True, "result": {"message_id": 1_000}})
        known = {"b", "i", "u", "s", "code", "pre", "a"}
        tags = re.findall(r"</?([a-z]+)[^>]*>", body["text"])
        plain = re.sub(r"</?[a-z]+[^>]*>", "", body["text"])
        bad = re.search(r"<|>|&(?!amp;|lt;|gt;|quot;)", plain)
        right = [
            self.expect(path.endswith("/sendMessage"), path),
            self.expect(body.get("parse_mode") == "HTML" and set(tags) <= known and not bad, "entities"),
            self.expect(0 < len(plain) <= 4_096, "message is too long"),
            self.expect(tags.count("b") % 2 == 0 and tags.count("code") % 2 == 0, "unbalanced tags"),
        ]
        if not all(right):
            return _telegram_error("Bad Request: can't parse entities")
        self.messages.append(body)
        return web.json_response({"ok": True, "result": {"message_id": len(self.messages)}})


def _telegram_error(why: str) -> web.Response:
    return web.json_response({"ok": False, "error_code": 400, "description": why}, status=400)


@dataclass
class Ntfy(Provider):
    """A server that wants a login."""

    login: tuple[str, str] = ("ops", "ntfy-password")
    messages: list[Json] = field(default_factory=list)

    async def handle(self, path: str, body: Json, request: web.Request) -> web.Response:
        """Publish."""
        wanted = "Basic " + base64.b64encode(":".join(self.login).encode()).decode()
        if request.headers.get("Authorization") != wanted:
            return web.json_response({"code": 40101, "http": 401, "error": "unauthorized"}, status=401)
        right = [
            self.expect(path == "/" and request.method == "POST", f"{request.method} {path}"),
            self.expect(re.fullmatch(r"[-_A-Za-z0-9]{1,64}", body.get("topic", "")), "topic"),
            self.expect(0 < len(body.get("message", "").encode()) <= 4_096, "message"),
            self.expect(body.get("priority") in range(1, 6), "priority"),
            self.expect(len(body.get("actions", [])) <= 3, "actions"),
        ]
        if not all(right):
            return web.json_response({"code": 40024, "http": 400, "error": "invalid request"}, status=400)
        self.messages.append(body)
        return web.json_response({"id": f"m{len(self.messages)}", "event": "message", "topic": body["topic"]})


@dataclass
class Teams(Provider):
    """The webhook of a workflow."""

    cards: list[Json] = field(default_factory=list)
    limit_bytes: ClassVar[int] = 28_000

    async def handle(self, path: str, body: Json, request: web.Request) -> web.Response:
        """Take a card."""
        self.expect(request.method == "POST" and path == "/workflows/1", f"{request.method} {path}")
        (attachment,) = body["attachments"]
        card = attachment["content"]
        right = [
            self.expect(body["type"] == "message", "type"),
            self.expect(attachment["contentType"] == "application/vnd.microsoft.card.adaptive", "contentType"),
            self.expect((card["type"], card["version"]) == ("AdaptiveCard", "1.4"), "card"),
            self.expect(all(one["type"] == "Action.OpenUrl" and one["url"] for one in card["actions"]), "actions"),
            *map(self._is_element, card["body"]),
        ]
        if not all(right):
            return web.Response(status=400, text="Bad payload")
        self.cards.append(card)
        return web.Response(status=202)

    def _is_element(self, element: Json) -> bool:
        checks: dict[str, Callable[[Json], bool]] = {
            "Container": lambda one: all(map(self._is_element, one["items"])),
            "RichTextBlock": lambda one: all(run["type"] == "TextRun" and run["text"] for run in one["inlines"]),
        }
        check = checks.get(element["type"])
        return self.expect(check is not None and check(element), f"element {element['type']}")


_numbers = itertools.count(1)


@dataclass
class Slack(Provider):
    """A workspace with a bot in one channel: `messages` by their ts, replies among them."""

    token: str = "xoxb-token-of-this-test"  # noqa: S105 - of a stand-in
    channel: str = "C0123456"
    messages: dict[str, Json] = field(default_factory=dict)
    edits: list[str] = field(default_factory=list)
    pictures: list[bytes] = field(default_factory=list)

    @property
    def roots(self) -> list[str]:
        """The messages that are no replies."""
        return [ts for ts, message in self.messages.items() if not message.get("thread_ts")]

    async def handle(self, path: str, body: Json, request: web.Request) -> web.Response:
        """Call a method."""
        if path == "/upload":
            self.pictures.append(body["raw"])
            return web.Response(text="OK - 1")
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return _slack_error("invalid_auth")
        method = path.removeprefix("/api/")
        if method == "files.getUploadURLExternal":
            self.expect(int(body["length"]) > 0 and body["filename"], "length")
            return web.json_response({"ok": True, "upload_url": f"{self.url}/upload", "file_id": "F1"})
        if method == "files.completeUploadExternal":
            self.expect(body["thread_ts"] in self.messages and body["channel_id"] == self.channel, "place of the file")
            return web.json_response({"ok": True, "files": [{"id": "F1"}]})
        if body.get("channel") != self.channel:
            return _slack_error("channel_not_found")
        if not self.expect(body.get("text") and _are_blocks(body.get("blocks", [])), "blocks"):
            return _slack_error("invalid_blocks")
        return self._post(body) if method == "chat.postMessage" else self._update(method, body)

    def _post(self, body: Json) -> web.Response:
        thread = body.get("thread_ts")
        if not self.expect(thread is None or thread in self.roots, f"thread_ts {thread}"):
            return _slack_error("thread_not_found")
        ts = f"1764000000.{next(_numbers):06d}"
        self.messages[ts] = body
        return web.json_response({"ok": True, "channel": self.channel, "ts": ts})

    def _update(self, method: str, body: Json) -> web.Response:
        self.expect(method == "chat.update", method)
        if body.get("ts") not in self.messages:
            return _slack_error("message_not_found")
        self.messages[body["ts"]] |= {"text": body["text"], "blocks": body["blocks"]}
        self.edits.append(body["ts"])
        return web.json_response({"ok": True, "channel": self.channel, "ts": body["ts"], "text": body["text"]})


def _slack_error(error: str) -> web.Response:
    return web.json_response({"ok": False, "error": error})


def _are_blocks(blocks: list[Json]) -> bool:
    def fits(text: Json, limit: int) -> bool:
        return text["type"] in ("mrkdwn", "plain_text") and 0 < len(text["text"]) <= limit

    checks: dict[str, Callable[[Json], bool]] = {
        "header": lambda one: one["text"]["type"] == "plain_text" and fits(one["text"], 150),
        "section": lambda one: (
            (one.get("text") is None or fits(one["text"], 3_000))
            and len(one.get("fields", [])) <= 10
            and all(fits(text, 2_000) for text in one.get("fields", []))
        ),
        "actions": lambda one: (
            len(one["elements"]) <= 25
            and all(
                each["type"] == "button" and fits(each["text"], 75) and 0 < len(each["url"]) <= 3_000
                for each in one["elements"]
            )
            and len({each["action_id"] for each in one["elements"]}) == len(one["elements"])
        ),
        "context": lambda one: len(one["elements"]) <= 10 and all(fits(text, 3_000) for text in one["elements"]),
    }
    known = all(block["type"] in checks and checks[block["type"]](block) for block in blocks)
    return known and len(blocks) <= 50
