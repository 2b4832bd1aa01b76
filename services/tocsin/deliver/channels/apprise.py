"""The long tail, by Apprise: some 180 services behind one address, each send in a confined process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator, SecretStr

from tocsin.deliver.http import MAX_ANSWER_BYTES, failure_of
from tocsin.deliver.message import Message
from tocsin.deliver.protocol import (
    ChannelType,
    DeliveryError,
    Outgoing,
    Permanent,
    Receipt,
    Transient,
    Transport,
    destination_fields,
    secret_fields,
)
from tocsin.deliver.settings import ChannelSettings
from tocsin.deliver.text import one_line, shortened, visible

_ADDRESS = re.compile(r"([a-z0-9]{2,20})://[\x21-\x7e]{1,2000}")
# They act on this machine, or read files of it that the address names.
_LOCAL = frozenset({"dbus", "file", "fcm", "glib", "gnome", "kde", "macosx", "qt", "syslog", "vapid", "windows"})
_UNSAFE = re.compile(r"[?&](verify|cert|key|keyfile|attach|store)=", re.IGNORECASE)
_CHILD = "tocsin.deliver.apprise_child"
_KEPT = ("LANG", "PATH", "SSL_CERT_FILE", "SSL_CERT_DIR")
_TITLE, _BODY = 200, 1_800
_WORD_JOINER = "\u2060"


def _address(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    found = _ADDRESS.fullmatch(text)
    if not found:
        raise ValueError("is not an Apprise address; write it like scheme://token@host, see Apprise's list")
    if found[1] in _LOCAL:
        raise ValueError(f"{found[1]}:// acts on the machine that sends; use a service, or the console or file channel")
    if _UNSAFE.search(text):
        raise ValueError("must not set verify, cert, key, keyfile, attach or store; leave them out")
    return value


class AppriseSettings(ChannelSettings):
    """The service's address in Apprise's form. It holds the credentials, so all of it is one."""

    url: Annotated[SecretStr, AfterValidator(_address)]


async def send(settings: AppriseSettings, outgoing: Outgoing, transport: Transport) -> Receipt:
    """Let a child process send, and end it when the time is up. Apprise tells no more than whether it was taken."""
    wanted = {
        **payload(outgoing.message),
        "url": settings.url.get_secret_value(),
        "allowed": [str(network) for network in transport.guard.allowed],
    }
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-B", "-m", _CHILD, env=environment,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(settings.timeout_s):
            output, _ = await child.communicate(orjson.dumps(wanted))
    except TimeoutError:
        raise Transient(f"no answer within {settings.timeout_s:g} s") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
    return _judged(output)


def _judged(output: bytes) -> Receipt:
    try:
        answer = orjson.loads(output[:MAX_ANSWER_BYTES])
    except orjson.JSONDecodeError:
        raise Transient("the process that sends by Apprise ended without an answer") from None
    if answer["sent"]:
        return Receipt("sent")
    raise _failure(answer)


def _failure(answer: Mapping[str, Any]) -> DeliveryError:
    if not answer["known"]:
        return Permanent("Apprise does not take the address; check it against the service's page")
    if answer["refused"] == "address":
        return Permanent(
            "leads to an internal address; an operator can allow its network with TOCSIN_DELIVERY__ALLOW_NETWORKS"
        )
    if answer["refused"]:
        return Permanent("this service starts programs, which is not allowed")
    status = answer["status"]
    return Transient("Apprise could not send") if status is None else failure_of(status)


def payload(message: Message) -> dict[str, str]:
    """Title and body as plain text; a break after @ and < keeps services from reading a mention in them."""
    facts = [f"{fact.name}: {fact.value}" for fact in message.facts]
    links = [f"{link.label}: {link.url}" for link in message.links]
    labels = ["  ".join(message.labelled)]
    told = "\n".join([*message.summary, "", *facts, *labels])
    resolved = message.state == "resolved"
    kind = "success" if resolved else {"info": "info", "warning": "warning"}.get(message.severity, "failure")
    body = "\n".join([shortened(_quiet(visible(told)), _BODY - len("\n".join(links))), *links])
    return {"title": one_line(_quiet(visible(message.subject)), _TITLE), "body": body, "type": kind}


def _quiet(text: str) -> str:
    return re.sub(r"([@<])", rf"\1{_WORD_JOINER}", text)


def _preview(_settings: AppriseSettings, outgoing: Outgoing) -> Mapping[str, Any]:
    return payload(outgoing.message)


CHANNEL = ChannelType(AppriseSettings, send, secret_fields("url"), destination_fields(), _preview)
