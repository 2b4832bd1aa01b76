"""Lifecycle: signals and commands become alerts. The only place where an alert changes its state."""
