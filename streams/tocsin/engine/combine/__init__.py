"""Combine: shares of groups from all samples partitions in, signals out; and composites over other rules."""
