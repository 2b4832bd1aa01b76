"""Evaluate: frames and ticks in, signals out; the state is columns of series."""
