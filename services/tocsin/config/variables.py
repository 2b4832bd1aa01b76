"""The names of environment variables, made from the model: `TOCSIN_` and the path in capitals, `_` or `__` between."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final, get_args

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from tocsin.config.expansion import ConfigError, escape
from tocsin.schemas.settings import Settings

PREFIX: Final = "TOCSIN_"
CONFIG_VARIABLE: Final = "TOCSIN_CONFIG"
Keys = tuple[str, ...]

# Set by the supervisor for its children and by the tests, not by users.
_INTERNAL = ("TOCSIN_READY_FD",)
_INTERNAL_PREFIX = "TOCSIN_TEST_"


@cache
def leaves() -> dict[Keys, FieldInfo]:
    """Every single setting by its path: `("kafka", "partitions")`."""
    return dict(_leaves(Settings, ()))


def _leaves(model: type[BaseModel], path: Keys) -> Iterator[tuple[Keys, FieldInfo]]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _leaves(field.annotation, (*path, name))
        else:
            yield (*path, name), field


def is_secret(path: Keys) -> bool:
    """Whether a setting's value is never to be shown."""
    field = leaves().get(path)
    return field is not None and SecretStr in (field.annotation, *get_args(field.annotation))


def variable_name(path: Keys) -> str:
    """The variable for a setting, as the documentation spells it: `TOCSIN_KAFKA_PARTITIONS`."""
    return PREFIX + "_".join(path).upper()


@cache
def _paths_by_name() -> dict[str, Keys]:
    """Both spellings of every variable."""
    found: dict[str, Keys] = {}
    for path in leaves():
        for separator in ("_", "__"):
            name = PREFIX + separator.join(path).upper()
            assert found.setdefault(name, path) == path, f"{name} could mean two settings"
    return found


def given(environ: Mapping[str, str]) -> dict[Keys, tuple[str, str]]:
    """What the environment sets: path to (variable, text). An empty variable counts as not set.

    Raises ConfigError for every `TOCSIN_*` that is no setting, and for one set in both spellings to different values.
    """
    known = _paths_by_name()
    found: dict[Keys, tuple[str, str]] = {}
    mistakes = []
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name == CONFIG_VARIABLE or _is_internal(name):
            continue
        if name not in known:
            mistakes.append(_unknown(name))
        elif environ[name] != "":
            path = known[name]
            if path in found and found[path][1] != environ[name]:
                mistakes.append(f"{name}: {found[path][0]} says otherwise; remove one of the two")
            found[path] = (name, environ[name])
    if mistakes:
        raise ConfigError(*mistakes)
    return found


def _is_internal(name: str) -> bool:
    return name in _INTERNAL or name.startswith(_INTERNAL_PREFIX)


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, [*_paths_by_name(), CONFIG_VARIABLE], n=1, cutoff=0.75)
    mend = f"did you mean {near[0]}?" if near else "remove it; `tocsin config show` lists all"
    return f"{name}: is not a setting; {mend}"


def as_environment(settings: Settings) -> dict[str, str]:
    """Variables that give these very settings in another process; defaults are left out."""
    plain = settings.model_dump(mode="json")
    found = {}
    for path, field in leaves().items():
        value: Any = settings
        shown: Any = plain
        for key in path:
            value, shown = getattr(value, key), shown[key]
        if value is None or value == field.get_default(call_default_factory=True):
            continue
        if isinstance(value, SecretStr):
            shown = value.get_secret_value()
        text = ",".join(map(str, shown)) if isinstance(shown, list) else str(shown)
        found[variable_name(path)] = escape(text)
    return found
