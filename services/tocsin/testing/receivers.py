"""Receivers on loopback that are told how to answer, and keep what they got: a web server and a mail server."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiohttp import web
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

HOST = "127.0.0.1"


@dataclass
class WebReceiver:
    """Gives `answers` one after the other, then 200 with `text`; while `hold` is not set, it gives none."""

    answers: list[web.Response] = field(default_factory=list)
    text: str = "ok"
    hold: asyncio.Event | None = None
    tls: ssl.SSLContext | None = None
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'https' if self.tls else 'http'}://{HOST}:{self.port}/hook"

    @property
    def ids(self) -> list[str]:
        """The `webhook-id` of each request, in the order in which they came."""
        return [headers["webhook-id"] for headers, _ in self.requests]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((dict(request.headers), await request.read()))
        self.methods.append(request.method)
        if self.hold is not None:
            await self.hold.wait()
        return self.answers.pop(0) if self.answers else web.Response(text=self.text)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[WebReceiver]:
        """Serve within the block."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, HOST, 0, ssl_context=self.tls).start()
        self.port = runner.addresses[0][1]
        try:
            yield self
        finally:
            if self.hold is not None:
                self.hold.set()
            await runner.cleanup()


@dataclass
class MailReceiver:
    """Takes every mail, but for what `refused` (recipient to reply) and `replies` (to DATA, in order) say.

    With `tls` it offers STARTTLS; with `password` it offers a login, and wants one if `login_required`.
    """

    refused: dict[str, str] = field(default_factory=dict)
    replies: list[str] = field(default_factory=list)
    tls: ssl.SSLContext | None = None
    password: str | None = None
    login_required: bool = False
    hold: asyncio.Event | None = None
    contents: list[bytes] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    secured: list[bool] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    port: int = 0

    @property
    def mails(self) -> list[EmailMessage]:
        """What it took, parsed."""
        return [message_from_bytes(content, policy=policy.default) for content in self.contents]

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """aiosmtpd asks for each recipient."""
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """aiosmtpd hands over a mail."""
        if self.hold is not None:
            await self.hold.wait()
        reply = self.replies.pop(0) if self.replies else "250 OK queued"
        if reply.startswith("250"):
            content = envelope.content or b""
            self.contents.append(content if isinstance(content, bytes) else content.encode())
            self.recipients.append(list(envelope.rcpt_tos))
            self.secured.append(session.ssl is not None)
        return reply

    def _authenticate(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, given: Any
    ) -> AuthResult:
        assert isinstance(given, LoginPassword)
        self.logins.append((given.login.decode(), given.password.decode()))
        # Not handled: aiosmtpd is to answer a wrong password itself.
        return AuthResult(success=self.logins[-1][1] == self.password, handled=False)

    def _protocol(self) -> SMTP:
        return SMTP(
            self,
            hostname="mail.test",
            loop=asyncio.get_running_loop(),
            tls_context=self.tls,
            authenticator=self._authenticate if self.password else None,
            auth_required=self.login_required,
            # Else aiosmtpd offers a login to everybody, and refuses all of them.
            auth_require_tls=self.tls is not None or self.password is None,
        )

    @asynccontextmanager
    async def listening(self, *, implicit_tls: bool = False) -> AsyncIterator[MailReceiver]:
        """Serve within the block."""
        context = self.tls if implicit_tls else None
        server = await asyncio.get_running_loop().create_server(self._protocol, HOST, 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            if self.hold is not None:
                self.hold.set()
            server.close()
