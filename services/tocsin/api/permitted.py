"""Links in messages: a page that asks, and a form that does what the link permits, once. To look changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final
from urllib.parse import parse_qs

import minijinja
import msgspec
from aiohttp import web

from tocsin.agents.clock import clock_ms
from tocsin.api.acting import carried_out
from tocsin.api.auditing import DONE, Done
from tocsin.api.silences import KIND, PERMITTED, permitted
from tocsin.api.state import Api, api_of
from tocsin.deliver.text import one_line
from tocsin.permits import PATH, PURPOSE, NoPermit, Permit, Permits
from tocsin.projection import queries
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.command import Command
from tocsin.schemas.duration import milliseconds
from tocsin.schemas.instant import parse_instant
from tocsin.schemas.labels import stable_id
from tocsin.schemas.silence import matchers_for

ROUTE: Final = f"{PATH}{{token}}"
_FORM: Final = "application/x-www-form-urlencoded"
_MAX_FORM: Final = 8_192
_MOST_FIELDS: Final = 8
_LENGTHS: Final = ("1h", "4h", "1d")
_SHOWN: Final = 20
_TITLES: Final = {"acknowledge": "Acknowledge", "silence": "Silence"}
_SAFE: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """A permit, and what there is left to do: `open` are the alerts that it is for, `why` says why there are none."""

    permit: Permit
    open: tuple[AlertEvent, ...]
    why: str = ""

    @property
    def fingerprints(self) -> str:
        """Of those alerts, for the record."""
        return ",".join(event.fingerprint for event in self.open)


@dataclass(frozen=True, slots=True)
class Said:
    """What came with the form; `by` names the link too, since nobody checks a name."""

    by: str
    comment: str
    length: str


async def show(request: web.Request) -> web.Response:
    """What the link would do, and a button for it."""
    try:
        standing = await _standing(api_of(request), request.match_info["token"])
    except NoPermit as error:
        return _page("This link does nothing", str(error), status=410)
    title = _TITLES[standing.permit.act]
    if not standing.open:
        return _page("Nothing to do", standing.why)
    text = "It is told again when it gets worse or ends." if standing.permit.act == "acknowledge" else ""
    text = text or "Nobody is told of it until it is over, or the time is."
    lengths = _LENGTHS if standing.permit.act == "silence" else ()
    return _page(f"{title}?", text, standing.open, button=title, lengths=lengths)


async def act(request: web.Request) -> web.Response:
    """Do what the link permits, if it was not done yet."""
    api, fields = api_of(request), await _fields(request)
    if fields is None:
        return _page("Nothing was done", "Use the button of the page that the link shows.", status=400)
    try:
        standing = await _standing(api, request.match_info["token"])
    except NoPermit as error:
        return _page("Nothing was done", str(error), status=410)
    if not standing.open:
        return _page("Nothing was done", standing.why, status=409)
    said = _said(fields, standing.permit)
    if said.length not in _LENGTHS:
        return _page("Nothing was done", f"The time must be one of {', '.join(_LENGTHS)}.", status=400)
    request[DONE] = Done(said.by, {"act": standing.permit.act, "alerts": standing.fingerprints})
    if standing.permit.act == "acknowledge":
        return await _acknowledged(api, standing, said)
    return await _silenced(api, standing, said)


async def _fields(request: web.Request) -> Mapping[str, str] | None:
    """What a form says; None for what the page does not send."""
    if request.content_type != _FORM or (request.content_length or 0) > _MAX_FORM:
        return None
    content = await request.read()
    if len(content) > _MAX_FORM:
        return None
    try:
        found = parse_qs(content.decode("utf-8", "replace"), max_num_fields=_MOST_FIELDS)
    except ValueError:
        return None
    return {name: one_line(values[0]) for name, values in found.items()}


def _said(fields: Mapping[str, str], permit: Permit) -> Said:
    by, where = one_line(fields.get("by", ""), 100), f"link in {permit.channel_id}"
    return Said(
        f"{by} ({where})" if by else where, one_line(fields.get("comment", ""), 1_000), fields.get("length", "1h")
    )


async def _standing(api: Api, token: str) -> Standing:
    """Raises NoPermit."""
    permit = Permits(api.vault.derived(PURPOSE)).permit(token, clock_ms())
    if permit.act == "silence" and await queries.one_document(api.database, KIND, PERMITTED + permit.id) is not None:
        return Standing(permit, (), "This link was used already.")
    found, why = [], "It is over."
    for subject in permit.subjects:
        item = await queries.active_alert(api.database, subject.fingerprint)
        event = msgspec.convert(item, AlertEvent) if item else None
        if event is None or not event.is_active or parse_instant(event.starts_at) != subject.starts_ms:
            continue
        if permit.act == "acknowledge":
            place = (subject.fingerprint, subject.starts_ms, subject.sequence)
            earlier = await queries.acknowledged_since(api.database, *place)
            if earlier is not None or event.status == "acknowledged":
                by = (earlier or {}).get("actor") or (event.acknowledged.by if event.acknowledged else "somebody")
                why = f"It was acknowledged already, by {by}."
                continue
        elif not matchers_for(event):
            why = "It has more labels than a silence can name."
            continue
        found.append(event)
    return Standing(permit, tuple(found), why)


async def _acknowledged(api: Api, standing: Standing, said: Said) -> web.Response:
    """The command's id is the permit's: what comes twice at the same moment counts once."""
    commands = [
        Command(
            stable_id(standing.permit.id, event.fingerprint), "acknowledge", event.fingerprint, said.by, clock_ms(),
            said.comment, starts_at=event.starts_at,
        )
        for event in standing.open
    ]  # fmt: skip
    # All at once: each of them may take as long as people wait for a page.
    made = await asyncio.gather(*(carried_out(api, command, "acknowledged") for command in commands))
    is_done = None not in made
    text = "Escalation has stopped, and nothing is repeated." if is_done else "This takes a moment; it is on its way."
    return _page("Acknowledged", text, standing.open, status=200 if is_done else 202)


async def _silenced(api: Api, standing: Standing, said: Said) -> web.Response:
    (event,) = standing.open
    identity, length_ms = PERMITTED + standing.permit.id, milliseconds(said.length)
    if not await permitted(api, identity, event, length_ms, said.by, said.comment):
        return _page("Nothing was done", "This link was used already.", status=409)
    return _page("Silenced", f"Nobody is told of it until it is over, for {said.length} at most.", standing.open)


def _page(title: str, text: str, alerts: tuple[AlertEvent, ...] = (), status: int = 200, **more: Any) -> web.Response:
    shown = [_alert(event) for event in alerts[:_SHOWN]]
    link = f"/#/alerts/{alerts[0].fingerprint}" if len(alerts) == 1 else ""
    page = _environment().render_template("act.html", title=title, text=text, alerts=shown, link=link, **more)
    return web.Response(text=page, content_type="text/html", status=status, headers=_SAFE)


def _alert(event: AlertEvent) -> Mapping[str, str]:
    labels = ", ".join(f"{name}={value}" for name, value in sorted(event.labels.items()) if name != "alertname")
    name = one_line(event.rule_name or event.rule_id, 200)
    return {"name": name, "severity": one_line(event.severity, 40), "labels": one_line(labels, 400)}


@cache
def _environment() -> minijinja.Environment:
    text = files("tocsin.web").joinpath("act.html").read_text("utf-8")
    return minijinja.Environment(templates={"act.html": text}, trim_blocks=True, lstrip_blocks=True)
