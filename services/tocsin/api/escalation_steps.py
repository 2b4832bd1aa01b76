"""How far the escalation of an alert has come: the steps that are done, and the one that is due. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Item = dict[str, Any]
_OF_STEP = ("at", "policy", "step", "outcome", "reason", "people", "channels", "by")
_OF_DUE = ("policy", "step", "reason")
_STATES = {"waiting": "waiting", "policy over": "over", "sent": "under way", "nobody on call": "under way"}
_LAST = ("waiting", "policy over")


def escalation(alert: Item, events: Sequence[Item], decisions: Sequence[Item]) -> Item | None:
    """What was decided about the steps of this episode, in order, and when the next one is due, if it is.

    None for an alert without a policy. `state` is `waiting` for the step that is `due`, `acknowledged`, `resolved`,
    `over`, `under way`, or what keeps the step from being taken (`silenced`, `inhibited`, `no policy`).
    """
    episode = {one["id"] for one in events if one["starts_at"] == alert["starts_at"]}
    found = [one for one in decisions if one.get("policy") and one["event_id"] in episode]
    if not found and not alert.get("escalation_policy"):
        return None
    # Several are of the same moment, and what is waited for then comes after what was done.
    found.sort(key=lambda one: (one["at"], one["outcome"] in _LAST, one.get("step", 0)))
    last = found[-1] if found else {"outcome": "sent", "policy": alert["escalation_policy"]}
    state = _STATES.get(last["outcome"], last["outcome"]) if alert["status"] == "firing" else alert["status"]
    due = {name: last[name] for name in _OF_DUE if name in last} | {"at": last.get("until")}
    return {
        "policy": last["policy"],
        "state": state,
        "due": due if state == "waiting" else None,
        "steps": [
            {name: one[name] for name in _OF_STEP if name in one} for one in found if one["outcome"] != "waiting"
        ],
    }
