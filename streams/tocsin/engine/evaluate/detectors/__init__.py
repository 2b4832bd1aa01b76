"""Detectors, by name: one file and one line each."""
