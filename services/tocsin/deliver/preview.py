"""What a channel would send for an alert, by which template, and what is wrong with that. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tocsin.deliver.channels import channel_type
from tocsin.deliver.composer import Composer
from tocsin.deliver.message import own_annotation
from tocsin.deliver.settings import TEMPLATES, ChannelSettings
from tocsin.deliver.templates import TemplateError, render_template
from tocsin.engine.route.direct import notification
from tocsin.engine.templates import FAILED
from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.channel import Channel
from tocsin.schemas.problems import FieldError


@dataclass(frozen=True, slots=True)
class Preview:
    """`text_by` is the field whose template makes the text: a channel's, or an alert's annotation; none is the plain
    text. A template that fails on this alert is among the problems; the plain text is sent instead of it."""

    text_by: str
    problems: tuple[FieldError, ...]
    sent: Mapping[str, Any]


def preview(channel: Channel, settings: ChannelSettings, event: AlertEvent, composer: Composer) -> Preview:
    """What would be sent, without credentials and without links that act; nothing is."""
    outgoing = composer.outgoing(notification(event, channel), settings.template)
    annotation = own_annotation(event, channel.type)
    text_by = f"annotations.{annotation}" if annotation else "config.template" if settings.template else ""
    problems = [
        *_failing_annotations(event),
        *(_failing(settings, name, outgoing.message.values) for name in TEMPLATES if getattr(settings, name, "")),
    ]
    sent = channel_type(channel.type).preview(settings, outgoing)
    return Preview(text_by, tuple(one for one in problems if one), sent)


def _failing(settings: ChannelSettings, name: str, values: Mapping[str, Any]) -> FieldError | None:
    field = f"config.{name}"
    try:
        text = render_template(getattr(settings, name), values)
    except TemplateError as error:
        return FieldError(field, str(error))
    return None if text.strip() else FieldError(field, "says nothing for this alert, so the plain text is sent")


def _failing_annotations(event: AlertEvent) -> list[FieldError]:
    """Templates of the rule, which were rendered when the alert was raised: what failed says so in its text."""
    return [
        FieldError(f"annotations.{name}", text.removeprefix(FAILED).rstrip(">"))
        for name, text in event.annotations.items()
        if text.startswith(FAILED)
    ]
