"""Escalation: who is on call, and who is told next while nobody answers."""
