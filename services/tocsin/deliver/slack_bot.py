"""Slack's web API with a bot's token: one message for an alert, edited as it changes, and a thread that tells how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tocsin.deliver.http import JSON_HEADERS, Part, form, post_json, request
from tocsin.deliver.protocol import Authentication, DeliveryError, Outgoing, Permanent, Receipt, Transient, Transport
from tocsin.deliver.slack_blocks import escape
from tocsin.deliver.text import one_line, shortened
from tocsin.schemas.rule import Severity

_AUTHENTICATION = frozenset(
    {"invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "no_permission"}
    | {"missing_scope", "org_login_required", "ekm_access_denied", "not_allowed_token_type"}
)
_TRANSIENT = frozenset(
    {"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"}
)
# The message of before cannot be edited any more, so a new one is posted.
_GONE = frozenset(
    {"message_not_found", "cant_update_message", "edit_window_closed", "is_inactive", "channel_not_found"}
)
_REPLY = 2_900


@dataclass(frozen=True, slots=True)
class Way:
    """How Slack is reached."""

    api_url: str
    token: str
    timeout_s: float
    transport: Transport

    async def call(self, method: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Call a method of the API. Raises a DeliveryError; Slack says most errors with a status of 200."""
        headers = {**JSON_HEADERS, "Authorization": f"Bearer {self.token}"}
        url = f"{self.api_url}/{method}"
        answer = await post_json(self.transport, url, arguments, headers=headers, timeout_s=self.timeout_s)
        return _checked(method, answer.json(), answer.status, answer.text)

    async def call_with_form(self, method: str, arguments: Mapping[str, str]) -> Mapping[str, Any]:
        """The same for methods that take no JSON."""
        body, headers = form([Part(name, text.encode()) for name, text in arguments.items()])
        answer = await request(
            self.transport, "POST", f"{self.api_url}/{method}", body=body,
            headers={**headers, "Authorization": f"Bearer {self.token}"}, timeout_s=self.timeout_s,
        )  # fmt: skip
        return _checked(method, answer.json(), answer.status, answer.text)


class Gone(Permanent):
    """The message cannot be edited."""


@dataclass(frozen=True, slots=True)
class Told:
    """The payload of `chat.postMessage`, and whether changes are told in the thread too."""

    payload: Mapping[str, Any]
    thread: bool


async def tell(way: Way, told: Told, outgoing: Outgoing) -> Receipt:
    """Edit the message that told of the same before, or post a new one. What an attempt did is not done again."""
    earlier = outgoing.earlier
    if earlier is not None and "gone" not in outgoing.settled:
        try:
            return await _edited(way, told, outgoing, earlier)
        except Gone:
            outgoing.settled.add("gone")
    answer = await way.call("chat.postMessage", told.payload)
    reference = {"ts": str(answer["ts"]), "channel": str(answer["channel"]), "severity": outgoing.message.severity}
    detail = await _with_chart(way, outgoing, reference)
    return Receipt(f"posted {reference['ts']}", 200, detail, reference)


async def _edited(way: Way, told: Told, outgoing: Outgoing, earlier: Mapping[str, str]) -> Receipt:
    place = {"channel": earlier["channel"], "ts": earlier["ts"]}
    if "update" not in outgoing.settled:
        shown = {name: told.payload[name] for name in ("text", "blocks")}
        await way.call("chat.update", {**shown, **place})
        outgoing.settled.add("update")
    if told.thread and "reply" not in outgoing.settled:
        message = outgoing.message
        lines = shortened(escape("\n".join((f"{message.mark} {message.state.upper()}", *message.summary))), _REPLY)
        # An edit alone makes no sound: what got worse, or is said again, is shown in the channel too.
        aloud = _is_news(outgoing, earlier.get("severity", ""))
        reply = {"channel": place["channel"], "thread_ts": place["ts"], "text": lines, "reply_broadcast": aloud}
        await way.call("chat.postMessage", reply)
        outgoing.settled.add("reply")
    return Receipt(f"edited {place['ts']}", 200, "", {**place, "severity": outgoing.message.severity})


def _is_news(outgoing: Outgoing, before: str) -> bool:
    group = outgoing.notification.group
    if outgoing.message.state == "resolved":
        return False
    if group is not None and group.reason in ("first", "new", "worse", "repeat"):
        return True
    return Severity.of(outgoing.message.severity).rank > Severity.of(before).rank


async def _with_chart(way: Way, outgoing: Outgoing, reference: Mapping[str, str]) -> str:
    """Put the chart into the thread; what goes wrong with it is told and stops nothing."""
    picture = outgoing.message.chart
    if picture is None:
        return ""
    try:
        size = {"filename": "chart.png", "length": str(len(picture)), "alt_txt": outgoing.message.title}
        place = await way.call_with_form("files.getUploadURLExternal", size)
        await request(
            way.transport, "POST", str(place["upload_url"]),
            body=picture, headers={"Content-Type": "application/octet-stream"}, timeout_s=way.timeout_s,
        )  # fmt: skip
        file = {"id": place["file_id"], "title": outgoing.message.title}
        where = {"channel_id": reference["channel"], "thread_ts": reference["ts"]}
        await way.call("files.completeUploadExternal", {"files": [file], **where})
    except DeliveryError as error:
        return f"without its chart: {error.detail}"
    return ""


def _checked(method: str, answer: Mapping[str, Any], status: int, text: str) -> Mapping[str, Any]:
    if answer.get("ok") is True:
        return answer
    error = one_line(str(answer.get("error", "")), 80)
    detail = f"{method}: {error or text or 'nothing'}"
    if error in _TRANSIENT:
        raise Transient(detail, status_code=status)
    if error in _AUTHENTICATION:
        raise Authentication(f"{detail} (check bot_token and its scopes)", status_code=status)
    raise (Gone if method == "chat.update" and error in _GONE else Permanent)(detail, status_code=status)
