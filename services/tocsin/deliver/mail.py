"""A message as an email: headers, a text part and an HTML part that say the same. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from tocsin.deliver.message import Message
from tocsin.deliver.templates import render_email
from tocsin.deliver.text import one_line, visible
from tocsin.schemas.instant import parse_instant
from tocsin.schemas.labels import stable_id
from tocsin.schemas.notification import Notification


def parse_address(text: str) -> Address:
    """One email address, with or without a name before it. Raises ValueError with a text fit for users."""
    refused = ValueError(f"{text[:80]!r} is not an email address; write it like ops@example.com")
    if one_line(text, 321) != text or not text.isascii() or len(text) > 320:
        raise refused
    try:
        header = SMTP.header_factory("to", text)
    except (ValueError, IndexError, AttributeError):
        raise refused from None
    found: Sequence[Address] = header.addresses
    if len(found) != 1 or header.defects or not (found[0].username and found[0].domain):
        raise refused
    return found[0]


def compose_mail(
    sender: str, recipients: Sequence[str], subject: str, notification: Notification, message: Message
) -> EmailMessage:
    """The same headers for every repeat of a notification; mails of one alert, or of one group, form a thread."""
    event = notification.event
    address = parse_address(sender)
    about = (notification.group_key,) if notification.group else (event.fingerprint, event.starts_at)
    thread = f"<alert.{stable_id(*about)}@{address.domain}>"
    mail = EmailMessage(policy=SMTP)
    mail["From"] = address
    mail["To"] = [parse_address(recipient) for recipient in recipients]
    mail["Subject"] = one_line(subject, 240)
    mail["Date"] = format_datetime(_moment(notification.created_at))
    mail["Message-ID"] = f"<{notification.id}@{address.domain}>"
    mail["In-Reply-To"] = thread
    mail["References"] = thread
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    if message.severity == "critical" and message.state == "firing":
        mail["Importance"] = "high"
    mail.set_content(plain_text(message))
    chart = f"chart.{notification.id}@{address.domain}" if message.chart else ""
    mail.add_alternative(_html(message, chart), subtype="html")
    if message.chart:
        page = mail.get_body(("html",))
        assert isinstance(page, EmailMessage), "it was added"
        page.add_related(message.chart, "image", "png", cid=f"<{chart}>", filename="chart.png", disposition="inline")
    return mail


def plain_text(message: Message) -> str:
    """The text part."""
    width = max((len(fact.name) for fact in message.facts), default=0)
    lines = [f"{message.state.upper()} - {message.severity}", message.title, ""]
    lines += [*message.summary, ""]
    lines += [f"{fact.name + ':':<{width + 1}} {fact.value}" for fact in message.facts]
    if message.labels:
        lines += ["", "Where:", *(f"  {label.name}={label.value}" for label in message.labels)]
    lines += ["", *(f"{link.label}: {link.url}" for link in message.links)]
    return visible("\n".join(lines)) + "\n"


def _html(message: Message, chart: str) -> str:
    return render_email(
        {
            "subject": visible(message.subject),
            "state": message.state.upper(),
            "severity": visible(message.severity),
            "title": visible(message.title),
            "summary": [visible(line) for line in message.summary],
            "labels": [{"name": visible(label.name), "value": visible(label.value)} for label in message.labels],
            "facts": [{"name": fact.name, "value": visible(fact.value)} for fact in message.facts],
            "colour": message.colour,
            "link": message.link,
            "actions": [{"label": action.label, "url": action.url} for action in message.actions],
            "runbook": message.runbook,
            "chart": chart,
        }
    )


def _moment(text: str) -> datetime:
    return datetime.fromtimestamp(parse_instant(text) // 1_000, UTC)
