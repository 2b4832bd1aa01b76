"""What alerts of one incident have in common, by a correlation rule, and why they do."""

from collections.abc import Mapping
from typing import Final

from tocsin.schemas.correlation import Correlation
from tocsin.schemas.inhibition import Dependencies
from tocsin.schemas.route import Routing

Labels = Mapping[str, str]


class Common:
    """A correlation rule over the dependencies of one routing."""

    def __init__(self, correlation: Correlation, routing: Routing) -> None:
        self._by: Final = correlation.by
        self._names: Final = sorted(correlation.names)
        self._along: Final = correlation.along
        self._graphs: Final = [one for one in routing.dependencies if one.label == correlation.along]
        self._roots: Final = _roots(self._graphs)

    def of(self, labels: Labels) -> dict[str, str] | None:
        """The labels that name the incident of an alert; None of one that lacks any. A thing stands for all that it is
        connected with."""
        if not all(labels.get(name) for name in self._names):
            return None
        found = {name: labels[name] for name in self._names}
        if self._along:
            found[self._along] = self._roots.get(labels[self._along], labels[self._along])
        return found

    def own(self, labels: Labels) -> dict[str, str]:
        """The labels of an alert that say why it belongs to others."""
        return {name: labels.get(name, "") for name in self._names}

    def why(self, first: Labels, own: Labels) -> str:
        """Why an alert is in the incident of another one, by their own labels."""
        said = [f"{name} is {own[name]}" for name in self._by]
        if self._along:
            said.append(self._connected(first.get(self._along, ""), own[self._along]))
        return ", ".join(said)

    def _connected(self, first: str, thing: str) -> str:
        if first == thing:
            return f"{self._along} is {thing}"
        for needing, needed in ((thing, first), (first, thing)):
            if any(needed in graph.all_needed(needing) for graph in self._graphs):
                return f"{self._along} {needing} needs {needed}"
        return f"{self._along} {thing} is connected with {first}"


def _roots(graphs: list[Dependencies]) -> dict[str, str]:
    """For each thing the one that stands for all it is connected with: the first by name of those that need nothing."""
    parts: dict[str, set[str]] = {}
    needing: set[str] = set()
    for graph in graphs:
        for name, needed in graph.needs.items():
            needing |= {name} if needed else set()
            joined = {name, *needed}.union(*(parts.get(one, ()) for one in (name, *needed)))
            parts |= dict.fromkeys(joined, joined)
    return {name: min(part - needing) for name, part in parts.items()}
