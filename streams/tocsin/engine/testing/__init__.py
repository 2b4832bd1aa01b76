"""Rule tests: series in a compact notation in, what differs from the expected alerts and notifications out.

Pure, as all of the engine: the same steps as in a live run, on a log in memory and a clock that the test moves.
"""

from tocsin.engine.testing.compare import Difference, Row
from tocsin.engine.testing.play import outcome
from tocsin.engine.testing.scenario import RuleTest, Suite

__all__ = ["Difference", "Row", "RuleTest", "Suite", "outcome"]
