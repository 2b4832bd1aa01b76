"""The dashboard in a browser, with answers of ours: one question at a time, however often it is asked for another."""

from __future__ import annotations

import json
import shutil
import time
from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import Page, Route, sync_playwright

ADDRESS = "http://dashboard.test"
CHROMIUM = shutil.which("chromium")


def wait_for(page: Page, asked: list[Route], count: int) -> None:
    """Until so many questions came."""
    deadline = time.monotonic() + 30
    while len(asked) < count and time.monotonic() < deadline:
        page.evaluate("null")  # has the browser's news come in
    assert len(asked) == count


@pytest.mark.skipif(CHROMIUM is None, reason="there is no browser here")
def test_an_answer_that_comes_late_never_covers_a_later_one() -> None:
    asked: list[Route] = []

    def page_of(route: Route) -> None:
        name = route.request.url.removeprefix(ADDRESS).split("#")[0].strip("/").removeprefix("assets/") or "index.html"
        route.fulfill(body=files("tocsin.web").joinpath(name).read_bytes().decode())

    def answer(route: Route) -> None:
        body: Any = {"items": [], "next_cursor": None, "total": len(asked)}
        route.fulfill(body=json.dumps(body), content_type="application/json")

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(30_000)
        page.route(f"{ADDRESS}/**", page_of)
        page.route("**/api/v1/**", answer)
        page.route("**/api/v1/alerts/active*", lambda route: asked.append(route))
        page.goto(f"{ADDRESS}/#token=t")
        wait_for(page, asked, 1)
        page.evaluate("refresh(), refresh(), refresh(), null")
        answer(asked[0])  # what was asked for meanwhile is asked once
        wait_for(page, asked, 2)
        answer(asked[1])
        page.wait_for_selector("#state:text('2 active')")
        wait_for(page, asked, 3)  # at the next time
        browser.close()
