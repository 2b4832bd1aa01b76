"""Templates written anew from their syntax trees: only what is named here gets through.

The text that is rendered is made from the tree, with every operation in parentheses and every text as one literal. So
it does not matter whether two parsers would read the user's text alike; only the first one reads it.
"""

import difflib
import math
import re
from collections.abc import Callable
from typing import Any, Final

from jinja2 import nodes

HUMANE: Final = (
    "humanize", "humanizePercentage", "humanizeDuration", "humanize_percentage", "humanize_duration",
)  # fmt: skip
# Each filter with the names of what it may be given. Left out is what nests or repeats.
FILTERS: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(HUMANE, ()),
    **dict.fromkeys(("abs", "capitalize", "count", "first", "float", "int", "items", "keys", "last", "length"), ()),
    **dict.fromkeys(("list", "lower", "reverse", "string", "title", "tojson", "trim", "upper", "urlencode"), ()),
    "d": ("0", "1"), "default": ("0", "1"), "dictsort": (), "format": ("0", "1", "2", "3"), "join": ("0",),
    "map": ("attribute",), "max": (), "min": (), "rejectattr": ("0", "1", "2"), "replace": ("0", "1"), "round": ("0",),
    "selectattr": ("0", "1", "2"), "sort": ("attribute", "reverse"), "split": ("0",), "sum": ("attribute",),
    "unique": (),
}  # fmt: skip
TESTS: Final = (
    "defined", "even", "false", "iterable", "mapping", "none", "number", "odd", "sequence", "string", "true",
    "undefined",
)  # fmt: skip
METHODS: Final = (
    "capitalize", "endswith", "get", "items", "keys", "lower", "lstrip", "replace", "rstrip", "split", "startswith",
    "strip", "title", "upper", "values",
)  # fmt: skip
# In front of these the list is made one of its own, which costs a unit of work for each element; they would cost none.
_OF_LISTS: Final = frozenset(
    {"join", "map", "max", "min", "rejectattr", "reverse", "selectattr", "sort", "sum", "unique"}
)
_RESERVED: Final = frozenset(
    {"and", "elif", "else", "endfor", "endif", "endset", "false", "for", "if", "in", "is", "loop", "none", "not", "or"}
    | {"range", "recursive", "set", "true"}
)
_SIGNS: Final = ("{{", "{%", "{#")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_FORMAT: Final = re.compile(r"(?:[^%]|%%|%[-+ 0#]{0,2}\d{0,2}(?:\.\d{0,2})?[a-zA-Z])*", re.DOTALL)  # of small widths
_IDENTIFIER: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_OPERATORS: Final[dict[type[nodes.Node], str]] = {
    nodes.Sub: "-", nodes.Div: "/", nodes.FloorDiv: "//", nodes.Mod: "%", nodes.Pow: "**", nodes.And: "and",
    nodes.Or: "or",
}  # fmt: skip
_COUNTED: Final[dict[type[nodes.Node], str]] = {nodes.Add: "+", nodes.Mul: "*"}
_OTHER_FILTERS: Final = {
    **dict.fromkeys(("e", "escape", "forceescape", "safe"), "it without: texts are escaped where they are shown"),
    **dict.fromkeys(("reject", "select"), "{% for a in alerts if a.value > 1 %}"),
    "filesizeformat": "{{ value | humanize }}B",
    "groupby": "{% for a in alerts if a.severity == 'critical' %}",
    "truncate": "{{ description[:100] }}",
}
_COMPARISONS: Final = {
    "eq": "==", "ne": "!=", "gt": ">", "gteq": ">=", "lt": "<", "lteq": "<=", "in": "in", "notin": "not in",
}  # fmt: skip
_FORMATTED: Final = "{{ '%.2f' | format(value) }}"
_EXAMPLES: Final = {
    **dict.fromkeys(("d", "default"), "{{ labels.host | default('none') }}"),
    **dict.fromkeys(("selectattr", "rejectattr"), "{{ alerts | selectattr('status', 'eq', 'firing') }}"),
    "format": _FORMATTED,
    "join": "{{ alerts | map(attribute='labels.host') | join(', ') }}",
    "map": "{{ alerts | map(attribute='labels.host') }}",
    "replace": "{{ labels.host | replace('-', ' ') }}",
    "round": "{{ value | round(1) }}",
    "sort": "{{ alerts | sort(attribute='value', reverse=true) }}",
    "split": "{{ labels.host | split('.') }}",
    "sum": "{{ alerts | sum(attribute='value') }}",
}
_INSTEAD: Final = {
    "AssignBlock": "{% set name = ... %}",
    "Call": "{{ labels.get('host', '') }}",
    "Dict": "{{ {'critical': 'red', 'warning': 'yellow'}[severity] }}",
    "FilterBlock": "{{ labels.host | upper }}",
    "Slice": "{{ labels.host[:10] }}",
    "With": "{% set name = ... %}",
}
_CALLED: Final = {
    "AssignBlock": "{% set %} as a block", "Call": "this call", "CallBlock": "{% call %}",
    "Dict": "a mapping with such names", "ExtendsImport": "{% extends %}", "FilterBlock": "{% filter %}",
    "FromImport": "{% from %}", "Macro": "{% macro %}", "NSRef": "this target of {% set %}",
    "Scope": "{% autoescape %}", "Slice": "a step of a slice",
}  # fmt: skip


class Refused(ValueError):
    """A template holds what none may hold; the text names the line, what is refused, and what to write instead."""


def refusal(line: int, what: str, instead: str) -> Refused:
    """The error for what stands in a line."""
    return Refused(f"line {line}: {what} is not for templates; write {instead}")


def has_tags(source: str) -> bool:
    """Whether a text is more than itself."""
    return any(sign in source for sign in _SIGNS)


def written(tree: nodes.Template) -> str:
    """The template of a tree, each tag in its line. Raises Refused."""
    writer = _Writer()
    writer.body(tree.body)
    return "".join(writer.parts)


def literal(text: str) -> str:
    """A text as a literal in an expression."""
    return '"' + "".join(_ESCAPES.get(sign, sign) for sign in text) + '"'


_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\0": "\\u0000", "{": "\\u007b", "}": "\\u007d"}


class _Writer:
    def __init__(self) -> None:
        self.parts: list[str] = []
        self.line = 1

    def add(self, text: str) -> None:
        self.parts.append(text)
        self.line += text.count("\n")

    def tag(self, begin: str, line: int, inner: str, end: str) -> None:
        self.add(f"{begin}{chr(10) * (line - self.line)} {inner} {end}")

    def body(self, statements: list[nodes.Node]) -> None:
        for statement in statements:
            if isinstance(statement, nodes.Output):
                for part in statement.nodes:
                    self.output(part)
            elif isinstance(statement, nodes.If):
                self.condition(statement)
            elif isinstance(statement, nodes.For):
                self.loop(statement)
            elif isinstance(statement, nodes.Assign):
                target = _target(statement.target)
                self.tag("{%", statement.lineno, f"set {target} = {expression(statement.node)}", "%}")
            else:
                raise unknown(statement)

    def output(self, part: nodes.Expr) -> None:
        if not isinstance(part, nodes.TemplateData):
            self.tag("{{", part.lineno, expression(part), "}}")
        elif has_tags(part.data):
            raise refusal(part.lineno, "{% raw %}", "{{ '{' }} for a brace")
        elif "{" in part.data:
            # Beside the tag that follows, a brace could make another one.
            self.tag("{{", self.line, literal(part.data), "}}")
        else:
            self.add(part.data)

    def condition(self, node: nodes.If) -> None:
        self.tag("{%", node.lineno, f"if {expression(node.test)}", "%}")
        self.body(node.body)
        for other in node.elif_:
            self.tag("{%", other.lineno, f"elif {expression(other.test)}", "%}")
            self.body(other.body)
        self.otherwise(node.else_, "{% endif %}")

    def loop(self, node: nodes.For) -> None:
        if node.recursive:
            raise refusal(node.lineno, "recursive", "{% for %} without it")
        targets = node.target.items if isinstance(node.target, nodes.Tuple) else [node.target]
        kept = f" if {expression(node.test)}" if node.test else ""
        names = ", ".join(map(_target, targets))
        self.tag("{%", node.lineno, f"for {names} in {expression(node.iter)}{kept}", "%}")
        self.body(node.body)
        self.otherwise(node.else_, "{% endfor %}")

    def otherwise(self, statements: list[nodes.Node], end: str) -> None:
        if statements:
            self.add("{% else %}")
            self.body(statements)
        self.add(end)


def unknown(node: nodes.Node) -> Refused:
    """The error for a kind of node that has no place here."""
    kind = type(node).__name__
    called = _CALLED.get(kind, f"{{% {kind.lower()} %}}" if isinstance(node, nodes.Stmt) else kind.lower())
    line = next((inner.lineno for inner in (node, *node.find_all(nodes.Node)) if inner.lineno), 1)
    return refusal(line, called, _INSTEAD.get(kind, "{{ labels.service }}, {% if %}, {% for %} or {% set %}"))


def expression(node: nodes.Node) -> str:
    """An expression in parentheses of its own. Raises Refused."""
    write = _EXPRESSIONS.get(type(node))
    if write is None:
        raise unknown(node)
    return write(node)


def _target(node: nodes.Node) -> str:
    if not isinstance(node, nodes.Name):
        raise refusal(node.lineno, "this target", "one name, as {% set host = labels.host %}")
    return _name(node)


def _name(node: Any) -> str:
    if not _IDENTIFIER.fullmatch(node.name) or (node.name.lower() in _RESERVED and not _is_loop(node)):
        raise refusal(node.lineno, f"the name {node.name[:60]!r}", "another one, of letters and digits")
    return str(node.name)


def _is_loop(node: nodes.Name) -> bool:
    return node.name == "loop" and node.ctx == "load"


def _attribute(node: Any) -> str:
    if not _IDENTIFIER.fullmatch(node.attr):
        raise refusal(node.lineno, f"the attribute {node.attr[:60]!r}", "{{ labels['...'] }} for such a name")
    return f"{expression(node.node)}.{node.attr}"


def _const(node: Any) -> str:
    value = node.value
    if isinstance(value, str):
        if _SURROGATE.search(value):
            raise refusal(node.lineno, "half a character", "the character itself")
        return literal(value)
    if isinstance(value, bool | None):
        return str(value).lower()
    if value >= 2**63 if isinstance(value, int) else not math.isfinite(value):
        raise refusal(node.lineno, "a number of this size", "one below 9e18")
    return f"({value!r})"


def _list(node: Any) -> str:
    return f"[{', '.join(map(_part, node.items))}]"


def _mapping(node: Any) -> str:
    if not all(isinstance(pair.key, nodes.Const) for pair in node.items):
        raise unknown(node)
    # Spaces, as braces in a row could make another tag.
    return f"{{ {', '.join(f'{expression(pair.key)}: {_part(pair.value)}' for pair in node.items)} }}"


def _part(node: nodes.Node) -> str:
    if isinstance(node, nodes.List | nodes.Tuple | nodes.Dict):
        raise refusal(node.lineno, "a list or mapping within another", "texts and numbers there")
    return _plain(node)


def _operation(node: Any) -> str:
    if isinstance(node, nodes.Mod) and isinstance(node.left, nodes.Const) and isinstance(node.left.value, str):
        given = node.right.items if isinstance(node.right, nodes.Tuple) else [node.right]
        return _filter(nodes.Filter(node.left, "format", given, [], None, None, lineno=node.lineno))
    return f"({expression(node.left)} {_OPERATORS[type(node)]} {expression(node.right)})"


def _counted(node: Any) -> str:
    return f"({_plain(node.left)} {_COUNTED[type(node)]} {_plain(node.right)})"


def _plain(node: nodes.Node) -> str:
    """What must be no list when it is rendered: in `+` and `*`, comparisons, and where Python gets a copy of it."""
    return expression(node) if isinstance(node, nodes.Const) else f"({expression(node)} | plain)"


def _comparison(node: Any) -> str:
    if len(node.ops) != 1:
        raise refusal(node.lineno, "a comparison of three", "a < b and b < c")
    (other,) = node.ops
    right = expression(other.expr) if other.op in ("in", "notin") else _plain(other.expr)
    return f"({_plain(node.expr)} {_COMPARISONS[other.op]} {right})"


def _conditional(node: Any) -> str:
    other = f" else {expression(node.expr2)}" if node.expr2 else ""
    return f"({expression(node.expr1)} if {expression(node.test)}{other})"


def _item(node: Any) -> str:
    if isinstance(node.arg, nodes.Slice):
        return _slice(node, node.arg)
    return f"{expression(node.node)}[{_plain(node.arg)}]"


def _slice(node: Any, bounds: nodes.Slice) -> str:
    if bounds.step:
        raise unknown(bounds)
    given = (_plain(bound) if bound else "none" for bound in (bounds.start, bounds.stop))
    return f"({expression(node.node)} | cut({', '.join(given)}))"


def _call(node: Any) -> str:
    called = node.node
    if node.kwargs or node.dyn_args or node.dyn_kwargs:
        raise unknown(node)
    given = ", ".join(map(_plain, node.args))
    if isinstance(called, nodes.Name) and called.name == "range":
        return f"range({given})"
    if not isinstance(called, nodes.Getattr):
        raise unknown(node)
    if called.attr == "format":
        raise refusal(node.lineno, "the method 'format'", _FORMATTED)
    if called.attr not in METHODS:
        raise refusal(node.lineno, f"the method {called.attr[:60]!r}", f"one of {', '.join(METHODS)}")
    return f"{expression(called.node)}.{called.attr}({given})"


def _filter(node: Any) -> str:
    if node.name not in FILTERS:
        if node.name in _OTHER_FILTERS:
            raise refusal(node.lineno, f"the filter {node.name}", _OTHER_FILTERS[node.name])
        near = difflib.get_close_matches(node.name, FILTERS, n=1, cutoff=0.7)
        mend = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(FILTERS)}"
        raise Refused(f"line {node.lineno}: filter {node.name[:60]} is unknown; {mend}")
    given = [(str(place), arg) for place, arg in enumerate(node.args)] + [(one.key, one.value) for one in node.kwargs]
    allowed = FILTERS[node.name]
    if node.dyn_args or node.dyn_kwargs or any(name not in allowed for name, _ in given):
        mend = _EXAMPLES.get(node.name, f"{{{{ value | {node.name} }}}}")
        raise Refused(f"line {node.lineno}: {node.name} takes {_given(allowed)}; write {mend}")
    if node.name == "format" and not (isinstance(node.node, nodes.Const) and _FORMAT.fullmatch(str(node.node.value))):
        raise refusal(node.lineno, "this format", f"{_FORMATTED}, with widths of one or two digits")
    texts = [_plain(arg) if name.isdigit() else f"{name}={_plain(arg)}" for name, arg in given]
    call = f"({', '.join(texts)})" if texts else ""
    own = " | list" if node.name in _OF_LISTS else ""
    return f"({expression(node.node)}{own} | {node.name}{call})"


def _given(allowed: tuple[str, ...]) -> str:
    first = sum(name.isdigit() for name in allowed)
    said = [f"{first} argument{'s' if first > 1 else ''}"] if first else []
    return " and ".join([*said, *(f"{name}=..." for name in allowed if not name.isdigit())]) or "no arguments"


def _test(node: Any) -> str:
    if node.name not in TESTS or node.args or node.kwargs or node.dyn_args or node.dyn_kwargs:
        raise refusal(node.lineno, f"the test {node.name!r}", f"one of {', '.join(TESTS)}, or a comparison")
    return f"({expression(node.node)} is {node.name})"


_EXPRESSIONS: Final[dict[type[nodes.Node], Callable[[Any], str]]] = {
    nodes.Name: _name,
    nodes.Const: _const,
    nodes.List: _list,
    nodes.Tuple: _list,
    nodes.Dict: _mapping,
    nodes.Getattr: _attribute,
    nodes.Getitem: _item,
    nodes.Call: _call,
    nodes.Filter: _filter,
    nodes.Test: _test,
    nodes.Compare: _comparison,
    nodes.CondExpr: _conditional,
    nodes.Concat: lambda node: f"({' ~ '.join(map(expression, node.nodes))})",
    nodes.Not: lambda node: f"(not {expression(node.node)})",
    nodes.Neg: lambda node: f"(-{expression(node.node)})",
    **dict.fromkeys(_OPERATORS, _operation),
    **dict.fromkeys(_COUNTED, _counted),
}
