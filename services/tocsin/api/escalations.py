"""People, schedules and escalation policies: on one topic, and each names only what is there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tocsin.api.channel_users import users_of_channel
from tocsin.api.problems import Problem, invalid, not_found
from tocsin.api.requests import check_precondition, etag, json_body, merged, only, page, validated
from tocsin.api.state import Api, answer, api_of
from tocsin.projection.queries import Document, documents, one_document
from tocsin.schemas.codec import encode_document
from tocsin.schemas.escalation import KINDS, MARKS, EscalationDocument
from tocsin.schemas.instant import format_instant
from tocsin.schemas.problems import FieldError
from tocsin.schemas.references import SINGULAR, circles, missing, users

ADDED = ("revision", "updated_at")
_SHOWN = 10  # of those that name something


@dataclass(frozen=True, slots=True)
class Resource:
    """The entries of one kind."""

    kind: str

    async def list_(self, request: web.Request) -> web.Response:
        """All of them by id."""
        only(request, ("limit", "cursor"))
        shown = page(request)
        found = await documents(api_of(request).database, self.kind)
        rest = [entry for entry in found if entry.id > shown.cursor] if shown.cursor else found
        items = rest[: shown.limit]
        more = items[-1].id if len(rest) > len(items) else None
        return answer({"items": [body(entry) for entry in items], "next_cursor": more, "total": len(found)})

    async def get(self, request: web.Request) -> web.Response:
        """One of them."""
        only(request, ())
        found = await self.stored(api_of(request), request.match_info["id"])
        return answer(body(found), headers={"ETag": etag(found.revision)})

    async def create(self, request: web.Request) -> web.Response:
        """A new one, which names only what is there."""
        only(request, ())
        api, document = api_of(request), self._read(await json_body(request))
        async with changing(api):
            if await one_document(api.database, self.kind, document.id) is not None:
                text = f"there is a {SINGULAR[self.kind]} {document.id!r} already; change it with PUT"
                raise Problem(409, f"{text}, or choose another id")
            return await self.store(api, document, 201)

    async def replace(self, request: web.Request) -> web.Response:
        """Create or replace one, which names only what is there."""
        only(request, ())
        api, identity = api_of(request), request.match_info["id"]
        given = await json_body(request)
        if given.get("id", identity) != identity:
            text = f"is {given['id']!r} in the body and {identity!r} in the address; use one"
            raise invalid([FieldError("id", text)])
        document = self._read({**given, "id": identity})
        async with changing(api):
            before = await one_document(api.database, self.kind, identity)
            check_precondition(request, before.revision if before else None)
            return await self.store(api, document, 200 if before else 201)

    async def patch(self, request: web.Request) -> web.Response:
        """Change some fields (JSON merge patch, RFC 7386), lists as a whole; null gives a field its default back."""
        only(request, ())
        api, identity = api_of(request), request.match_info["id"]
        change = await json_body(request)
        async with changing(api):
            before = await self.stored(api, identity)
            check_precondition(request, before.revision)
            document = self._read(merged(before.body, change))
            if document.id != identity:
                raise invalid([FieldError("id", f"cannot be changed; create another {SINGULAR[self.kind]}")])
            return await self.store(api, document, 200)

    async def delete(self, request: web.Request) -> web.Response:
        """Delete one that nothing names."""
        only(request, ())
        api, identity = api_of(request), request.match_info["id"]
        async with changing(api):
            check_precondition(request, (await self.stored(api, identity)).revision)
            await refuse_if_used(api, self.kind, identity)
            await api.write(api.context.topics.escalations, MARKS[self.kind] + identity, None)
        return web.Response(status=204)

    async def stored(self, api: Api, identity: str) -> Document:
        """One as it is; raises Problem 404."""
        found = await one_document(api.database, self.kind, identity)
        if found is None:
            raise not_found(SINGULAR[self.kind], identity)
        return found

    async def store(self, api: Api, document: EscalationDocument, status: int) -> web.Response:
        """Write one within `changing`, and answer with it as it then is.

        Raises Problem for what names nothing, and for a policy that leads back to itself.
        """
        wrong = list(missing(document, await _known(api), "in force"))
        wrong += circles(document, [one for _, one in await _all(api)])
        if wrong:
            raise invalid([FieldError(".".join(map(str, path)), text) for path, text in wrong])
        key = MARKS[self.kind] + document.id
        revision = await api.write(api.context.topics.escalations, key, encode_document(document))
        headers = {"ETag": etag(revision)}
        if status == 201:
            headers["Location"] = f"/api/v1/{self.kind}/{document.id}"
        return answer(body(await self.stored(api, document.id)), status, headers)

    def _read(self, given: dict[str, Any]) -> EscalationDocument:
        written = {name: value for name, value in given.items() if name not in ADDED}
        return validated(KINDS[self.kind], written)


PEOPLE, SCHEDULES, POLICIES = (Resource(kind) for kind in KINDS)


@asynccontextmanager
async def changing(api: Api) -> AsyncIterator[None]:
    """As `Api.changing`, for all of them at once: what one names must not go while it is written."""
    async with api.changing(api.context.topics.escalations, ""):
        yield


async def refuse_if_used(api: Api, kind: str, identity: str, *, is_forced: bool = False) -> None:
    """Raises Problem 409 for what something names that is in force. With `is_forced` only people and escalation
    policies count: what they name is always there."""
    found = users(kind, identity, await _all(api))
    can_force = kind == "channels" and not found
    if kind == "channels" and not is_forced:
        found += await users_of_channel(api, identity)
    if kind == "escalations":
        rules = await documents(api.database, "rules")
        found += [f"rule {one.id!r}" for one in rules if one.body.get("escalation_policy") == identity]
    if found:
        mend = "take it out there first" + (", or say force=true" if can_force else "")
        named = ", ".join([*found[:_SHOWN], *([f"{len(found) - _SHOWN} more"] if len(found) > _SHOWN else [])])
        raise Problem(409, f"{SINGULAR[kind]} {identity!r} is named by {named}; {mend}")


async def _all(api: Api) -> list[tuple[str, EscalationDocument]]:
    return [
        (kind, document)
        for kind, model in KINDS.items()
        for entry in await documents(api.database, kind)
        if (document := entry.read(model))
    ]


async def _known(api: Api) -> dict[str, set[str]]:
    return {kind: {entry.id for entry in await documents(api.database, kind)} for kind in (*KINDS, "channels")}


def body(entry: Document) -> dict[str, Any]:
    """An entry as it is answered."""
    return {**entry.body, "revision": entry.revision, "updated_at": format_instant(entry.updated_ms)}
