"""One HTTP request of a channel: bounded in time and size, never redirected, its answer turned into a verdict."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from tocsin.deliver.guard import AddressRefused
from tocsin.deliver.policy import Verdict, http_verdict, parse_retry_after
from tocsin.deliver.protocol import Authentication, DeliveryError, Permanent, Transient, Transport
from tocsin.deliver.text import one_line

MAX_ANSWER_BYTES = 64 * 1024
_ANSWER_TIME_S = 2.0
_SHOWN_CHARACTERS = 200
JSON_HEADERS: Mapping[str, str] = {"Content-Type": "application/json; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class Answer:
    """A 2xx answer; `text` is its beginning on one line, `body` its first 64 KiB."""

    status: int
    text: str
    body: bytes = b""

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; empty for anything else."""
        return _json_object(self.body)


async def post_json(
    transport: Transport,
    url: str,
    payload: Mapping[str, Any],
    *,
    timeout_s: float,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Send a JSON object; as `request` otherwise."""
    all_headers = {**JSON_HEADERS, **(headers or {})}
    return await request(transport, method, url, body=orjson.dumps(payload), headers=all_headers, timeout_s=timeout_s)


@dataclass(frozen=True, slots=True)
class Part:
    """A field of a form, or with a file name a file."""

    name: str
    content: bytes
    content_type: str = "text/plain; charset=utf-8"
    file_name: str = ""


def form(parts: Sequence[Part]) -> tuple[bytes, Mapping[str, str]]:
    """The body and the headers of a `multipart/form-data` request."""
    boundary = secrets.token_hex(16).encode()
    body = bytearray()
    for part in parts:
        file_name = f'; filename="{part.file_name}"' if part.file_name else ""
        head = f'Content-Disposition: form-data; name="{part.name}"{file_name}\r\nContent-Type: {part.content_type}'
        body += b"--%b\r\n%b\r\n\r\n%b\r\n" % (boundary, head.encode(), part.content)
    body += b"--%b--\r\n" % boundary
    return bytes(body), {"Content-Type": f"multipart/form-data; boundary={boundary.decode()}"}


async def request(
    transport: Transport,
    method: str,
    url: str,
    *,
    body: bytes,
    headers: Mapping[str, str],
    timeout_s: float,
) -> Answer:
    """Send one request. Raises Transient, Permanent or Authentication for all but a 2xx answer."""
    try:
        async with (
            asyncio.timeout(timeout_s),
            transport.http.request(
                method,
                url,
                data=body,
                headers=headers,
                allow_redirects=False,
                ssl=transport.tls,
                timeout=aiohttp.ClientTimeout(total=timeout_s),
            ) as response,
        ):
            return _judged(response, await _beginning(response), transport.clock.now_ms())
    except TimeoutError:
        raise Transient(f"no answer within {timeout_s:g} s") from None
    except aiohttp.ClientConnectorCertificateError as error:
        reason = getattr(error.certificate_error, "verify_message", "") or "it cannot be verified"
        raise Permanent(f"the receiver's certificate is refused: {one_line(str(reason), _SHOWN_CHARACTERS)}") from None
    except aiohttp.ClientConnectorSSLError:
        raise Permanent("no secure connection: the receiver's TLS is not acceptable") from None
    except aiohttp.ClientConnectorDNSError:
        raise Transient("the host's name has no address") from None
    except aiohttp.ClientConnectorError as error:
        if isinstance(error.os_error, AddressRefused):
            raise Permanent(str(error.os_error.strerror)) from None
        raise Transient("the receiver does not take the connection") from None
    except aiohttp.InvalidURL:
        raise Permanent("the address of the channel is not a web address") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise Transient(f"the connection failed: {type(error).__name__}") from None


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """The answer's first 64 KiB, or what comes of it in two seconds: the status decides, and it is there already."""
    answer = bytearray()
    try:
        async with asyncio.timeout(_ANSWER_TIME_S):
            while len(answer) < MAX_ANSWER_BYTES and not response.content.at_eof():
                answer += await response.content.read(MAX_ANSWER_BYTES - len(answer))
    except (TimeoutError, aiohttp.ClientError, OSError):
        return bytes(answer)
    return bytes(answer)


def _judged(response: aiohttp.ClientResponse, answer: bytes, now_ms: int) -> Answer:
    status = response.status
    text = one_line(answer.decode("utf-8", "replace"), _SHOWN_CHARACTERS)
    if http_verdict(status) is Verdict.DELIVERED:
        return Answer(status, text, answer)
    if 300 <= status < 400:
        raise Permanent(f"HTTP {status}: redirects are not followed; set the final address", status_code=status)
    failure = failure_of(status, text)
    if isinstance(failure, Transient):
        failure.retry_after_s = parse_retry_after(response.headers.get("Retry-After"), now_ms)
        if failure.retry_after_s is None:
            failure.retry_after_s = parse_retry_after(_retry_after_in(_json_object(answer)), now_ms)
    raise failure


def failure_of(status: int, text: str = "") -> DeliveryError:
    """What a status other than 2xx means; `text` is what was answered with it."""
    verdict, detail = http_verdict(status), f"HTTP {status}" + (f": {text}" if text else "")
    if verdict is Verdict.AUTHENTICATION:
        return Authentication(f"{detail} (check the channel's credentials)", status_code=status)
    return (Permanent if verdict is Verdict.PERMANENT else Transient)(detail, status_code=status)


def _retry_after_in(body: Mapping[str, Any]) -> str | None:
    """Discord and Telegram say it in the body: as `retry_after`, alone or in `parameters`."""
    parameters = body.get("parameters")
    told = body.get("retry_after", parameters.get("retry_after") if isinstance(parameters, dict) else None)
    return str(told) if isinstance(told, int | float) else None


def _json_object(text: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
