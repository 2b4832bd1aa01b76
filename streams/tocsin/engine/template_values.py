"""What templates are given: plain values, and views of mappings and lists with nothing of Python's behind them."""

from collections.abc import Iterator, Mapping, Sequence
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


def ordered(values: Sequence[Any], reverse: bool = False) -> list[Any]:
    """The filter `sort`: texts, or numbers; upper and lower case are the same, as in Jinja."""
    return sorted(_short(values), key=lambda value: value.lower() if isinstance(value, str) else value, reverse=reverse)


def distinct(values: Sequence[Any]) -> list[Any]:
    """The filter `unique`: of texts or numbers, the first of each."""
    return list(dict.fromkeys(_short(values)))


def _short(values: Sequence[Any]) -> list[Any]:
    """The values, if they are plain: fuel counts how many there are, but not how long they are."""
    if sum(len(value) for value in values if isinstance(value, str)) > _MOST_SORTED:
        raise TypeError(
            f"texts of over {_MOST_SORTED:,} characters in all are too long to sort; leave sort and unique out"
        )
    return [plain(value) for value in values]
