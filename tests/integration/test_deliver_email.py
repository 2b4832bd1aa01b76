"""Email against a real SMTP server: TLS, login, and what is refused for now, for good, or for one recipient."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

import pytest

from tocsin.deliver.channels import channel_type, check_config
from tocsin.deliver.guard import Guard
from tocsin.deliver.message import compose
from tocsin.deliver.protocol import Authentication, DeliveryError, Outgoing, Permanent, Receipt, Transient, Transport
from tocsin.testing.alerts import Addressee, firing_event
from tocsin.testing.certificates import Authority
from tocsin.testing.receivers import MailReceiver

LOOPBACK = (ip_network("127.0.0.0/8"),)


@dataclass
class Certificates:
    server: ssl.SSLContext
    trusting: ssl.SSLContext


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    authority = Authority()
    return Certificates(authority.server("127.0.0.1"), authority.trusting())


def config(receiver: MailReceiver, **changes: Any) -> dict[str, Any]:
    return {
        "smtp_host": "127.0.0.1",
        "smtp_port": receiver.port,
        "from_address": "Alerts <alerts@example.com>",
        "to_addresses": ["ops@example.com", "Ada <ada@example.com>", "eve@example.com"],
        "timeout": "5s",
        **changes,
    }


def outgoing() -> Outgoing:
    notification = Addressee("ops", "email").notification(firing_event())
    return Outgoing(notification, compose(notification, "https://tocsin.example.com"))


async def send(
    settings: dict[str, Any], item: Outgoing | None = None, *, tls: ssl.SSLContext | None = None, guarded: bool = False
) -> Receipt:
    guard = Guard(() if guarded else LOOPBACK)
    async with guard.session() as session:
        transport = Transport(guard, session, tls or ssl.create_default_context())
        return await channel_type("email").send(check_config("email", settings), item or outgoing(), transport)


async def failure(settings: dict[str, Any], item: Outgoing | None = None, **how: Any) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await send(settings, item, **how)
    return caught.value


async def test_a_mail_reaches_all_recipients_in_two_parts() -> None:
    async with MailReceiver().listening() as mail:
        receipt = await send(config(mail, subject="{{ severity }}: {{ title }}\n"))
    assert receipt == Receipt("3 of 3 recipients: OK queued", 250)
    assert mail.recipients == [["ops@example.com", "ada@example.com", "eve@example.com"]]
    (found,) = mail.mails
    assert found["Subject"] == "warning: High Response Time Alert"
    assert [part.get_content_type() for part in found.iter_parts()] == ["text/plain", "text/html"]
    assert b"\r\n.\r\n" not in mail.contents[0]


@pytest.mark.parametrize("how", [{}, {"start_tls": True}])
async def test_starttls_is_used_when_offered_and_the_password_follows(
    how: dict[str, Any], certificates: Certificates
) -> None:
    receiver = MailReceiver(tls=certificates.server, password="geheim", login_required=True)
    async with receiver.listening() as mail:
        settings = config(mail, username="alerts", password="geheim", **how)
        await send(settings, tls=certificates.trusting)
        error = await failure({**settings, "password": "wrong"}, tls=certificates.trusting)
    assert mail.secured == [True]
    assert mail.logins[0] == ("alerts", "geheim")
    assert isinstance(error, Authentication)
    assert "wrong" not in error.detail


async def test_tls_from_the_first_byte(certificates: Certificates) -> None:
    async with MailReceiver(tls=certificates.server).listening(implicit_tls=True) as mail:
        await send(config(mail, use_tls=True), tls=certificates.trusting)
        error = await failure(config(mail, use_tls=True))
    assert len(mail.mails) == 1
    assert isinstance(error, Permanent)
    assert error.detail.startswith("the server's certificate is refused: ")


async def test_a_certificate_nobody_vouches_for_is_refused_for_starttls_too(certificates: Certificates) -> None:
    async with MailReceiver(tls=certificates.server).listening() as mail:
        error = await failure(config(mail))
        assert mail.mails == []
        await send(config(mail, start_tls=False))
    assert isinstance(error, Permanent)
    assert "certificate is refused" in error.detail
    assert mail.secured == [False]


async def test_there_is_no_fallback_to_clear_text_when_tls_is_asked_for() -> None:
    async with MailReceiver(password="geheim").listening() as mail:
        error = await failure(config(mail, start_tls=True, username="alerts", password="geheim"))
        assert (mail.mails, mail.logins) == ([], [])
        await send(config(mail, start_tls=False, username="alerts", password="geheim"))
    assert isinstance(error, Permanent)
    assert error.detail == "the server offers no STARTTLS; set start_tls: false to send in clear text"
    assert mail.logins == [("alerts", "geheim")]


async def test_one_refused_recipient_does_not_keep_the_mail_from_the_others() -> None:
    async with MailReceiver(refused={"ada@example.com": "550 no such user"}).listening() as mail:
        receipt = await send(config(mail))
    assert mail.recipients == [["ops@example.com", "eve@example.com"]]
    assert receipt.text == "2 of 3 recipients: OK queued"
    assert receipt.detail == "refused: Ada <ada@example.com>: 550 no such user"


async def test_a_recipient_who_is_to_wait_is_the_only_one_tried_again() -> None:
    replies = {"ada@example.com": "451 greylisted", "eve@example.com": "550 gone"}
    async with MailReceiver(refused=replies).listening() as mail:
        item = outgoing()
        error = await failure(config(mail), item)
        assert isinstance(error, Transient)
        assert error.detail == "1 of 3 recipients wait: 451 greylisted"
        del mail.refused["ada@example.com"]
        receipt = await send(config(mail), item)
    assert mail.recipients == [["ops@example.com"], ["ada@example.com"]]
    assert mail.mails[0]["Message-ID"] == mail.mails[1]["Message-ID"]
    assert receipt.detail == "refused: eve@example.com: 550 gone"


async def test_when_all_are_refused_it_is_permanent_or_transient_as_they_say() -> None:
    everybody = ("ops@example.com", "ada@example.com", "eve@example.com")
    async with MailReceiver(refused=dict.fromkeys(everybody, "550 no")).listening() as mail:
        error = await failure(config(mail))
        assert isinstance(error, Permanent)
        assert error.detail.startswith("all recipients are refused: ops@example.com: 550 no; ")
        mail.refused = dict.fromkeys(everybody, "450 later")
        assert isinstance(await failure(config(mail)), Transient)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [("451 busy", Transient), ("421 closing", Transient), ("554 spam", Permanent), ("552 too big", Permanent)],
)
async def test_an_answer_to_the_mail_itself_has_its_verdict(reply: str, kind: type[DeliveryError]) -> None:
    async with MailReceiver(replies=[reply]).listening() as mail:
        error = await failure(config(mail))
        assert type(error) is kind
        assert error.detail == f"SMTP {reply.split(maxsplit=1)[0]}: {reply[4:]}"
        await send(config(mail))
    assert len(mail.mails) == 1


async def test_a_hanging_server_costs_the_timeout() -> None:
    async with MailReceiver(hold=asyncio.Event()).listening() as mail:
        error = await failure(config(mail, timeout="200ms"))
    assert isinstance(error, Transient)
    assert error.detail == "no answer within 0.2 s"


async def test_an_internal_server_is_not_reached_unless_allowed() -> None:
    async with MailReceiver().listening() as mail:
        for host in ("127.0.0.1", "localhost"):
            error = await failure(config(mail, smtp_host=host), guarded=True)
            assert isinstance(error, Permanent)
            assert error.detail.startswith("leads to an internal address")
    assert mail.mails == []


async def test_a_server_that_is_not_there_is_transient() -> None:
    async with MailReceiver().listening() as mail:
        settings = config(mail)
    assert isinstance(await failure(settings), Transient)
    error = await failure({**settings, "smtp_host": "nobody.invalid"})
    assert isinstance(error, Transient)
    assert error.detail == "the host's name has no address"


@asynccontextmanager
async def raw_server(*lines: bytes) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for line in lines:
            writer.write(line)
            await reader.readline()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        ((b"220 hello\r\n",), Transient),
        ((b"421 too many\r\n",), Transient),
        ((b"554 not you\r\n",), Permanent),
        ((b"220 hello\r\n", b"250 fine\r\n", b"250 ok\r\n"), Transient),
        ((b"\x00garbage\r\n" * 3,), Transient),
    ],
)
async def test_a_server_that_breaks_off_or_talks_garbage(lines: tuple[bytes, ...], kind: type[DeliveryError]) -> None:
    async with raw_server(*lines) as port:
        receiver = MailReceiver(port=port)
        assert type(await failure(config(receiver, timeout="2s"))) is kind
