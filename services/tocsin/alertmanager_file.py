"""From an Alertmanager configuration file to routes and channels: the same notifications at the same times. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tocsin.schemas.matcher import Matcher, parse_matchers

_KEPT: Final = ("group_by", "group_wait", "group_interval", "repeat_interval")
_TIMES: Final = ("mute_time_intervals", "active_time_intervals")
_NOT_IN_AN_ID: Final = re.compile(r"[^A-Za-z0-9_.:-]+")
_SILENT: Final = ("global", "receivers", "route", "inhibit_rules", "time_intervals", "mute_time_intervals")
Part = Mapping[str, Any]


class NotAlertmanager(ValueError):
    """The file is not what Alertmanager reads; the text says where and why."""


@dataclass(slots=True)
class Imported:
    """Routes and channels as users of tocsin write them, and what could not be taken over."""

    routing: dict[str, Any] = field(default_factory=dict)
    channels: list[dict[str, Any]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def imported(config: Any) -> Imported:
    """Take over a configuration. Raises NotAlertmanager."""
    if not isinstance(config, Mapping) or not isinstance(config.get("route"), Mapping):
        raise NotAlertmanager("is no Alertmanager configuration: it has no route")
    found = Imported()
    found.remarks += [f"{name}: is not taken over" for name in config if name not in _SILENT]
    channels = dict(_receivers(config, found))
    root = _route(config["route"], "route", channels, found)
    # As Alertmanager: what is over is said at the looks of its group.
    found.routing = {"route": {**root, "resolve_at_once": False}}
    intervals = [*_parts(config, "time_intervals"), *_parts(config, "mute_time_intervals")]
    if intervals:
        found.routing["time_intervals"] = intervals
    rules = [_inhibition(rule, f"inhibit_rules.{place}") for place, rule in enumerate(_parts(config, "inhibit_rules"))]
    if rules:
        found.routing["inhibit_rules"] = rules
    return found


def _route(route: Part, path: str, channels: Mapping[str, list[str]], found: Imported) -> dict[str, Any]:
    made: dict[str, Any] = {}
    matchers = _matchers(route, "", path)
    if matchers:
        made["match"] = matchers
    if "receiver" in route:
        name = str(route["receiver"])
        if name not in channels:
            raise NotAlertmanager(f"{path}.receiver: there is no receiver {name!r}")
        made["channels"] = channels[name]
    made |= {name: route[name] for name in (*_KEPT, *_TIMES) if route.get(name) is not None}
    if route.get("continue"):
        made["continue"] = True
    known = (*_KEPT, *_TIMES, "receiver", "continue", "routes", "match", "match_re", "matchers")
    found.remarks += [f"{path}.{name}: is not taken over" for name in route if name not in known]
    below = _parts(route, "routes", f"{path}.")
    if below:
        made["routes"] = [_route(child, f"{path}.routes.{place}", channels, found) for place, child in enumerate(below)]
    return made


def _matchers(part: Part, prefix: str, path: str) -> list[str]:
    """All three ways to write matchers, old and new."""
    equal, alike = (_mapping(part, f"{prefix}{name}", f"{path}.") for name in ("match", "match_re"))
    found = [Matcher(str(name), "=", str(value)) for name, value in equal.items()]
    try:
        found += [Matcher(str(name), "=~", str(value)) for name, value in alike.items()]
        for text in _list(part, f"{prefix}matchers", f"{path}."):
            found += parse_matchers(str(text))
    except ValueError as error:
        raise NotAlertmanager(f"{path}: {error}") from None
    return [str(one) for one in found]


def _inhibition(rule: Part, path: str) -> dict[str, Any]:
    made: dict[str, Any] = {side: _matchers(rule, f"{side}_", path) for side in ("source", "target")}
    equal = _list(rule, "equal", f"{path}.")
    if equal:
        made["equal"] = equal
    return {**made, "hold": "0s"}


def _list(part: Part, name: str, path: str = "") -> list[Any]:
    """What stands there, nothing being an empty list. Raises NotAlertmanager."""
    value = part.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise NotAlertmanager(f"{path}{name}: must be a list")
    return value


def _parts(part: Part, name: str, path: str = "") -> list[Part]:
    """As `_list`, of mappings."""
    found = _list(part, name, path)
    for place, one in enumerate(found):
        if not isinstance(one, Mapping):
            raise NotAlertmanager(f"{path}{name}.{place}: must be a mapping of names to values")
    return found


def _mapping(part: Part, name: str, path: str = "") -> Part:
    value = part.get(name)
    if value is not None and not isinstance(value, Mapping):
        raise NotAlertmanager(f"{path}{name}: must be a mapping of names to values")
    return value or {}


def _receivers(config: Part, found: Imported) -> Iterator[tuple[str, list[str]]]:
    """Each receiver's name and its channels; those of a kind that tocsin lacks are named, and left to be made."""
    defaults, taken = _mapping(config, "global"), set[str]()
    for place, receiver in enumerate(_parts(config, "receivers")):
        name = str(receiver.get("name", ""))
        base = _NOT_IN_AN_ID.sub("-", name).strip("-._:")[:100] or "receiver"
        made: list[dict[str, Any]] = []
        for kind, convert in _KINDS.items():
            for entry in _parts(receiver, f"{kind}_configs", f"receivers.{place}."):
                made.append({"type": kind, "config": convert(entry, defaults)})
                found.remarks += [f"receiver {name!r}: {what}" for what in _lost(kind, entry)]
        for other in receiver:
            if other.endswith("_configs") and other.removesuffix("_configs") not in _KINDS:
                text = f"there is no channel type for {other}; add a channel {base!r} that takes its place"
                found.remarks.append(f"receiver {name!r}: {text}")
        ids = [_unused(base if len(made) == 1 else f"{base}-{number}", taken) for number in range(1, len(made) + 1)]
        found.channels += [{"id": channel_id, **channel} for channel_id, channel in zip(ids, made, strict=True)]
        yield name, ids or [_unused(base, taken)]


def _unused(wanted: str, taken: set[str]) -> str:
    """An id of its own: `ops team` and `ops-team` are two receivers, and other people."""
    found, number = wanted, 2
    while found in taken:
        found, number = f"{wanted}-{number}", number + 1
    taken.add(found)
    return found


def _webhook(entry: Part, _defaults: Part) -> dict[str, Any]:
    return _config({"url": entry.get("url")}, entry, sends_resolved=True)


def _slack(entry: Part, defaults: Part) -> dict[str, Any]:
    url = entry.get("api_url") or defaults.get("slack_api_url")
    return _config({"webhook_url": url, "channel": entry.get("channel")}, entry, sends_resolved=False)


def _email(entry: Part, defaults: Part) -> dict[str, Any]:
    def given(name: str) -> Any:
        return entry.get(name) or defaults.get(f"smtp_{name}")

    host, _, port = str(given("smarthost") or "").rpartition(":")
    config = {
        "smtp_host": host or None,
        "smtp_port": int(port) if port.isdecimal() else None,
        "username": given("auth_username"),
        "password": given("auth_password"),
        "from_address": given("from"),
        "to_addresses": [part.strip() for part in str(entry.get("to", "")).split(",") if part.strip()],
    }
    return _config(config, entry, sends_resolved=False)


_KINDS: Final = {"webhook": _webhook, "slack": _slack, "email": _email}
_TAKEN: Final = {
    "webhook": ("url", "send_resolved"),
    "slack": ("api_url", "channel", "send_resolved"),
    "email": ("smarthost", "auth_username", "auth_password", "from", "to", "send_resolved"),
}


def _lost(kind: str, entry: Part) -> list[str]:
    return [f"{kind}_configs.{name}: is not taken over" for name in entry if name not in _TAKEN[kind]]


def _config(config: dict[str, Any], entry: Part, *, sends_resolved: bool) -> dict[str, Any]:
    given = {name: value for name, value in config.items() if value is not None}
    return {**given, "send_resolved": bool(entry.get("send_resolved", sends_resolved))}
