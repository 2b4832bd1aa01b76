"""PagerDuty, by its Events API v2: one incident for an alert or a group, triggered, acknowledged and resolved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator, Field, SecretStr

from tocsin.deliver.fields import BaseAddress
from tocsin.deliver.http import post_json
from tocsin.deliver.protocol import (
    ChannelType,
    Outgoing,
    Permanent,
    Receipt,
    Transport,
    destination_fields,
    secret_fields,
)
from tocsin.deliver.settings import ChannelSettings
from tocsin.deliver.text import one_line, visible
from tocsin.schemas.alert import AlertEvent

_SUMMARY, _DETAIL, _KEY_LENGTH = 1_024, 2_000, 32
_MAX_BYTES = 480_000  # PagerDuty takes 512 KB
_SEVERITIES = frozenset({"critical", "error", "warning", "info"})
_SOURCES = ("host", "instance", "node", "pod", "service", "job")


def _routing_key(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if len(text) != _KEY_LENGTH or not (text.isascii() and text.isalnum()):
        raise ValueError("is not an integration key; paste the 32 letters and digits of an Events API v2 integration")
    return value


class PagerDutySettings(ChannelSettings):
    """The integration key of a service; `url` is https://events.eu.pagerduty.com/v2/enqueue in the EU."""

    routing_key: Annotated[SecretStr, AfterValidator(_routing_key)]
    url: BaseAddress = "https://events.pagerduty.com/v2/enqueue"
    source: str = Field(default="", max_length=255, description="where it comes from; else the alert's host or service")


async def send(settings: PagerDutySettings, outgoing: Outgoing, transport: Transport) -> Receipt:
    """Send the event. PagerDuty takes a repeat for the same incident, by its key."""
    event = {**payload(settings, outgoing), "routing_key": settings.routing_key.get_secret_value()}
    answer = await post_json(transport, settings.url, event, timeout_s=settings.timeout_s)
    told = answer.json()
    if told.get("status") != "success":
        raise Permanent(f"the receiver did not answer success: {answer.text or 'nothing'}", status_code=answer.status)
    return Receipt(answer.text, answer.status)


def payload(settings: PagerDutySettings, outgoing: Outgoing) -> dict[str, Any]:
    """The event without its routing key."""
    message, event = outgoing.message, outgoing.notification.event
    about: dict[str, Any] = {
        "event_action": _action(outgoing),
        "dedup_key": outgoing.subject_key,
        "client": "tocsin",
        "client_url": message.link,
        "links": [{"href": link.url, "text": link.label} for link in message.links],
        "payload": {
            "summary": one_line(visible(f"{message.subject}: {' '.join(message.summary)}"), _SUMMARY),
            "source": settings.source or _source(event),
            "severity": message.severity if message.severity in _SEVERITIES else "warning",
            "timestamp": event.updated_at,
            "component": one_line(str((event.evidence or {}).get("metric", "")), 255) or event.rule_id,
            "group": one_line(event.labels.get("service", ""), 255) or event.rule_id,
            "class": event.category or event.rule_id,
            "custom_details": _details(outgoing),
        },
    }
    if len(orjson.dumps(about)) > _MAX_BYTES:
        about["payload"]["custom_details"] = {"left_out": "the details are too large; open the alert to see them"}
    return about


def _action(outgoing: Outgoing) -> str:
    """PagerDuty takes back no acknowledgement: a trigger is noted in the incident, and that is all there is."""
    notification = outgoing.notification
    if notification.status == "resolved":
        return "resolve"
    said = notification.group.reason if notification.group is not None else notification.event.type
    return "acknowledge" if said == "acknowledged" else "trigger"


def _source(event: AlertEvent) -> str:
    found = next((event.labels[name] for name in _SOURCES if event.labels.get(name)), event.rule_id)
    return one_line(found, 255) or "tocsin"


def _details(outgoing: Outgoing) -> dict[str, str]:
    message = outgoing.message
    facts = {fact.name: visible(fact.value)[:_DETAIL] for fact in message.facts}
    labels = {f"label {label.name}": visible(label.value)[:_DETAIL] for label in message.labels}
    return {"what": visible("\n".join(message.summary))[:_DETAIL], **facts, **labels}


def _preview(settings: PagerDutySettings, outgoing: Outgoing) -> Mapping[str, Any]:
    return payload(settings, outgoing)


CHANNEL = ChannelType(
    PagerDutySettings,
    send,
    secret_fields("routing_key"),
    destination_fields("url"),
    _preview,
    digests=False,
    keeps_incidents=True,
)
