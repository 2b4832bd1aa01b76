"""Who names a channel, beside people and escalation policies: whoever deletes it is to know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tocsin.agents.clock import clock_ms
from tocsin.api.state import Api
from tocsin.projection.queries import documents
from tocsin.schemas.route import Routing
from tocsin.schemas.silence import Silence


async def users_of_channel(api: Api, channel_id: str) -> list[str]:
    """Rules, routes, correlations, silences that are not over, and other channels, as `rule 'slow'`. Routes and
    silences that this version cannot read name nothing."""
    stored = {kind: await documents(api.database, kind) for kind in ("rules", "routes", "silences", "channels")}
    found = [f"rule {one.id!r}" for one in stored["rules"] if channel_id in one.body.get("notifications", ())]
    for entry in stored["routes"]:
        if routing := entry.read(Routing):
            found += _in_routing(routing, channel_id)
    silences = filter(None, (entry.read(Silence) for entry in stored["silences"]))
    found += [f"silence {one.id!r}" for one in silences if _reminds(one, channel_id)]
    return found + [f"channel {one.id!r}" for one in stored["channels"] if _falls_back(one.body, channel_id)]


def _in_routing(routing: Routing, channel_id: str) -> Iterator[str]:
    for path, node in routing.route.walk(("route",)):
        if channel_id in (node.channels or ()):
            yield ".".join(map(str, path))
    for one in routing.correlations:
        if channel_id in one.channels:
            yield f"correlation {one.name!r}"


def _reminds(silence: Silence, channel_id: str) -> bool:
    told = silence.reminder.notifications if silence.reminder else ()
    return channel_id in told and silence.state(clock_ms()) != "expired"


def _falls_back(body: dict[str, Any], channel_id: str) -> bool:
    return bool(body["config"].get("fallback") == channel_id and body["id"] != channel_id)
