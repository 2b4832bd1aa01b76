"""What a template may be made of: looked at in front of everything that takes it, and written anew for the engine."""

import itertools
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, TypeAlias

from jinja2 import Environment, TemplateSyntaxError

from tocsin.engine.template_nodes import Refused, refusal, written

MAX_LENGTH: Final = 8_192  # characters; rules and channels take no longer ones either
_MAX_DEPTH: Final = 16  # of brackets, and of tags: with the next one it keeps the parser's recursion below 600 calls
_MAX_TOKENS: Final = 200  # of one tag
_MAX_DIGITS: Final = 40  # Python reads no numbers of thousands of them
_CACHED: Final = 1_024  # texts; with what is made of them at most some 30 MiB
_EXAMPLE: Final = "write it like {{ labels.service }}"
_WRITTEN: Final = {"'end of print statement'": "}}", "'end of statement block'": "%}", "end of print statement": "}}"}
_OPEN: Final = frozenset("([{")
_CLOSED: Final = frozenset(")]}")
_BEGINS: Final = ("variable_begin", "block_begin")
_ENDS: Final = ("variable_end", "block_end")
_OUTSIDE: Final = ("data", "comment", "comment_begin", "comment_end", "whitespace")
_parser: Final = Environment(autoescape=True)
_Token: TypeAlias = tuple[int, str, str]


def rewritten(source: str) -> str:
    """The text that stands for a template, for an engine that keeps its last newline. Raises Refused."""
    if len(source) > MAX_LENGTH:
        raise Refused(f"has {len(source):,} characters, and a template at most {MAX_LENGTH:,}; shorten it")
    text, problem = _looked_at(source)
    if problem:
        raise Refused(problem)
    return text


@lru_cache(maxsize=_CACHED)
def _looked_at(source: str) -> tuple[str, str]:
    """What stands for it, or what is wrong with it: exceptions would not be remembered."""
    try:
        _hold_to_bounds(_parser.lex(source))
        return written(_parser.parse(source)), ""
    except TemplateSyntaxError as error:
        said = " ".join(str(error.message).split())[:200].rstrip(".")
        for name, sign in _WRITTEN.items():
            said = said.replace(name, sign)
        return "", f"line {error.lineno}: {said}; {_EXAMPLE}"
    except Refused as error:
        return "", str(error)


def _hold_to_bounds(tokens: Iterator[_Token]) -> None:
    """Refuse what would lead the parser deep: it calls itself for each bracket, tag, `not` and `else`."""
    brackets = blocks = 0
    inside = (token for token in tokens if token[1] not in _OUTSIDE)
    for line, tag in _tags(inside):
        first = tag[0] if tag else ""
        blocks += (first in ("if", "for")) - (first in ("endif", "endfor"))
        deepest = max(itertools.accumulate((sign in _OPEN) - (sign in _CLOSED) for sign in tag), default=0)
        brackets = max(brackets, deepest)
        if len(tag) > _MAX_TOKENS:
            raise Refused(
                f"line {line}: a tag has at most {_MAX_TOKENS} words and signs; name parts of it by {{% set %}}"
            )
        if any(word[0].isdigit() and len(word) > _MAX_DIGITS for word in tag):
            raise refusal(line, "a number of this size", "one below 9e18")
        if blocks > _MAX_DEPTH or brackets > _MAX_DEPTH:
            raise Refused(f"line {line}: tags and brackets are at most {_MAX_DEPTH} deep; nest less")


def _tags(tokens: Iterator[_Token]) -> Iterator[tuple[int, list[str]]]:
    """The line and the words of each tag."""
    for line, kind, _ in tokens:
        if kind in _BEGINS:
            yield line, [word for _, kind, word in itertools.takewhile(lambda token: token[1] not in _ENDS, tokens)]
