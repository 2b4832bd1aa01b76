"""Who was told of an alert and who was not, and why: decisions, deliveries and events of one alert, joined. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from tocsin.schemas.notification import fallback_id

Item = dict[str, Any]
_OF_EVENT = ("type", "sequence", "updated_at", "severity", "rule_revision", "value", "threshold", "evidence")
_OF_ATTEMPT = ("outcome", "at", "attempt", "latency_ms", "status_code", "receipt", "detail", "next_attempt_at")
_WHY = ("reason", "by", "until", "route", "group_key", "policy", "step", "people")
_UNDER_WAY = "under way"
_TOLD = ("firing", "changed", "resolved")


def explain(events: Sequence[Item], decisions: Sequence[Item], deliveries: Sequence[Item]) -> Item:
    """For each receiver what it was told, with the provider's last answer, and what it was not, with the cause.

    All lists are of one alert; `deliveries` may be in any order, the others are the oldest first. The `outcome` of an
    entry is that of the last attempt (`under way` before the first), or of the decision that keeps it from being sent.
    A receiver of the name `""` stands for all of them where no one in particular would have been told. Steps of an
    escalation policy that told nobody are not among them: `escalation_steps` has these.
    """
    by_id = {one["id"]: one for one in events}
    attempts: defaultdict[str, list[Item]] = defaultdict(list)
    for one in sorted(deliveries, key=lambda one: (one["at"], one["attempt"])):
        attempts[one["notification_id"]].append(one)
    entries = [entry for one in decisions for entry in _decided(one, attempts)]
    entries += _direct(attempts, {entry.get("notification_id") for entry in entries}, by_id)
    entries += _under_way(events, entries)
    kinds = {one["channel_id"]: one["channel_type"] for one in deliveries}
    receivers: defaultdict[str, list[Item]] = defaultdict(list)
    for entry in sorted(entries, key=lambda entry: str(entry["at"])):
        name = entry.pop("channel")
        receivers[name].append({**entry, "event": _event(by_id.get(entry["event_id"]))})
    return {
        "receivers": [
            {"channel": name, "channel_type": kinds.get(name, ""), "last": found[-1]["outcome"], "entries": found}
            for name, found in sorted(receivers.items())
        ]
    }


def _decided(decision: Item, attempts: Mapping[str, Sequence[Item]]) -> Iterator[Item]:
    """A decision, once for each channel that it is about."""
    why = {name: decision[name] for name in _WHY if decision.get(name)}
    entry = {"at": decision["at"], "event_id": decision["event_id"], "decision": decision["outcome"], **why}
    channels = decision.get("channels") or [""]
    if decision["outcome"] != "sent" and decision.get("policy"):
        return
    if decision["outcome"] != "sent":
        yield from ({**entry, "channel": channel, "outcome": decision["outcome"]} for channel in channels)
        return
    for channel, notification in zip(channels, decision.get("notifications", ()), strict=False):
        yield {**entry, "channel": channel, "notification_id": notification, **_answer(attempts.get(notification, ()))}


def _direct(
    attempts: Mapping[str, Sequence[Item]], known: Collection[Any], events: Mapping[str, Item]
) -> Iterator[Item]:
    """What was told at once, which stands under deliveries alone: by a rule's own channels, by those that an escalation
    policy had told before, and by fallbacks."""
    instead = _instead(attempts)
    for notification, found in attempts.items():
        if notification not in known and not found[-1].get("test"):
            first = found[0]
            event = events.get(first["event_id"])
            named = event.get("notifications") or () if event else None
            is_named = named is None or {first["channel_id"], first["channel_type"]} & {*named}
            reason = instead.get(notification) or ("named by the rule" if is_named else "told before")
            entry = {"at": first["at"], "event_id": first["event_id"], "decision": "sent", "reason": reason}
            yield {**entry, "channel": first["channel_id"], "notification_id": notification, **_answer(found)}


def _instead(attempts: Mapping[str, Sequence[Item]]) -> dict[str, str]:
    """Of notifications that a fallback was given, in whose place it tells them."""
    names = {found[0]["channel_id"] for found in attempts.values()}
    return {
        fallback_id(notification, name): f"instead of {found[0]['channel_id']}"
        for notification, found in attempts.items()
        for name in names
    }


def _under_way(events: Sequence[Item], entries: Sequence[Item]) -> Iterator[Item]:
    """The last event that a rule's own channels are to hear of, while nothing says what became of it."""
    told = [one for one in events if one["type"] in _TOLD and one.get("notifications")]
    if told and not any(entry["at"] >= told[-1]["updated_at"] for entry in entries) and told[-1]["type"] == "firing":
        for name in told[-1]["notifications"]:
            entry = {"at": told[-1]["updated_at"], "event_id": told[-1]["id"], "decision": "sent"}
            yield {**entry, "reason": "named by the rule", "channel": name, "outcome": _UNDER_WAY, "attempts": 0}


def _answer(attempts: Sequence[Item]) -> Item:
    """What the provider said last."""
    if not attempts:
        return {"outcome": _UNDER_WAY, "attempts": 0}
    last = attempts[-1]
    answered = {name: last[name] for name in _OF_ATTEMPT if last.get(name) not in (None, "")}
    answered["answered_at"] = answered.pop("at")
    return {**answered, "attempts": answered.pop("attempt", 0)}


def _event(event: Item | None) -> Item | None:
    """What an entry is about: which transition, by which revision of the rule, on what evidence."""
    return {name: event[name] for name in _OF_EVENT if name in event} if event else None
