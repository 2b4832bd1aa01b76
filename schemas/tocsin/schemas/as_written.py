"""Rules that were valid when they were written, read without what is asked of a rule today."""

from functools import cache
from typing import Any, Final

import orjson
from pydantic import ValidationError
from pydantic_core import SchemaValidator

from tocsin.schemas.codec import UnreadableRecord
from tocsin.schemas.labels import is_shadow
from tocsin.schemas.problems import field_errors
from tocsin.schemas.rule import Rule
from tocsin.schemas.shadow import Candidate

_BOUNDS: Final = frozenset({"ge", "gt", "le", "lt", "min_length", "max_length", "pattern"})


def rule_as_written(value: bytes, key: str) -> Rule:
    """A rule of the right form, whatever it says; raises UnreadableRecord for what has not even that.

    For state that hangs on it: what it says was judged by once, and is not to be judged by again.
    """
    kind = Candidate if is_shadow(key) else Rule
    try:
        found: Rule = _unchecked_reader(kind).validate_python(orjson.loads(value))
    except ValidationError as error:
        raise UnreadableRecord("; ".join(map(str, field_errors(error, kind)))) from None
    return found


@cache
def _unchecked_reader(kind: type[Rule]) -> SchemaValidator:
    # Prebuilt are the validators of the models within, with all that they ask.
    return SchemaValidator(_unchecked(kind.__pydantic_core_schema__), _use_prebuilt=False)


def _unchecked(schema: Any) -> Any:
    """A pydantic schema that reads the same values, without bounds and without validators that come after.

    Those only check; what turns text into values comes before.
    """
    if isinstance(schema, list | tuple):
        return type(schema)(map(_unchecked, schema))
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") == "function-after":
        inner = _unchecked(schema["schema"])
        return {**inner, "ref": schema["ref"]} if "ref" in schema else inner
    is_schema = isinstance(schema.get("type"), str)  # and no table of fields, one of which is called so
    return {name: _unchecked(part) for name, part in schema.items() if not (is_schema and name in _BOUNDS)}
