"""Route: who is told about an alert event, and why somebody is not."""
