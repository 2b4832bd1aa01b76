"""What the hot path costs on this machine."""
