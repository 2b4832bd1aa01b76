"""From an Alertmanager configuration file to routes and channels: the same notifications at the same times. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tocsin.alertmanager_parts import NotAlertmanager, Part, listed, mapping, parts
from tocsin.alertmanager_receivers import receivers
from tocsin.schemas.matcher import Matcher, parse_matchers

_KEPT: Final = ("group_by", "group_wait", "group_interval", "repeat_interval")
_TIMES: Final = ("mute_time_intervals", "active_time_intervals")
_SILENT: Final = ("global", "receivers", "route", "inhibit_rules", "time_intervals", "mute_time_intervals")


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
    channels = dict(receivers(config, found.channels, found.remarks))
    root = _route(config["route"], "route", channels, found)
    # As Alertmanager: what is over is said at the looks of its group.
    found.routing = {"route": {**root, "resolve_at_once": False}}
    intervals = [*parts(config, "time_intervals"), *parts(config, "mute_time_intervals")]
    if intervals:
        found.routing["time_intervals"] = intervals
    rules = [_inhibition(rule, f"inhibit_rules.{place}") for place, rule in enumerate(parts(config, "inhibit_rules"))]
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
    below = parts(route, "routes", f"{path}.")
    if below:
        made["routes"] = [_route(child, f"{path}.routes.{place}", channels, found) for place, child in enumerate(below)]
    return made


def _matchers(part: Part, prefix: str, path: str) -> list[str]:
    """All three ways to write matchers, old and new."""
    equal, alike = (mapping(part, f"{prefix}{name}", f"{path}.") for name in ("match", "match_re"))
    found = [Matcher(str(name), "=", str(value)) for name, value in equal.items()]
    try:
        found += [Matcher(str(name), "=~", str(value)) for name, value in alike.items()]
        for text in listed(part, f"{prefix}matchers", f"{path}."):
            found += parse_matchers(str(text))
    except ValueError as error:
        raise NotAlertmanager(f"{path}: {error}") from None
    return [str(one) for one in found]


def _inhibition(rule: Part, path: str) -> dict[str, Any]:
    made: dict[str, Any] = {side: _matchers(rule, f"{side}_", path) for side in ("source", "target")}
    equal = listed(rule, "equal", f"{path}.")
    if equal:
        made["equal"] = equal
    return {**made, "hold": "0s"}
