"""Email: a text and an HTML part over SMTP, with TLS wherever it is asked for."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from typing import Any, Literal, Self

import aiosmtplib
from pydantic import Field, SecretStr, field_validator, model_validator

from tocsin.deliver.fields import Texts
from tocsin.deliver.guard import AddressRefused
from tocsin.deliver.mail import compose_mail, parse_address
from tocsin.deliver.policy import Verdict, smtp_verdict
from tocsin.deliver.protocol import (
    Authentication,
    ChannelType,
    Outgoing,
    Permanent,
    Receipt,
    Transient,
    Transport,
    destination_fields,
    secret_fields,
)
from tocsin.deliver.settings import ChannelSettings, Template
from tocsin.deliver.templates import TemplateError, render_template
from tocsin.deliver.text import one_line

TlsMode = Literal["implicit", "required", "offered", "none"]
_QUIT_TIMEOUT_S = 1.0
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}")


class EmailSettings(ChannelSettings):
    """Where mail is handed in, as whom, and to whom it goes.

    `use_tls` is TLS from the first byte (port 465), `start_tls` the upgrade (port 587). With neither, port 465 and 587
    get what belongs to them, and any other port is upgraded when the server offers it.
    """

    smtp_host: str
    smtp_port: int | None = Field(default=None, ge=1, le=65_535)
    username: str | None = Field(default=None, max_length=256)
    password: SecretStr | None = None
    from_address: str
    to_addresses: Texts = Field(min_length=1, max_length=100)
    subject: Template | None = Field(default=None, max_length=2_048, description="in Jinja syntax")
    use_tls: bool | None = None
    start_tls: bool | None = None

    @field_validator("smtp_host")
    @classmethod
    def _host(cls, value: str) -> str:
        if not _HOST.fullmatch(value):
            raise ValueError(f"{value[:60]!r} is not a host name; write it like smtp.example.com")
        return value

    @field_validator("from_address")
    @classmethod
    def _sender(cls, value: str) -> str:
        parse_address(value)
        return value

    @field_validator("to_addresses")
    @classmethod
    def _recipients(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for address in value:
            parse_address(address)
        return tuple(dict.fromkeys(value))

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.use_tls and self.start_tls:
            raise ValueError("use_tls and start_tls exclude each other; port 465 wants use_tls, port 587 start_tls")
        if self.password and self.password.get_secret_value() and not self.username:
            raise ValueError("a password needs a username; add username")
        return self

    @property
    def port(self) -> int:
        """The port in force."""
        return self.smtp_port or (465 if self.use_tls else 587 if self.start_tls is not False else 25)

    @property
    def tls_mode(self) -> TlsMode:
        """How the connection is secured."""
        if self.use_tls or (self.use_tls is None and self.start_tls is None and self.port == 465):
            return "implicit"
        if self.start_tls or (self.start_tls is None and self.port == 587):
            return "required"
        return "offered" if self.start_tls is None else "none"

    @property
    def credentials(self) -> tuple[str, str] | None:
        """User name and password, None where there is nothing to log in with."""
        if self.username and self.password and self.password.get_secret_value():
            return self.username, self.password.get_secret_value()
        return None


async def send(settings: EmailSettings, outgoing: Outgoing, transport: Transport) -> Receipt:
    """Hand the mail in for those recipients that earlier attempts did not settle."""
    waiting = [address for address in settings.to_addresses if address not in outgoing.settled]
    mail = _mail(settings, outgoing)
    client: aiosmtplib.SMTP | None = None
    try:
        async with asyncio.timeout(settings.timeout_s):
            client = await _connected(settings, transport)
            await _secured(client, settings, transport)
            refused, text = await _handed_in(client, settings, mail, waiting)
    except (TimeoutError, aiosmtplib.SMTPException, OSError) as error:
        raise _failure(error, settings) from None
    finally:
        if client is not None:
            await _left(client)
    return _settled(settings, outgoing, waiting, refused, text)


def _mail(settings: EmailSettings, outgoing: Outgoing) -> EmailMessage:
    subject = _subject(settings, outgoing)
    return compose_mail(settings.from_address, settings.to_addresses, subject, outgoing.notification, outgoing.message)


def _subject(settings: EmailSettings, outgoing: Outgoing) -> str:
    if settings.subject:
        try:
            return render_template(settings.subject, outgoing.message.values)
        except TemplateError:
            return outgoing.message.subject
    return outgoing.message.subject


async def _connected(settings: EmailSettings, transport: Transport) -> aiosmtplib.SMTP:
    connection = await transport.guard.connect(settings.smtp_host, settings.port)
    client = aiosmtplib.SMTP(
        hostname=settings.smtp_host,
        sock=connection,
        use_tls=settings.tls_mode == "implicit",
        start_tls=False,
        tls_context=transport.tls,
        timeout=settings.timeout_s,
        # The default asks DNS for the machine's full name, which can take seconds.
        local_hostname=_own_name(),
    )
    try:
        await client.connect()
    except BaseException:
        client.close()
        connection.close()
        raise
    return client


def _own_name() -> str:
    name = socket.gethostname()
    return name if _HOST.fullmatch(name) else "localhost"


async def _secured(client: aiosmtplib.SMTP, settings: EmailSettings, transport: Transport) -> None:
    """Upgrade to TLS as the settings want it, then log in; a password crosses a network only encrypted."""
    await client.ehlo()
    mode = settings.tls_mode
    if mode == "required" and not client.supports_extension("starttls"):
        raise Permanent("the server offers no STARTTLS; set start_tls: false to send in clear text")
    if mode == "required" or (mode == "offered" and client.supports_extension("starttls")):
        await client.starttls(server_hostname=settings.smtp_host, tls_context=transport.tls)
        await client.ehlo()
    credentials = settings.credentials
    if credentials is None:
        return
    on_this_machine = _is_loopback(client)
    if client.get_transport_info("sslcontext") is None and mode != "none" and not on_this_machine:
        raise Permanent("the server offers no TLS for the password; set start_tls: false to log in in clear text")
    if not client.supports_extension("auth"):
        if on_this_machine:
            return  # a relay on this machine needs no login
        raise Permanent("the server offers no login; leave out username and password")
    await client.login(*credentials)


def _is_loopback(client: aiosmtplib.SMTP) -> bool:
    peer = client.get_transport_info("peername")
    return bool(peer) and str(peer[0]).startswith(("127.", "::1", "::ffff:127."))


Refusals = Mapping[str, tuple[int, str]]


async def _handed_in(
    client: aiosmtplib.SMTP, settings: EmailSettings, mail: EmailMessage, waiting: Sequence[str]
) -> tuple[Refusals, str]:
    """Who was refused, by the address as configured, and what the server said to the mail."""
    by_address = {parse_address(address).addr_spec: address for address in waiting}
    sender = parse_address(settings.from_address).addr_spec
    try:
        errors, text = await client.send_message(mail, sender=sender, recipients=list(by_address))
    except aiosmtplib.SMTPRecipientsRefused as error:
        return {by_address[one.recipient]: (one.code, one.message) for one in error.recipients}, ""
    return {by_address[address]: (answer[0], answer[1]) for address, answer in errors.items()}, text


async def _left(client: aiosmtplib.SMTP) -> None:
    """Takes leave. The mail is handed in by now: what goes wrong here changes nothing."""
    with contextlib.suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
        if client.is_connected:
            await client.quit(timeout=_QUIT_TIMEOUT_S)
    client.close()


def _settled(
    settings: EmailSettings, outgoing: Outgoing, waiting: Sequence[str], refused: Refusals, text: str
) -> Receipt:
    """The receipt, or Transient while some recipients are to be tried again, or Permanent if all are refused."""
    later = {address for address, (code, _) in refused.items() if smtp_verdict(code) is Verdict.TRANSIENT}
    for address in waiting:
        if address in refused and address not in later:
            code, why = refused[address]
            outgoing.refused[address] = one_line(f"{address}: {code} {why}", 200)
        if address not in later:
            outgoing.settled.add(address)
    final = "; ".join(outgoing.refused[address] for address in settings.to_addresses if address in outgoing.refused)
    if later:
        code, why = next(answer for address, answer in refused.items() if address in later)
        detail = f"{len(later)} of {len(settings.to_addresses)} recipients wait: {code} {why}"
        raise Transient(one_line(detail, 400), status_code=code)
    reached = len(settings.to_addresses) - len(outgoing.refused)
    if not reached:
        raise Permanent(one_line(f"all recipients are refused: {final}", 600))
    receipt = f"{reached} of {len(settings.to_addresses)} recipients: {one_line(text, 200)}"
    return Receipt(receipt, 250, detail=one_line(f"refused: {final}", 600) if final else "")


def _failure(error: Exception, settings: EmailSettings) -> Exception:
    """What went wrong between us and the server, as a delivery error."""
    causes: list[BaseException] = [error]
    while causes[-1].__cause__ is not None and len(causes) < 8:
        causes.append(causes[-1].__cause__)
    for cause in causes:
        if isinstance(cause, AddressRefused):
            return Permanent(str(cause.strerror))
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Permanent(f"the server's certificate is refused: {one_line(cause.verify_message, 200)}")
        if isinstance(cause, ssl.SSLError):
            return Permanent("no secure connection: the server's TLS is not acceptable")
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return _answered(error)
    if isinstance(error, TimeoutError):
        return Transient(f"no answer within {settings.timeout_s:g} s")
    if isinstance(error, socket.gaierror):
        return Transient("the host's name has no address")
    if isinstance(error, aiosmtplib.SMTPException) and not isinstance(error, OSError):
        return Permanent(one_line(f"the server cannot be used: {error}", 200))
    return Transient("the connection to the server failed")


def _answered(error: aiosmtplib.SMTPResponseException) -> Exception:
    detail = one_line(f"SMTP {error.code}: {error.message}", 400)
    verdict = smtp_verdict(error.code)
    if verdict is Verdict.TRANSIENT:
        return Transient(detail, status_code=error.code)
    if verdict is Verdict.AUTHENTICATION:
        return Authentication(f"{detail} (check username and password)", status_code=error.code)
    return Permanent(detail, status_code=error.code)


def _preview(settings: EmailSettings, outgoing: Outgoing) -> Mapping[str, Any]:
    mail = _mail(settings, outgoing)
    bodies = {part: mail.get_body((part,)) for part in ("plain", "html")}
    texts = {part: str(body.get_content()) if isinstance(body, EmailMessage) else "" for part, body in bodies.items()}
    return {"subject": mail["Subject"], "text": texts["plain"], "html": texts["html"]}


# Server, port and TLS: a password that is kept must not go to another server, nor in clear text.
_destination = destination_fields("smtp_host", "smtp_port", "use_tls", "start_tls")
CHANNEL = ChannelType(
    EmailSettings, send, secret_fields("password"), _destination, _preview, pictured=lambda _settings, _outgoing: True
)
