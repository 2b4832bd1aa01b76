"""Text of a picture as lines of fourteen segments, for machines without any font: capitals, digits and common signs."""

from __future__ import annotations

import re
from html import unescape
from typing import Final

# Of a cell six wide and ten high, from its upper left corner: the sides in halves, the middle, and what lies within.
_SEGMENTS: Final = {
    "a": "M0 0H6", "b": "M6 0V5", "c": "M6 5V10", "d": "M0 10H6", "e": "M0 5V10", "f": "M0 0V5", "g": "M0 5H3",
    "G": "M3 5H6", "h": "M0 0L3 5", "i": "M3 0V5", "j": "M6 0L3 5", "k": "M3 5L0 10", "l": "M3 5V10", "m": "M3 5L6 10",
    ".": "M3 9.5V10", ":": "M3 3V3.5M3 7V7.5", ",": "M3 9L2 11",
}  # fmt: skip
_SIGNS: Final = {
    "0": "abcdef", "1": "bcj", "2": "abdegG", "3": "abcdG", "4": "bcfgG", "5": "acdfgG", "6": "acdefgG", "7": "abc",
    "8": "abcdefgG", "9": "abcdfgG", "A": "abcefgG", "B": "abcdilG", "C": "adef", "D": "abcdil", "E": "adefgG",
    "F": "aefg", "G": "acdefG", "H": "bcefgG", "I": "adil", "J": "bcde", "K": "efgjm", "L": "def", "M": "bcefhj",
    "N": "bcefhm", "O": "abcdef", "P": "abefgG", "Q": "abcdefm", "R": "abefgGm", "S": "acdfgG", "T": "ail",
    "U": "bcdef", "V": "efjk", "W": "bcefkm", "X": "hjkm", "Y": "hjl", "Z": "adjk", "-": "gG", "_": "d",
    "=": "gGd", "+": "gGil",
    "/": "jk", "\\": "hm", ">": "hk", "<": "jm", "(": "jm", ")": "hk", "{": "jm", "}": "hk", "[": "adef", "]": "abcd",
    "%": "jk", "*": "ghijklmG", "|": "il", ".": ".", ":": ":", ",": ",", "'": "i", '"': "fi", "!": "i.", " ": "",
}  # fmt: skip
_UNKNOWN: Final = "adhjkm"
_TEXT: Final = re.compile(r'<text x="([-\d.]+)" y="([-\d.]+)" ([^>]*)>(.*?)</text>')
_CELL: Final = 9.0
_SCALE: Final = 0.07  # of a cell, for each pixel of the font's size


def outlined(svg: str) -> str:
    """A picture of `charts.svg` with its texts as paths."""
    return _TEXT.sub(_path, svg)


def _path(found: re.Match[str]) -> str:
    across, down = float(found[1]), float(found[2])
    style, text = found[3], unescape(found[4])
    scale = _SCALE * float(_said(style, "font-size", "13"))
    share = {"end": 1.0, "middle": 0.5}.get(_said(style, "text-anchor", "start"), 0.0)
    across -= share * len(text) * _CELL * scale
    lines = []
    for place, letter in enumerate(text.upper()):
        moved = f"translate({round(place * _CELL, 1)} 0)"
        drawn = "".join(_SEGMENTS[segment] for segment in _SIGNS.get(letter, _UNKNOWN))
        lines.append(f'<path transform="{moved}" d="{drawn}"/>' if drawn else "")
    look = f'fill="none" stroke="{_said(style, "fill", "#1f2933")}" stroke-linecap="round"'
    width = 1.7 if _said(style, "font-weight", "") == "bold" else 1.1
    where = f"translate({round(across, 1)} {round(down - 10 * scale, 1)}) scale({round(scale, 3)})"
    return f'<g transform="{where}" {look} stroke-width="{width}">{"".join(lines)}</g>'


def _said(style: str, name: str, default: str) -> str:
    found = re.search(rf'\b{name}="([^"]*)"', style)
    return found[1] if found else default
