"""Ingest: messages of any metrics topic become columnar frames, partitioned by series."""
