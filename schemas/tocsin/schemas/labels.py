"""Label sets and the identities made from them.

A *series key* is the canonical form of a metric name and its labels. A *series id* is 16 bytes of BLAKE2b over it,
used to spread series over partitions and to name them in frames. A *fingerprint* is Alertmanager's 64-bit FNV-1a over
an alert's labels, so that its tools see the identities they know.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

SHADOW: Final = "shadow/"
"""Before the id of a rule, and before a fingerprint: of a candidate that runs beside the rule. No id holds a slash, so
whatever keeps rules and alerts apart keeps these apart from them."""

SEPARATOR = b"\xff"  # never part of UTF-8, so no label can forge a boundary
_RULE_LABEL, _EXPORTED = "alertname", "exported_"
FNV_OFFSET, FNV_PRIME, _MASK = 0xCBF29CE484222325, 0x100000001B3, 0xFFFFFFFFFFFFFFFF


def series_key(name: str, labels: Mapping[str, str]) -> bytes:
    """Canonical bytes of a series: its metric name, then label names and values in name order.

    Labels with an empty value are the same as no label, as in Prometheus.
    """
    parts = [name.encode()]
    for label in sorted(labels):
        if labels[label]:
            parts += (label.encode(), labels[label].encode())
    return SEPARATOR.join(parts)


def parse_series_key(key: bytes) -> tuple[str, dict[str, str]]:
    """The metric name and labels of a series key."""
    name, *rest = key.split(SEPARATOR)
    texts = [part.decode() for part in rest]
    return name.decode(), dict(zip(texts[::2], texts[1::2], strict=True))


def series_id(key: bytes) -> bytes:
    """Sixteen bytes that name a series (BLAKE2b of its key)."""
    return blake2b(key, digest_size=16).digest()


def fingerprint(labels: Mapping[str, str]) -> str:
    """Alertmanager's fingerprint of labels: FNV-1a 64 over name, 0xFF, value, 0xFF in name order; 16 hex digits."""
    hashed = FNV_OFFSET
    for byte in _hashed_text(labels):
        hashed = ((hashed ^ byte) * FNV_PRIME) & _MASK
    return f"{hashed:016x}"


def _hashed_text(labels: Mapping[str, str]) -> bytes:
    return b"".join(name.encode() + SEPARATOR + labels[name].encode() + SEPARATOR for name in sorted(labels))


def alert_fingerprint(rule_id: str, labels: Mapping[str, str]) -> str:
    """The identity of an alert: its labels, and the rule as `alertname`."""
    return marked(rule_id, fingerprint(_alert_labels(rule_id, labels)))


def alert_text(rule_id: str, labels: Mapping[str, str]) -> bytes:
    """The bytes that an alert's fingerprint is the hash of, before it is `marked`."""
    return _hashed_text(_alert_labels(rule_id, labels))


def _alert_labels(rule_id: str, labels: Mapping[str, str]) -> dict[str, str]:
    """A label of that name counts as `exported_alertname`: Prometheus renames what clashes with a label of its own."""
    hashed = dict(labels)
    if _RULE_LABEL in hashed:
        renamed = _EXPORTED + _RULE_LABEL
        while renamed in hashed:
            renamed = _EXPORTED + renamed
        hashed[renamed] = hashed[_RULE_LABEL]
    hashed[_RULE_LABEL] = rule_id.removeprefix(SHADOW)
    return hashed


def is_shadow(name: str) -> bool:
    """Whether the id of a rule, or a fingerprint, is that of a candidate in shadow."""
    return name.startswith(SHADOW)


def marked(rule_id: str, name: str) -> str:
    """A fingerprint as that of an alert of a rule: a candidate's are its rule's own behind a mark."""
    return SHADOW + name if is_shadow(rule_id) else name


def stable_id(*parts: str | int) -> str:
    """A 32-digit id that is a function of its parts alone, so that a repeat after a crash carries the same one."""
    return blake2b("\x00".join(map(str, parts)).encode(), digest_size=16).hexdigest()
