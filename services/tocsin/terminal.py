"""Text from elsewhere, made safe to print: control characters, ANSI sequences and bidi overrides become visible."""

from __future__ import annotations

import re

# C0 and C1, DEL, line and paragraph separators, and what reorders text: a label must not rewrite a log or a table.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]|[\ud800-\udfff]")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\x1b": "\\x1b"}


def escape(text: str) -> str:
    """One line of printable text; what is not printable stands as `\\n` or `\\u202e`."""
    return _UNSAFE.sub(_visible, text)


def is_safe(text: str) -> bool:
    """Whether text of several lines can be printed as it stands."""
    return _UNSAFE.search(text.replace("\n", "")) is None


def _visible(match: re.Match[str]) -> str:
    character = match.group()
    code = ord(character)
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
