"""The dashboard in a browser, with answers of ours: one question at a time, and an alert by itself."""

from __future__ import annotations

import json
import mimetypes
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, Route, sync_playwright

from tocsin.schemas import codec
from tocsin.testing.alerts import firing_event

ADDRESS = "http://dashboard.test"
CHROMIUM = shutil.which("chromium")


def wait_for(page: Page, asked: list[Route], count: int) -> None:
    """Until so many questions came."""
    deadline = time.monotonic() + 30
    while len(asked) < count and time.monotonic() < deadline:
        page.evaluate("null")  # has the browser's news come in
    assert len(asked) == count


@contextmanager
def dashboard(answer: Callable[[Route], None]) -> Iterator[Page]:
    """A page of it, not opened yet, whose questions `answer` answers."""

    def page_of(route: Route) -> None:
        name = urlsplit(route.request.url).path.removeprefix("/assets/").strip("/") or "index.html"
        content_type, _ = mimetypes.guess_type(name)
        route.fulfill(body=files("tocsin.web").joinpath(name).read_text("utf-8"), content_type=content_type)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(30_000)
        page.route(f"{ADDRESS}/**", page_of)
        page.route("**/api/v1/**", answer)
        yield page
        browser.close()


def give(route: Route, body: Any) -> None:
    """Answer with JSON."""
    route.fulfill(body=json.dumps(body), content_type="application/json")


@pytest.mark.skipif(CHROMIUM is None, reason="there is no browser here")
def test_an_answer_that_comes_late_never_covers_a_later_one() -> None:
    asked: list[Route] = []

    def answer(route: Route) -> None:
        give(route, {"items": [], "next_cursor": None, "total": len(asked)})

    with dashboard(answer) as page:
        page.route("**/api/v1/alerts/active*", lambda route: asked.append(route))
        page.goto(f"{ADDRESS}/#token=t")
        wait_for(page, asked, 1)
        page.evaluate("refresh(), refresh(), refresh(), null")
        answer(asked[0])  # what was asked for meanwhile is asked once
        wait_for(page, asked, 2)
        answer(asked[1])
        page.wait_for_selector("#state:text('2 active')")
        wait_for(page, asked, 3)  # at the next time


@pytest.mark.skipif(CHROMIUM is None, reason="there is no browser here")
def test_the_link_of_a_message_leads_to_its_alert() -> None:
    event = firing_event(annotations={"summary": "<b>slow</b>"}, runbook_url="https://runbooks.example.com/slow")
    sent = {"id": "n1", "outcome": "delivered", "at": event.updated_at, "status_code": 200, "receipt": "taken"}
    told = {"at": event.updated_at, "event_id": event.id, "decision": "sent", "reason": "first", "event": None, **sent}
    quiet = {**told, "outcome": "silenced", "by": ["s1"], "reason": "", "receipt": "", "status_code": None}
    receivers = [{"channel": "ops-mail", "entries": [told]}, {"channel": "chat", "entries": [quiet]}]
    alert = json.loads(codec.encode(event))
    found = {"alert": alert, "timeline": [alert], "explanation": {"receivers": receivers, "escalation": None}}
    posts: list[tuple[str, Any]] = []

    def answer(route: Route) -> None:
        path = urlsplit(route.request.url).path.removeprefix("/api/v1")
        if route.request.method == "POST":
            posts.append((path, route.request.post_data_json))
        if path == "/alerts/broken":
            route.fulfill(status=502, body="<html>")
        elif path == f"/alerts/{event.fingerprint}":
            give(route, found)
        else:
            give(route, {"items": [], "next_cursor": None, "total": 0, "detail": "not now"})

    with dashboard(answer) as page:
        page.goto(f"{ADDRESS}/#token=t")
        page.wait_for_selector("#empty:visible")
        page.goto(f"{ADDRESS}/#/alerts/{event.fingerprint}")
        page.wait_for_selector("#alert-told td:text('delivered')")
        assert page.inner_text("#alert-told").count("answered 200 taken") == 1
        assert "by s1" in page.inner_text("#alert-told tr:has-text('chat')")
        assert page.inner_text("#alert-about").startswith("<b>slow</b> "), "it is text"
        assert page.get_attribute("#alert-facts a[rel]", "href") == event.runbook_url
        assert page.is_hidden("#board")
        for label, path, body in (("Acknowledge", "acknowledge", {}), ("Snooze 1 h", "snooze", {"duration": "1h"})):
            page.click(f"#alert-acts button:text('{label}')")
            page.wait_for_selector(f"#alert-acts button:text('{label}'):enabled")
            assert posts[-1] == (f"/alerts/{event.fingerprint}/{path}", body)
        page.evaluate("location.hash = '#/alerts/broken'")
        page.wait_for_selector("#state.bad")
        assert page.is_hidden("#alert-acts"), "no button of another alert"
        page.click("#alert a:text('All alerts')")
        page.wait_for_selector("#empty:visible")


@pytest.mark.skipif(CHROMIUM is None, reason="there is no browser here")
def test_what_is_kept_quiet_is_marked_with_its_cause() -> None:
    event = firing_event()
    why = {"why": "silenced", "by": ["s1"], "until": event.updated_at, "comment": "<i>disks</i>"}
    alert = {**json.loads(codec.encode(event)), "quiet": [why]}
    listed = {"items": [alert, {**alert, "quiet": []}], "next_cursor": None, "total": 2}
    shown = {"alert": alert, "timeline": [alert], "explanation": {"receivers": [], "escalation": None}}

    def answer(route: Route) -> None:
        path = urlsplit(route.request.url).path.removeprefix("/api/v1")
        answers = {"/alerts/active": listed, f"/alerts/{event.fingerprint}": shown}
        give(route, answers.get(path, {"items": [], "next_cursor": None, "total": 0}))

    with dashboard(answer) as page:
        page.goto(f"{ADDRESS}/#token=t")
        page.wait_for_selector("#rows .hushed")
        assert page.locator("#rows .hushed").all_inner_texts() == ["silenced"]
        assert str(page.get_attribute("#rows .hushed", "title")).startswith("by s1\n<i>disks</i>\nuntil ")
        page.goto(f"{ADDRESS}/#/alerts/{event.fingerprint}")
        page.wait_for_selector("#alert-facts .hushed:text('silenced')")
