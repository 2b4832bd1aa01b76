"""What a planted bug is, and in which schedules it can show itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tocsin.engine.simulation.scenario import Scenario

Need = Callable[[Scenario], bool]


@dataclass(frozen=True)
class Bug:
    """What is wrong, how to make it so, and what a schedule needs to show it."""

    name: str
    plant: Callable[[pytest.MonkeyPatch], None]
    needs: tuple[Need, ...] = ()

    def can_show(self, scenario: Scenario) -> bool:
        """Drawing a schedule takes a sixtieth of the time that it takes to run it."""
        return all(need(scenario) for need in self.needs)


def samples(scenario: Scenario) -> bool:
    return not scenario.is_about_routes


def routes(scenario: Scenario) -> bool:
    return scenario.is_about_routes


def evaluate(scenario: Scenario) -> bool:
    return "evaluate" in scenario.groups


def deliver(scenario: Scenario) -> bool:
    return "deliver" in scenario.groups


def lulls(scenario: Scenario) -> bool:
    return scenario.has_lulls


def learning(scenario: Scenario) -> bool:
    return scenario.learns


def overtaking(scenario: Scenario) -> bool:
    return scenario.swarm.overtakes


def pauses(scenario: Scenario) -> bool:
    return "pause" in scenario.swarm.faults


def crashes(scenario: Scenario) -> bool:
    return "crash" in scenario.swarm.faults


def many_rounds(scenario: Scenario) -> bool:
    return sum(scenario.swarm.rounds) >= 3
