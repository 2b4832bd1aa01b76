"""`${NAME}` and `${file:/path}` in what the operator wrote. Never applied to what comes through the API."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_MAX_FILE_BYTES: Final = 64 * 1024
_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)\}?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class ConfigError(Exception):
    """Settings that cannot be used. `lines` holds one line for each mistake, with where it stands and the mend."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


def expand(text: str, environ: Mapping[str, str]) -> str:
    """The text with its references replaced; `$${` stands for a plain `${`. Raises ValueError with the mend."""

    def replaced(match: re.Match[str]) -> str:
        if match.group() == "$${":
            return "${"
        if not match.group().endswith("}"):
            raise ValueError("${ has no closing brace; write ${NAME}, or $${ for the characters themselves")
        return _referenced(match.group(1), environ)

    return _REFERENCE.sub(replaced, text)


def escape(text: str) -> str:
    """Text that `expand` turns back into this one."""
    return text.replace("${", "$${")


def _referenced(reference: str, environ: Mapping[str, str]) -> str:
    if reference.startswith("file:"):
        return _file(Path(reference.removeprefix("file:")))
    if not _NAME.fullmatch(reference):
        raise ValueError(f"${{{reference}}} is no reference; write ${{NAME}} or ${{file:/run/secrets/name}}")
    if reference not in environ:
        raise ValueError(f"${{{reference}}} is not set in the environment; set {reference}")
    return environ[reference]


def _file(path: Path) -> str:
    if not path.is_absolute():
        raise ValueError(f"${{file:{path}}} needs an absolute path; write ${{file:/run/secrets/name}}")
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ValueError(f"${{file:{path}}} cannot be read ({error.strerror}); check the path and its rights") from None
    if len(content) > _MAX_FILE_BYTES:
        raise ValueError(
            f"${{file:{path}}} is larger than {_MAX_FILE_BYTES // 1024} KiB; name the file with the secret"
        )
    try:
        # Editors and `echo` end a file with a line break that is no part of a secret.
        return content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ValueError(f"${{file:{path}}} is not UTF-8 text; encode it, for example in base64") from None
