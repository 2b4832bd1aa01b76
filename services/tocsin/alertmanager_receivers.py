"""The receivers of an Alertmanager configuration as channels. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tocsin.alertmanager_parts import Part, mapping, parts

_NOT_IN_AN_ID: Final = re.compile(r"[^A-Za-z0-9_.:-]+")
_GLOBAL: Final = (
    "slack_api_url", "smtp_smarthost", "smtp_auth_username", "smtp_auth_password", "smtp_from", "pagerduty_url",
    "opsgenie_api_url", "opsgenie_api_key", "telegram_api_url",
)  # fmt: skip
Convert = Callable[[Part, Part], dict[str, Any]]
"""From one entry of a receiver, and `global`, to the settings of a channel; None stands for what is not said."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What an entry becomes: a channel of a type. `taken` are the names that count, `tells_end` whether the end of an
    alert is told unless said."""

    channel_type: str
    convert: Convert
    taken: Sequence[str]
    tells_end: bool = True

    def lost(self, entry: Part) -> Iterator[str]:
        """Names of what is not taken over."""
        return (name for name in entry if name not in (*self.taken, "send_resolved"))

    def channel(self, entry: Part, defaults: Part) -> dict[str, Any]:
        """The channel, but for its id."""
        config = {name: value for name, value in self.convert(entry, defaults).items() if value not in (None, [])}
        config["send_resolved"] = bool(entry.get("send_resolved", self.tells_end))
        return {"type": self.channel_type, "config": config}


def receivers(config: Part, channels: list[dict[str, Any]], remarks: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Each receiver's name and the ids of its channels, which join the list; what is left to be made is remarked."""
    defaults, taken = mapping(config, "global"), set[str]()
    remarks += [f"global.{name}: is not taken over" for name in defaults if name not in _GLOBAL]
    for place, receiver in enumerate(parts(config, "receivers")):
        name = str(receiver.get("name", ""))
        base = _NOT_IN_AN_ID.sub("-", name).strip("-._:")[:100] or "receiver"
        made: list[dict[str, Any]] = []
        for of, kind in _KINDS.items():
            for entry in parts(receiver, of, f"receivers.{place}."):
                made.append(kind.channel(entry, defaults))
                remarks += [f"receiver {name!r}: {of}.{what}: is not taken over" for what in kind.lost(entry)]
        for other in receiver:
            if other.endswith("_configs") and other not in _KINDS:
                remarks.append(f"receiver {name!r}: {other}: is not taken over; add a channel {base!r} in its place")
        ids = [_unused(base if len(made) == 1 else f"{base}-{number}", taken) for number in range(1, len(made) + 1)]
        channels += [{"id": channel_id, **channel} for channel_id, channel in zip(ids, made, strict=True)]
        yield name, ids or [_unused(base, taken)]


def _unused(wanted: str, taken: set[str]) -> str:
    """An id of its own: `ops team` and `ops-team` are two receivers, and other people."""
    found, number = wanted, 2
    while found in taken:
        found, number = f"{wanted}-{number}", number + 1
    taken.add(found)
    return found


def _webhook(entry: Part, _defaults: Part) -> dict[str, Any]:
    """In the form that the receiver reads by now."""
    return {"url": entry.get("url"), "format": "alertmanager", "max_alerts": entry.get("max_alerts")}


def _slack(entry: Part, defaults: Part) -> dict[str, Any]:
    return {"webhook_url": entry.get("api_url") or defaults.get("slack_api_url"), "channel": entry.get("channel")}


def _email(entry: Part, defaults: Part) -> dict[str, Any]:
    def given(name: str) -> Any:
        return entry.get(name) or defaults.get(f"smtp_{name}")

    host, _, port = str(given("smarthost") or "").rpartition(":")
    return {
        "smtp_host": host or None,
        "smtp_port": int(port) if port.isdecimal() else None,
        "username": given("auth_username"),
        "password": given("auth_password"),
        "from_address": given("from"),
        "to_addresses": [part.strip() for part in str(entry.get("to") or "").split(",") if part.strip()],
    }


def _pagerduty(entry: Part, defaults: Part) -> dict[str, Any]:
    url = entry.get("url") or defaults.get("pagerduty_url")
    return {"routing_key": entry.get("routing_key"), "url": url}


def _opsgenie(entry: Part, defaults: Part) -> dict[str, Any]:
    url = str(entry.get("api_url") or defaults.get("opsgenie_api_url") or "").rstrip("/")
    key = entry.get("api_key") or defaults.get("opsgenie_api_key")
    return {"api_key": key, "url": url or None, "responders": entry.get("responders")}


def _telegram(entry: Part, defaults: Part) -> dict[str, Any]:
    url = entry.get("api_url") or defaults.get("telegram_api_url")
    names = ("bot_token", "chat_id", "message_thread_id")
    return {**{name: entry.get(name) for name in names}, "url": url}


def _hooked(entry: Part, _defaults: Part) -> dict[str, Any]:
    return {"webhook_url": entry.get("webhook_url")}


_KINDS: Final[Mapping[str, Kind]] = {
    "webhook_configs": Kind("webhook", _webhook, ("url", "max_alerts")),
    "slack_configs": Kind("slack", _slack, ("api_url", "channel"), tells_end=False),
    "email_configs": Kind(
        "email", _email, ("smarthost", "auth_username", "auth_password", "from", "to"), tells_end=False
    ),
    "pagerduty_configs": Kind("pagerduty", _pagerduty, ("routing_key", "url")),
    "opsgenie_configs": Kind("opsgenie", _opsgenie, ("api_key", "api_url", "responders")),
    "telegram_configs": Kind("telegram", _telegram, ("bot_token", "chat_id", "message_thread_id", "api_url")),
    "discord_configs": Kind("discord", _hooked, ("webhook_url",)),
    "msteams_configs": Kind("teams", _hooked, ("webhook_url",)),
    "msteamsv2_configs": Kind("teams", _hooked, ("webhook_url",)),
}
