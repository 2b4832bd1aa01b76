"""What delivery counts: every metric of this service, with its meaning."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

ATTEMPTS = Counter(
    "tocsin_delivery_attempts_total",
    "Attempts to send, by channel type and how they ended",
    ["channel_type", "outcome"],
)
LATENCY = Histogram(
    "tocsin_delivery_attempt_seconds",
    "How long an attempt took",
    ["channel_type"],
    buckets=(0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
)
WAITING = Gauge("tocsin_delivery_waiting", "Notifications that were read and are not settled yet", ["channel_type"])
DEAD_LETTERS = Counter("tocsin_delivery_dead_letters_total", "Notifications given up", ["channel_type", "reason"])
FALLBACKS = Counter("tocsin_delivery_fallbacks_total", "Notifications given to another channel", ["channel_type"])
DIGESTS = Counter("tocsin_delivery_digests_total", "Digests of what was beyond a rate limit", ["channel_type"])
CHARTS = Counter("tocsin_delivery_charts_total", "Charts for messages", ["outcome"])
REPEATS_DROPPED = Counter("tocsin_delivery_repeats_dropped_total", "Repeats of what is delivered", ["channel_type"])
