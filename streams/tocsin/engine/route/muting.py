"""What keeps an alert quiet, in Alertmanager's order: inhibition, the route's times, silences."""

from dataclasses import dataclass, field

from tocsin.engine.route.inhibition import Inhibitor, Labels, Wait
from tocsin.engine.route.marks import Reached
from tocsin.engine.route.silences import Silences
from tocsin.engine.route.tree import Tree
from tocsin.engine.watermark import EVERYTHING_MS
from tocsin.schemas.alert import AlertEvent, routing_labels
from tocsin.schemas.decision import Outcome


@dataclass(frozen=True, slots=True)
class Mute:
    """Why nobody is told, and what does it: fingerprints, names of time intervals, or ids of silences."""

    outcome: Outcome
    by: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.outcome} by {' '.join(self.by)}"


@dataclass(slots=True)
class Muting:
    """Everything that may keep an alert quiet, as it is now. All active alerts are known as far as is `reached`."""

    silences: Silences = field(default_factory=Silences)
    inhibitor: Inhibitor = field(default_factory=Inhibitor)
    reached: Reached = field(default_factory=Reached)
    tree: Tree | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing but a route's times can keep an alert quiet."""
        return not self.silences and self.inhibitor.is_idle

    @property
    def reached_ms(self) -> int:
        """The watermark by which what waits for one is due: any, where nothing may inhibit any more."""
        return EVERYTHING_MS if self.inhibitor.is_idle else self.reached.watermark_ms

    def put_tree(self, tree: Tree | None) -> None:
        """Another routing is in force."""
        self.tree = tree
        self.inhibitor = self.inhibitor.following(tree.routing if tree else None)

    def wait(self, labels: Labels, fired_ms: int) -> Wait | None:
        """What an alert waits for before it counts as not inhibited; None if for nothing."""
        return None if self.inhibitor.is_idle else self.inhibitor.wait(labels, fired_ms, self.reached)

    def wait_of(self, event: AlertEvent) -> Wait | None:
        """The same for an event, whose labels are worked out only where something may inhibit."""
        return None if self.inhibitor.is_idle else self.wait(routing_labels(event), event.fired_ms)

    def why(self, labels: Labels, fired_ms: int, at_ms: int, quiet: tuple[str, ...] = ()) -> Mute | None:
        """Why an alert is not told at a time; `quiet` are the times that keep its route quiet."""
        if not self.inhibitor.is_idle and (sources := self.inhibitor.sources_of(labels)):
            return Mute("inhibited", sources)
        if quiet:
            return Mute("outside hours", quiet)
        if self.silences and (names := self.silences.matching(labels, fired_ms, at_ms)):
            return Mute("silenced", names)
        return None
