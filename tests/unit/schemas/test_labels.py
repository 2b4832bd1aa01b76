"""Identities: those that outlive a release, and that two alerts never share one."""

from __future__ import annotations

from tocsin.schemas.labels import alert_fingerprint, fingerprint


def test_fingerprints_are_those_of_alertmanager() -> None:
    assert fingerprint({}) == "cbf29ce484222325"
    assert alert_fingerprint("slow", {"host": "a1"}) == fingerprint({"alertname": "slow", "host": "a1"})


def test_a_label_called_as_the_rules_own_tells_alerts_apart() -> None:
    one, other = (alert_fingerprint("slow", {"alertname": name}) for name in ("a", "b"))
    assert one == fingerprint({"alertname": "slow", "exported_alertname": "a"})
    assert one != other


def test_a_renamed_label_takes_no_place_that_is_taken() -> None:
    one, other = (alert_fingerprint("slow", {"alertname": name, "exported_alertname": "x"}) for name in ("a", "b"))
    assert one == fingerprint({"alertname": "slow", "exported_alertname": "x", "exported_exported_alertname": "a"})
    assert one != other
