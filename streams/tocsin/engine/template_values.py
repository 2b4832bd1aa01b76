"""What templates are given: plain values, and views of mappings and lists with nothing of Python's behind them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, final

_MOST_SORTED: Final = 32_768
_PLAIN: Final = (str, int, float, type(None))


@final
class OfferedMapping(Mapping[str, Any]):
    """Offers get, items, keys and values; no copy, fromkeys, pop or clear."""

    __slots__ = ("_inner",)

    def __init__(self, inner: Mapping[str, Any]) -> None:
        self._inner = {name: offered(value) for name, value in inner.items()}

    def __getitem__(self, name: str) -> Any:
        return self._inner[name]

    def get(self, name: str, default: Any = None) -> Any:
        """One of the values, or the other one."""
        return self._inner.get(name, default)

    def __iter__(self) -> Iterator[str]:
        return iter(self._inner)

    def __len__(self) -> int:
        return len(self._inner)

    def __str__(self) -> str:
        return str(self._inner)

    __repr__ = __str__

    def items(self) -> Any:
        """Pairs, as a list: a view would compare and unite like a set."""
        return tuple(self._inner.items())

    def keys(self) -> Any:
        """Names, as a list."""
        return tuple(self._inner)

    def values(self) -> Any:
        """Values, as a list."""
        return tuple(self._inner.values())


@final
class OfferedList(Sequence[Any]):
    """Offers its length and what is in it; a tuple would be copied into the engine whenever it is named."""

    __slots__ = ("_inner",)

    def __init__(self, inner: Sequence[Any]) -> None:
        self._inner = tuple(map(offered, inner))

    def __getitem__(self, index: Any) -> Any:
        return self._inner[index]

    def __len__(self) -> int:
        return len(self._inner)

    def __str__(self) -> str:
        return str(list(self._inner))

    __repr__ = __str__


def offered(value: Any) -> Any:
    """The same, all mappings and lists in it as views that nobody can change."""
    if isinstance(value, Mapping):
        return OfferedMapping(value)
    return OfferedList(value) if isinstance(value, list | tuple) else value


def plain(value: Any) -> Any:
    """The filter around operands of `+` and `*`, and arguments: it ends what would copy lists uncounted."""
    if isinstance(value, _PLAIN):
        return value
    raise TypeError("a list or mapping is no operand and no argument; write {{ hosts | join(', ') }}")


def cut(value: Any, start: int | None, stop: int | None) -> Any:
    """What `value[start:stop]` is: a part of a text, or of a list that was given; nothing of what is not there.

    A list of the template's own is copied to get here, which no fuel is taken for: so it ends the template.
    """
    if value is None:
        return ""
    if not isinstance(value, str | OfferedList):
        raise TypeError("only texts and alerts have parts; write {{ description[:100] }}")
    part = value[start:stop]
    return part if isinstance(part, str) else list(part)


def formatted(template: str, *given: Any) -> str:
    """The filter `format`, as Python's `%`; what is not there is an empty text."""
    return template % tuple("" if value is None else value for value in given)


def ordered(values: Sequence[Any], attribute: str | None = None, reverse: bool = False) -> list[Any]:
    """The filter `sort`: texts, or numbers, or lists of them, or by an attribute. What is not there comes first; upper
    and lower case are the same, as in Jinja."""
    keys = [_key(value) for value in _short(_attributes(values, attribute))]
    places = sorted(range(len(keys)), key=keys.__getitem__, reverse=reverse)
    return [values[place] for place in places]


def distinct(values: Sequence[Any]) -> list[Any]:
    """The filter `unique`: of texts or numbers, the first of each."""
    return list(dict.fromkeys(map(plain, _short(values))))


def largest(values: Sequence[Any]) -> Any:
    """The filter `max`: of texts, or of numbers; None if there are none."""
    return max(_there(_short(values)), default=None)


def smallest(values: Sequence[Any]) -> Any:
    """The filter `min`, likewise."""
    return min(_there(_short(values)), default=None)


def total(values: Sequence[Any], attribute: str | None = None) -> Any:
    """The filter `sum`: of numbers, or of an attribute."""
    return sum(_there(_attributes(values, attribute)))


def selected(values: Sequence[Any], attribute: str, test: str | None = None, other: Any = None) -> list[Any]:
    """The filter `selectattr`: what has an attribute, or one that is equal to another (`eq`), or not (`ne`)."""
    return _chosen(values, attribute, test, other, True)


def rejected(values: Sequence[Any], attribute: str, test: str | None = None, other: Any = None) -> list[Any]:
    """The filter `rejectattr`: the others."""
    return _chosen(values, attribute, test, other, False)


def _chosen(values: Sequence[Any], attribute: str, test: str | None, other: Any, kept: bool) -> list[Any]:
    if test not in (None, *_EQUAL, *_UNEQUAL):
        raise TypeError("only eq and ne select; write {{ alerts | selectattr('status', 'eq', 'firing') }}")
    found = _attributes(values, attribute)
    holds = map(bool, found) if test is None else ((one == other) is (test in _EQUAL) for one in found)
    return [value for value, is_so in zip(values, holds, strict=True) if is_so is kept]


_EQUAL: Final = ("eq", "equalto", "==")
_UNEQUAL: Final = ("ne", "!=")


def _attributes(values: Sequence[Any], path: str | None) -> Sequence[Any]:
    """What `labels.host` is of each mapping; None where it is not there."""
    names = path.split(".") if path else []
    return [_attribute(value, names) for value in values] if names else values


def _attribute(value: Any, names: Sequence[str]) -> Any:
    for name in names:
        if not isinstance(value, OfferedMapping | dict):
            return None
        value = value.get(name)
    return value


def _there(values: Sequence[Any]) -> Iterator[Any]:
    return (plain(value) for value in values if value is not None)


def _key(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_key(plain(part)) for part in value)
    return (value is not None, value.lower() if isinstance(value, str) else plain(value))


def _short(values: Sequence[Any]) -> Sequence[Any]:
    """The values, if they are short: fuel counts how many there are, but not how long they are."""
    texts = (part for value in values for part in (value if isinstance(value, list | tuple) else (value,)))
    if sum(len(text) for text in texts if isinstance(text, str)) > _MOST_SORTED:
        raise TypeError(
            f"texts of over {_MOST_SORTED:,} characters in all are too long to sort; leave sort and unique out"
        )
    return values


PYTHONS: Final[dict[str, Callable[..., Any]]] = {
    "cut": cut, "format": formatted, "max": largest, "min": smallest, "plain": plain, "rejectattr": rejected,
    "selectattr": selected, "sort": ordered, "sum": total, "unique": distinct,
}  # fmt: skip
