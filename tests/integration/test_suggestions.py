"""From an alert that somebody called false to other settings for its rule, with real services."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from playwright.sync_api import sync_playwright
from tests.integration.test_shadow import TOKEN, World, world

from tocsin.cli.app import run
from tocsin.testing import eventually

RULE: dict[str, Any] = {"id": "far", "metric_type": "latency", "condition": "baseline", "threshold": 5}


def asked(address: str) -> list[str] | None:
    """Call the alert that is over false in the dashboard, that which fires real and false again, and ask their rule's
    page for milder settings; what it says of all. None where there is no browser."""
    if (chromium := shutil.which("chromium")) is None:
        return None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(30_000)
        page.route("**/api/v1/feedback*", lambda route: route.fulfill(status=503))
        page.goto(address)
        page.wait_for_selector("#state:text('What is over cannot be read (503)')")
        assert page.is_visible("#rows button:text('It was real')")
        page.unroute("**/api/v1/feedback*")
        page.reload()
        page.click("#past-rows button:text('False positive')")
        page.fill("#judge-comment", "the test drive")
        page.click("#judge button[value=mark]")
        noted = page.inner_text("#past-rows td.acts small")
        page.click("#rows button:text('It was real')")
        page.click("#rows button:text('False positive')")
        page.fill("#judge-comment", "a deploy")
        page.click("#judge button[value=mark]")
        fires = page.inner_text("#rows td.acts small")
        page.click("#past-rows a")
        page.click("#suggest")
        found = [noted, fires, page.inner_text("td.chosen")]
        browser.close()
    return found


async def fires_twice(at: World) -> Any:
    """A real alert that is over, and one that is none and fires; the alert's name."""
    begin_ms = int(time.time() * 1_000) - 6_000_000
    noise = np.random.default_rng(1).uniform(99, 101, 199).round(3).tolist()
    values = [*noise[:150], 900.0, *noise[150:], 105.0]  # a real one, and one that is none
    samples = [
        {"name": "latency", "value": value, "timestamp": begin_ms + index * 30_000, "labels": {"service": "api"}}
        for index, value in enumerate(values)
    ]
    await at.producer.send_and_wait(at.metrics, orjson.dumps(samples), key=b"api")

    async def firing() -> Any:
        found = (await at.call("GET", "/alerts/active?rule_id=far"))["items"]
        return found[0]["fingerprint"] if found and found[0]["value"] == 105 else None

    return await eventually(firing, 60, "the alert fires", poll_s=0.2)


async def judge_one_that_is_over(at: World, fingerprint: str, address: str) -> Any:
    """Say of the alert that is over that it was false, as people do; its last event."""
    path = f"/alerts/{fingerprint}/feedback"
    (over,) = (await at.call("GET", "/alerts/history?type=resolved"))["items"]
    await at.call("POST", path, {"verdict": "false_positive", "starts_at": "2020-01-01T00:00:00Z"}, 422)
    await at.call("POST", path, {"starts_at": over["starts_at"]}, 422)
    await at.call("POST", "/alerts/none/feedback", {"verdict": "real"}, 404)
    said = await asyncio.to_thread(asked, f"{address}/#token={TOKEN}")
    noted = "false positive, said admin: "
    assert said in (None, [f"{noted}the test drive", f"{noted}a deploy", "suggested"])
    if said is None:  # without a browser
        body = {"verdict": "false_positive", "starts_at": over["starts_at"], "comment": "the test drive"}
        await at.call("POST", path, body)
    found = await at.call("GET", "/rules/far/suggestions")
    assert found["now"] == {"alerts": 2, "false_positives": 2, "other_alerts": 0}
    given = (await at.call("GET", "/feedback?rule_id=far"))["items"]
    (kept,) = [one for one in given if one["starts_at"] == over["starts_at"]]
    assert [kept[name] for name in ("verdict", "comment")] == ["false_positive", "the test drive"]
    assert kept["ends_at"] == over["ends_at"]
    assert (await at.call("GET", f"/alerts/{fingerprint}"))["feedback"] == given
    entries = (await at.call("GET", "/audit?action=POST%20/alerts/%7Bfingerprint%7D/feedback"))["items"]
    (entry,) = [one for one in entries if one["after"]["starts_at"] == over["starts_at"]]
    assert (entry["target"]["fingerprint"], entry["after"]["starts_at"]) == (fingerprint, over["starts_at"])
    return over


async def test_alerts_that_were_called_false_lead_to_a_suggestion(
    kafka: str,
    tmp_path: Path,
    topic_prefix: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with world(kafka, tmp_path, topic_prefix) as at:
        await at.call("PUT", "/rules/far", RULE, 201)
        await at.call("PUT", "/rules/plain", {"id": "plain", "metric_type": "latency", "threshold": 1_000}, 201)
        nothing = await at.call("GET", "/rules/far/suggestions")
        assert (nothing["false_positives"], nothing["suggestion"]) == ([], None)
        await at.call("GET", "/rules/plain/suggestions", wanted=409)

        fingerprint = await fires_twice(at)
        path = f"/alerts/{fingerprint}/acknowledge"
        await at.call("POST", path, {"reason": "boring"}, 422)
        await at.call("POST", path, {"comment": "looking"})
        told = await at.call("POST", path, {"reason": "false_positive", "comment": "a deploy"})
        assert told["acknowledged"]["reason"] == "false_positive"

        found = await at.call("GET", "/rules/far/suggestions")
        assert [one["comment"] for one in found["false_positives"]] == ["a deploy"]
        assert found["now"] == {"alerts": 2, "false_positives": 1, "other_alerts": 1}
        chosen = next(one for one in found["candidates"] if one["change"] == found["suggestion"])
        assert (chosen["false_positives"], chosen["other_alerts"]) == (0, 1)
        assert (await at.call("GET", "/rules/far"))["threshold"] == 5

        # Whoever finds that it is to be cared about after all has taken the word back.
        await at.call("POST", f"/alerts/{fingerprint}/unacknowledge", {})
        assert (await at.call("GET", "/rules/far/suggestions"))["false_positives"] == []
        await at.call("POST", path, {"reason": "false_positive", "comment": "a deploy"})

        address = f"http://127.0.0.1:{at.session._base_url.port}"  # type: ignore[union-attr]
        over = await judge_one_that_is_over(at, fingerprint, address)
        monkeypatch.setenv("TOCSIN_API_TOKEN", TOKEN)
        for started in ([], ["--started", over["starts_at"]]):  # the one that fires, and the one that is over
            marking = ["alerts", "mark", fingerprint, "--real", *started, "--url", address]
            assert await asyncio.to_thread(run, marking) == 0
        nothing = await at.call("GET", "/rules/far/suggestions")
        assert (nothing["false_positives"], nothing["suggestion"]) == ([], None)
        assert await asyncio.to_thread(run, ["alerts", "mark", fingerprint, "--url", address]) == 0
        assert await asyncio.to_thread(run, ["rules", "suggest", "far", "--url", address]) == 0
        printed = capsys.readouterr()
        assert "as it is" in printed.out
        assert "suggested: " in printed.err
