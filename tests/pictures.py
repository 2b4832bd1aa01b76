"""The pictures in docs: `python -m tests.pictures`, with Chromium on the path.

The dashboard is its own page with answers of a sample, and the email is the HTML that is sent. Slack's blocks are drawn
by the small page below, which is not Slack's own.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import tempfile
from dataclasses import replace
from html import escape, unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from playwright.sync_api import Route
from tests.unit.api.test_dashboard import ADDRESS, dashboard, give

from tocsin.agents.clock import clock_ms
from tocsin.charts import alert_chart, as_png
from tocsin.deliver.actions import Actions
from tocsin.deliver.channels import CHANNELS, check_config
from tocsin.deliver.composer import Composer
from tocsin.deliver.protocol import Outgoing
from tocsin.permits import PURPOSE, Permits
from tocsin.schemas import codec
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.instant import format_instant, parse_instant
from tocsin.testing.alerts import UPDATED_AT, Addressee, firing_event
from tocsin.testing.delivering import BASE_URL, VAULT

IMAGES = Path(__file__).parents[1] / "docs" / "images"
EMAIL = {"smtp_host": "smtp.example.com", "from_address": "alerts@example.com", "to_addresses": ["ops@example.com"]}
SLACK = {"bot_token": "xoxb-a-token", "channel": "C0123456789", "mentions": ["here"]}
STYLE = """
body { margin: 0; padding: 24px; background: #fff; color: #1d1c1d; font: 15px/1.46 Lato, "DejaVu Sans", sans-serif; }
.message { width: 620px; border: 1px solid #ddd; border-radius: 8px; padding: 16px 20px; }
.name { font-weight: 900; }
.app { background: #e8e8e8; border-radius: 2px; font-size: 10px; padding: 1px 3px; color: #616061; }
h3 { font-size: 18px; margin: 8px 0; }
p { margin: 8px 0; white-space: pre-line; }
a { color: #1264a3; text-decoration: none; }
.fields { display: grid; grid-template-columns: 1fr 1fr; gap: 8px; white-space: pre-line; }
.context { color: #616061; font-size: 12px; }
code { color: #e01e5a; border: 1px solid #ddd; border-radius: 3px; padding: 1px 3px; }
.button { display: inline-block; border: 1px solid #bbb; border-radius: 4px; padding: 6px 12px; }
.button { margin: 8px 8px 0 0; font-weight: 700; }
.thread { margin: 12px 0 0 24px; border-left: 3px solid #ddd; padding-left: 12px; }
.thread img { width: 560px; }
.at { background: #fff3d1; color: #1264a3; }
.note { color: #888; font-size: 11px; margin-top: 12px; }
"""


def shown(kind: str) -> Outgoing:
    """The message about an alert, with its chart and its links."""
    evidence = {"metric": "response_time", "window": ["2026-11-23T10:04:00.000Z", UPDATED_AT], "aggregation": "avg"}
    event = firing_event(evidence=evidence, runbook_url="https://runbooks.example.com/slow")
    at_ms = parse_instant(UPDATED_AT) - np.arange(240, dtype=np.int64)[::-1] * 5_000
    noise = np.random.default_rng(7).normal(0, 45, 240)
    values = 420 + 90 * np.sin(np.arange(240) / 25) + noise + np.clip((np.arange(240) - 170) * 25, 0, 720)
    composer = Composer(BASE_URL, actions=Actions(Permits(VAULT.derived(PURPOSE)), BASE_URL, 86_400_000))
    outgoing = composer.outgoing(Addressee("ops", kind).notification(event))
    chart = as_png(alert_chart(event, at_ms, values), 1.5)
    return Outgoing(outgoing.notification, replace(outgoing.message, chart=chart))


def email_page() -> str:
    """The HTML part, the picture within."""
    outgoing = shown("email")
    page = str(CHANNELS["email"].preview(check_config("email", EMAIL), outgoing)["html"])
    return re.sub(r"cid:[^\"]+", lambda _: _data(outgoing), page)


def slack_page() -> str:
    """The blocks as a page of ours."""
    outgoing = shown("slack")
    blocks = CHANNELS["slack"].preview(check_config("slack", SLACK), outgoing)["blocks"]
    body = "".join(map(_block, blocks))
    thread = f'<div class="thread"><img src="{_data(outgoing)}"></div>'
    head = '<span class="name">tocsin</span> <span class="app">APP</span>'
    note = '<div class="note">Blocks drawn by a page of tocsin, not by Slack.</div>'
    return f'<meta charset="utf-8"><style>{STYLE}</style><div class="message">{head}{body}{thread}{note}</div>'


def _data(outgoing: Outgoing) -> str:
    return "data:image/png;base64," + base64.b64encode(outgoing.message.chart or b"").decode()


def _block(block: dict[str, Any]) -> str:
    if block["type"] == "header":
        return f"<h3>{_marked(block['text']['text'])}</h3>"
    if block["type"] == "context":
        return "".join(f'<p class="context">{_marked(one["text"])}</p>' for one in block["elements"])
    if block["type"] == "actions":
        return "".join(f'<span class="button">{escape(one["text"]["text"])}</span>' for one in block["elements"])
    if "fields" in block:
        return (
            '<div class="fields">' + "".join(f"<div>{_marked(one['text'])}</div>" for one in block["fields"]) + "</div>"
        )
    return f"<p>{_marked(block['text']['text'])}</p>"


def _marked(text: str) -> str:
    """Slack's markup, as far as tocsin uses it."""
    text = re.sub(r"<!(\w+)>", "\x01at\x02@\\1\x01/at\x02", text)
    text = re.sub(r"<([^|>]+)\|([^>]+)>", "\x01a\x02\\2\x01/a\x02", text)
    text = escape(unescape(text))
    text = re.sub(r"\*([^*\n]+)\*", r"<b>\1</b>", re.sub(r"`([^`]+)`", r"<code>\1</code>", text))
    text = text.replace("\x01at\x02", '<span class="at">').replace("\x01/at\x02", "</span>")
    return text.replace("\x01a\x02", '<a href="#">').replace("\x01/a\x02", "</a>")


def draw(page: str, name: str, width: int, height: int) -> None:
    """Let Chromium draw a page."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    assert chromium, "Chromium is not on the path"
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "page.html"
        source.write_text(page, "utf-8")
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-background-networking"]
        size = [f"--window-size={width},{height}", f"--screenshot={IMAGES / name}", f"--user-data-dir={folder}/data"]
        subprocess.run([chromium, *flags, *size, source.as_uri()], check=True, capture_output=True, timeout=120)


def events() -> list[AlertEvent]:
    """Two alerts of a shop, in words of the demo."""
    now_ms = clock_ms()
    at = [format_instant(now_ms - seconds * 1_000) for seconds in (0, 10, 14)]
    slow: dict[str, Any] = {"labels": {"host": "b1", "service": "payments"}, "description": ""}
    found = [
        firing_event(rule_name="Slow responses", value=1_032.17, starts_at=at[1], updated_at=at[1], **slow,
                     annotations={"summary": "payments on b1 answers in 1032.0 ms"}),
        firing_event(fingerprint="9f2c000000000002", severity="critical", rule_name="Very slow responses",
                     value=1_958.2, threshold=1_500.0, starts_at=at[2], updated_at=at[2], **slow,
                     annotations={"summary": "payments on b1 is nearly down"}),
    ]  # fmt: skip
    return found


def explained(event: AlertEvent) -> dict[str, Any]:
    """What was told of an alert: by the rule, step by step, and not, since it was silenced."""
    told = {"at": event.updated_at, "event_id": event.id, "event": {"type": "firing"}, "outcome": "delivered"}
    mail = {**told, "reason": "named by the rule", "status_code": 250, "receipt": "1 of 1 recipients: OK queued"}
    page = {**told, "reason": "first", "policy": "page", "step": 1, "people": ["anna"], "status_code": 202}
    chat = {**told, "outcome": "silenced", "by": ["3f2a9c0d1b4e5f60"]}
    entries = {"ops-mail": mail, "anna-phone": page, "team-chat": chat}
    receivers = [{"channel": name, "entries": [one]} for name, one in entries.items()]
    return {"receivers": receivers, "escalation": {"steps": []}}


def draw_dashboard() -> None:
    """The first page, and that of one alert."""
    shown = [json.loads(codec.encode(one)) for one in events()]

    def answer(route: Route) -> None:
        path = urlsplit(route.request.url).path
        body: Any = {"items": shown if path.endswith("/active") else [], "next_cursor": None, "total": len(shown)}
        if path.endswith(shown[1]["fingerprint"]):
            body = {"alert": shown[1], "timeline": [shown[1]], "explanation": explained(events()[1])}
        give(route, body)

    with dashboard(answer) as page:
        page.set_viewport_size({"width": 1200, "height": 520})
        page.goto(f"{ADDRESS}/#token=t")
        page.wait_for_selector("#rows tr")
        page.screenshot(path=IMAGES / "first-page.png")
        page.set_viewport_size({"width": 1200, "height": 760})
        page.goto(f"{ADDRESS}/#/alerts/{shown[1]['fingerprint']}")
        page.wait_for_selector("#alert-told tr")
        page.screenshot(path=IMAGES / "alert-page.png")


if __name__ == "__main__":
    draw_dashboard()
    draw(email_page(), "email.png", 660, 835)
    draw(slack_page(), "slack.png", 720, 825)
