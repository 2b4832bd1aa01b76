"""Text from strangers made harmless: control characters, ANSI escapes and bidirectional overrides."""

from __future__ import annotations

import re

# C0 but tab and newline, DEL, C1, zero-width and bidirectional controls, line separators, BOM, surrogates.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_SPACE = re.compile(r"[\s\x1c-\x1f\x85]+")


def visible(text: str) -> str:
    """What cannot be seen is written as an escape, so that no text forges lines or moves the cursor."""
    return _UNSEEN.sub(
        lambda found: f"\\u{ord(found[0]):04x}" if ord(found[0]) > 0xFF else f"\\x{ord(found[0]):02x}", text
    )


def one_line(text: str, limit: int = 998) -> str:
    """One line without control characters, of at most `limit` characters."""
    plain = _UNSEEN.sub("", _SPACE.sub(" ", text)).strip()
    return plain if len(plain) <= limit else plain[: limit - 1].rstrip() + "…"


def shortened(text: str, limit: int) -> str:
    """At most `limit` characters; an ellipsis tells that something is left out."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"
