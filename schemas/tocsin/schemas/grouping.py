"""What lies on `groups`, keyed by group: alerts that joined a group or changed in it, and time, as on `commands`."""

import msgspec

from tocsin.schemas.alert import AlertEvent
from tocsin.schemas.instant import InstantMs, Integer


class Join(msgspec.Struct, frozen=True, kw_only=True, tag="join", tag_field="kind", omit_defaults=True):
    """An alert of a group, as its last event says.

    `route` names the node of the tree, `labels` are those it is grouped by. `source` and `number` make a repeat known:
    numbers of one source only grow. `left` says that the alert is another route's from here on.
    """

    group_key: str
    route: str
    labels: dict[str, str]
    event: AlertEvent
    source: Integer
    number: Integer
    left: bool = False


class RouteTick(msgspec.Struct, frozen=True, tag="tick", tag_field="kind"):
    """It is `at_ms` now, by the clock of the worker that has the partition."""

    at_ms: InstantMs


GroupInput = Join | RouteTick
