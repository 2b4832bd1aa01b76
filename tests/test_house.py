"""The house's rules, as tests: what docs/ and the linters cannot hold, this file does."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CODE_ROOTS = ("schemas", "streams", "services")
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 40

# Written by tools, or somebody else's text: not held to the rules for our own writing.
GENERATED = {"infra/constraints.txt", "LICENSE"}
VENDORED = re.compile(r"/(vendor|vendored)/")

# Too long for a reason; each entry names it.
LONG_FUNCTIONS: dict[str, str] = {}

# Spelt in two parts, so that this file does not break its own rules.
BANNED_WORDS = {
    "TO" + "DO": "finish it, or open an issue",
    "FIX" + "ME": "mend it, or open an issue",
    "X" + "XX": "say what is wrong",
    "NotImplemented" + "Error": "no stubs",
    "/wo" + "rk/": "a path of one machine",
    "/tmp/" + "w/": "a path of one machine",
    "/ro" + "ot/": "a path of one machine",
    "/ho" + "me/": "a path of one machine",
    "/Us" + "ers/": "a path of one machine",
}
REGISTRY_HOSTS = re.compile(
    r"(pypi|pythonhosted|npmjs|maven|sonatype|artifactory|jfrog|nexus)[\w.-]*\.(org|com|io|net)(?!\w)"
    r"|index-" + r"url|extra-index|trusted-" + r"host",
    re.IGNORECASE,
)

# Regular expression, where it may not stand, and what to do instead.
BANNED_CODE = (
    (r"\btime\.sleep\(", "tests/", "wait on a condition: tocsin.testing.eventually"),
    (r"\basyncio\.sleep\((?!0\))", "tests/", "wait on a condition: tocsin.testing.eventually"),
    (r"(?<![\w.])eval\(", "", "parse what you mean"),
    (r"(?<![\w.])exec\(", "", "call what you mean"),
    (r"\bpickle\b", "", "it runs what it reads: JSON, msgspec or Avro"),
    (r"\byaml\.(unsafe_|full_)?load\(", "", "the one YAML entry point has the bounds"),
    (r"shell\s*=\s*True", "", "a list of arguments"),
    (r"\bos\.(system|popen)\(", "", "subprocess with a list of arguments"),
    (r"\bmd5\b", "", "sha256"),
    (r"\btempfile\.mktemp\(", "", "mkstemp, or pytest's tmp_path"),
    (r"verify\s*=\s*False|CERT_NONE", "", "certificates are checked"),
    (r"except\s*:|except (Base)?Exception:\s*(pass|continue|\.\.\.)", "", "catch one named error, at the edge"),
    (r"except (Base)?Exception( as \w+)?:\n\s+(pass|continue|\.\.\.)\n", "", "catch one named error, at the edge"),
    (r"\bdatetime\.(utcnow|utcfromtimestamp)\(", "", "aware times: datetime.now(UTC)"),
)

# What the pure engine may not touch: time, randomness, the network and the disk come to it as data.
ENGINE_BANNED = {
    "aiohttp", "aiokafka", "asyncio", "faust", "logging", "os", "pathlib", "random", "secrets", "shutil", "socket",
    "sqlalchemy", "structlog", "subprocess", "tempfile", "threading", "time", "uuid",
}  # fmt: skip
CHANCE = ("streams/tocsin/engine/simulation/chance.py", "random")  # a stream that its seed repeats exactly


@cache
def tracked() -> tuple[Path, ...]:
    """What is, or would be, in the repository: git's files and the new ones that it does not ignore."""
    if shutil.which("git") is None:
        return in_the_tree()
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listing.returncode == 0:
        names = [name for name in listing.stdout.decode().split("\0") if name]
        return tuple(sorted(ROOT / name for name in names if (ROOT / name).is_file()))
    return in_the_tree()


def in_the_tree() -> tuple[Path, ...]:
    """For a source archive, which has no .git: every file but those in folders that tools write."""
    folders = [ROOT / folder for folder in (*CODE_ROOTS, "tests", "docs", "infra", ".ci")]
    files = [*ROOT.iterdir(), *(path for folder in folders for path in folder.rglob("*"))]
    return tuple(sorted(path for path in files if path.is_file() and "__pycache__" not in path.parts))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def text_of(path: Path) -> str:
    """The file's text, empty for what is not text."""
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        return ""


def ours(*suffixes: str) -> list[Path]:
    """Our own writing, all of it or by suffix."""
    return [
        path
        for path in tracked()
        if name_of(path) not in GENERATED
        and not VENDORED.search(name_of(path))
        and (not suffixes or path.suffix in suffixes)
    ]


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(text_of(path))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def line_number(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def test_files_are_short() -> None:
    code = ours(".py", ".js", ".mjs", ".css", ".html", ".sh")
    long = [f"{name_of(path)}: {text_of(path).count(chr(10))}" for path in code]
    assert [entry for entry in long if int(entry.rsplit(" ", 1)[1]) > MAX_FILE_LINES] == []


def test_functions_are_short() -> None:
    found = []
    for path in ours(".py"):
        for function in functions(path):
            # The docstring is for the reader and does not count.
            first = function.body[1] if ast.get_docstring(function) and len(function.body) > 1 else function.body[0]
            lines = (function.end_lineno or 0) - first.lineno + 1
            name = f"{name_of(path)}:{function.name}"
            if lines > MAX_FUNCTION_LINES and name not in LONG_FUNCTIONS:
                found.append(f"{name}: {lines}")
    assert found == []


@pytest.mark.parametrize("word", BANNED_WORDS)
def test_no_banned_word(word: str) -> None:
    found = [f"{name_of(path)}:{line_number(text_of(path), text_of(path).index(word))}"
             for path in ours() if word in text_of(path)]  # fmt: skip
    assert found == [], BANNED_WORDS[word]


@pytest.mark.parametrize(("pattern", "under", "instead"), BANNED_CODE, ids=[entry[0] for entry in BANNED_CODE])
def test_no_banned_call(pattern: str, under: str, instead: str) -> None:
    found = []
    for path in ours(".py"):
        if path == Path(__file__) or not name_of(path).startswith(under):
            continue
        text = text_of(path)
        found += [f"{name_of(path)}:{line_number(text, match.start())}" for match in re.finditer(pattern, text)]
    assert found == [], instead


def test_no_registry_host_stands_in_the_repository() -> None:
    """A lock or a script that names a host installs from nowhere else, and tells where it was written."""
    found = []
    for path in tracked():
        text = text_of(path)
        if path == Path(__file__) or name_of(path) == "LICENSE":
            continue
        for match in REGISTRY_HOSTS.finditer(text):
            line = text.splitlines()[line_number(text, match.start()) - 1]
            if "--no-emit-" not in line:  # the options that keep them out
                found.append(f"{name_of(path)}:{line_number(text, match.start())}: {match.group()}")
    assert found == []


def test_the_engine_is_pure() -> None:
    found = []
    for path in ours(".py"):
        if not name_of(path).startswith("streams/tocsin/engine/"):
            continue
        for node in ast.walk(ast.parse(text_of(path))):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules = [node.module]
            else:
                continue
            found += [
                f"{name_of(path)}:{node.lineno}: {module}"
                for module in modules
                if module.split(".")[0] in ENGINE_BANNED and (name_of(path), module) != CHANCE
            ]
    assert found == []


def test_the_import_roots_are_namespaces_and_each_package_is_typed() -> None:
    """An `__init__.py` in one root would hide the other two."""
    assert [root for root in CODE_ROOTS if (ROOT / root / "tocsin" / "__init__.py").exists()] == []
    packages = [
        path
        for root in CODE_ROOTS
        for path in sorted((ROOT / root / "tocsin").iterdir())
        if path.is_dir() and any(path.rglob("*.py"))
    ]
    assert packages
    assert [name_of(path) for path in packages if not (path / "py.typed").exists()] == []
    assert [name_of(path) for path in packages if not (path / "__init__.py").exists()] == []


def test_every_public_module_class_and_function_says_what_it_is_for() -> None:
    found = []
    for path in ours(".py"):
        if not name_of(path).startswith(CODE_ROOTS):
            continue
        tree = ast.parse(text_of(path))
        if tree.body and not ast.get_docstring(tree):
            found.append(name_of(path))
        found += [
            f"{name_of(path)}:{node.lineno}: {node.name}"
            for node in tree.body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and not node.name.startswith("_")
            and not ast.get_docstring(node)
            and "overload" not in [decorator.id for decorator in node.decorator_list if isinstance(decorator, ast.Name)]
        ]
    assert found == []


def test_every_pin_has_a_hash() -> None:
    text = text_of(ROOT / "infra" / "constraints.txt")
    pins = re.findall(
        r"^[A-Za-z0-9_.-]+(?:\[[^\]]*\])?==[^\\\n]+\\\n(?:\s+--hash=sha256:[0-9a-f]{64}.*\n)+", text, re.MULTILINE
    )
    assert len(pins) == len(re.findall(r"^[A-Za-z0-9]", text, re.MULTILINE)) > 50
