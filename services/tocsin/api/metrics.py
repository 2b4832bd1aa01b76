"""Prometheus metrics of the API."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """One process's registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "tocsin_api_requests_total", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self.latency = Histogram(
            "tocsin_api_request_seconds", "Time to answer.", ["route"], registry=self.registry,
            buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
        )  # fmt: skip
        self.lag = Gauge(
            "tocsin_projection_lag_records", "Records not in the projection yet.", ["topic"], registry=self.registry
        )
        self.passed_over = Gauge(
            "tocsin_projection_passed_over_records",
            "Records that could not be read, since the start.", ["topic"], registry=self.registry,
        )  # fmt: skip
        self.unreadable = Gauge(
            "tocsin_configuration_unreadable",
            "Entries that were overwritten with what is none; what they were before is in force.",
            ["kind"], registry=self.registry,
        )  # fmt: skip
        self.refused_series = Gauge(
            "tocsin_series_refused",
            "Series that are not watched, as a limit is met; without a rule: of all rules together.",
            ["rule_id", "limit"], registry=self.registry,
        )  # fmt: skip
        self.alerts = Gauge("tocsin_alerts_active", "Active alerts.", ["status", "severity"], registry=self.registry)

    def text(self) -> bytes:
        """The exposition."""
        return generate_latest(self.registry)
