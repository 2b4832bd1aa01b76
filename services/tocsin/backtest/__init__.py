"""Backtesting: history from files and topics through the engine, and what would have fired."""
