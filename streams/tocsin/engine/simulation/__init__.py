"""The simulation: all five stages in one process, on a log that crashes, pauses and rebalances them as a seed says."""
