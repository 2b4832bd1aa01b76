"""Reading settings: defaults, then the YAML file, then the environment; and the context that services start with."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr, ValidationError

from tocsin import documents
from tocsin.config.expansion import ConfigError, expand
from tocsin.config.variables import Keys, given, is_secret, leaves
from tocsin.context import Context
from tocsin.kafka.clients import KafkaConnection
from tocsin.kafka.detached import find_running
from tocsin.schemas.problems import located_errors
from tocsin.schemas.settings import Settings
from tocsin.schemas.topics import Topics

DEFAULT: Final = "default"
_OURS = ("up.lock", "kafka", "projection.sqlite3", "api.token", "secret.key")


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings in force; `provenance` says for each dotted path where its value came from.

    That is `default`, a place in the file (`tocsin.yaml:7:15`), or the name of a variable or option.
    """

    settings: Settings
    provenance: Mapping[str, str]
    config_file: Path | None = None

    def is_default(self, path: str) -> bool:
        """Whether nobody chose this value."""
        return self.provenance.get(path, DEFAULT) == DEFAULT

    def where(self, path: str) -> str:
        """A setting and who chose its value, for the beginning of an error line: `TOCSIN_API_HOST: api.host`."""
        return path if self.is_default(path) else f"{self.provenance[path]}: {path}"

    def replaced(self, path: str, value: object, source: str) -> Loaded:
        """The same with one setting from a command's option. Raises ConfigError when the value is not allowed."""
        return _merged({**_values(self, skip=path), tuple(path.split(".")): _Given(value, source)}, self.config_file)


@dataclass(frozen=True, slots=True)
class _Given:
    value: object
    source: str


def load(config_file: Path | None, environ: Mapping[str, str]) -> Loaded:
    """Settings from the file, if any, overridden by the environment.

    Raises ConfigError with one line for each mistake: `tocsin.yaml:7:15: kafka.partitions: 'x' must be a whole number`.
    """
    found: dict[Keys, _Given] = {}
    if config_file is not None:
        found |= _from_file(config_file, environ)
    found |= _from_environment(environ)
    return _merged(found, config_file)


def _from_environment(environ: Mapping[str, str]) -> dict[Keys, _Given]:
    found, mistakes = {}, []
    for path, (name, text) in given(environ).items():
        try:
            found[path] = _Given(expand(text, environ), name)
        except ValueError as error:
            mistakes.append(f"{name}: {error}")
    if mistakes:
        raise ConfigError(*mistakes)
    return found


def _from_file(config_file: Path, environ: Mapping[str, str]) -> dict[Keys, _Given]:
    try:
        document = documents.read(config_file)
    except documents.DocumentError as error:
        raise ConfigError(str(error)) from None
    if document.value is not None and not isinstance(document.value, dict):
        raise ConfigError(f"{document.at(())}: must be a mapping of names to values; write kafka: {{...}}")
    found: dict[Keys, _Given] = {}
    mistakes: list[str] = []
    _collect(document, document.value or {}, (), environ, found, mistakes)
    if mistakes:
        raise ConfigError(*mistakes)
    return found


def _collect(
    document: documents.Document,
    value: Mapping[str, Any],
    path: Keys,
    environ: Mapping[str, str],
    found: dict[Keys, _Given],
    mistakes: list[str],
) -> None:
    """Flattens sections; a section without entries (`kafka:`) is as good as none."""
    sections = {leaf[:length] for leaf in leaves() for length in range(1, len(leaf))}
    for name, entry in value.items():
        here = (*path, name)
        if here in sections and (entry is None or isinstance(entry, dict)):
            _collect(document, entry or {}, here, environ, found, mistakes)
            continue
        place = document.at(here, of_name=here not in leaves())
        try:
            found[here] = _Given(_expanded(entry, environ), place)
        except ValueError as error:
            mistakes.append(f"{place}: {'.'.join(here)}: {error}")


def _expanded(value: object, environ: Mapping[str, str]) -> object:
    if isinstance(value, str):
        return expand(value, environ)
    if isinstance(value, list):
        return [_expanded(item, environ) for item in value]
    return value


def _merged(found: Mapping[Keys, _Given], config_file: Path | None) -> Loaded:
    nested: dict[str, Any] = {}
    for path, entry in found.items():
        section = nested
        for key in path[:-1]:
            section = section.setdefault(key, {})
        section[path[-1]] = entry.value
    try:
        settings = Settings.model_validate(nested)
    except ValidationError as error:
        raise ConfigError(*_mistakes(error, found)) from None
    provenance = {".".join(path): found[path].source if path in found else DEFAULT for path in leaves()}
    return Loaded(settings, provenance, config_file)


def _mistakes(error: ValidationError, found: Mapping[Keys, _Given]) -> list[str]:
    lines = []
    for located in located_errors(error, Settings):
        location = tuple(map(str, located.path))
        path = next((location[:length] for length in range(len(location), 0, -1) if location[:length] in found), ())
        dotted = ".".join(path or location)
        # The value of a secret must not end in a terminal's or a CI's log.
        message = "is not acceptable; write it as text, in quotes" if is_secret(path) else located.error.message
        source = found[path].source if path in found else ""
        line = ": ".join(filter(None, (source, dotted, message)))
        if line not in lines:
            lines.append(line)
    return _one_for_each_value(lines)


def _one_for_each_value(lines: list[str]) -> list[str]:
    """A value that could be of two types (an IPv4 or IPv6 network) fails twice; once is enough for people."""
    seen: dict[str, str] = {}
    for line in lines:
        seen.setdefault(line.rsplit(": ", 1)[0], line)
    return list(seen.values())


def _values(loaded: Loaded, skip: str) -> dict[Keys, _Given]:
    """What was chosen, as text and numbers, since a duration that was read already would count as seconds."""
    plain = loaded.settings.model_dump(mode="json")
    found = {}
    for path in leaves():
        dotted = ".".join(path)
        if dotted != skip and not loaded.is_default(dotted):
            value: Any = loaded.settings
            shown: Any = plain
            for key in path:
                value, shown = getattr(value, key), shown[key]
            value = value.get_secret_value() if isinstance(value, SecretStr) else shown
            found[path] = _Given(value, loaded.provenance[dotted])
    return found


def context(loaded: Loaded) -> Context:
    """What services start with; makes the data directory, for this user only.

    Without bootstrap servers it leads to the embedded broker: where it runs now, else on its configured port.
    Raises ConfigError when the directory or the TLS files cannot be used.
    """
    data_dir = _data_dir(loaded)
    kafka = loaded.settings.kafka
    servers = kafka.bootstrap_servers
    if servers is None:
        running = find_running(data_dir / "kafka")
        servers = running.bootstrap_servers if running else f"127.0.0.1:{kafka.embedded_port}"
    connection = KafkaConnection(
        servers,
        security_protocol=kafka.security_protocol,
        sasl_mechanism=kafka.sasl_mechanism,
        sasl_username=kafka.sasl_username,
        sasl_password=kafka.sasl_password.get_secret_value() if kafka.sasl_password else None,
        ssl_ca_file=kafka.ssl_ca_file,
        ssl_certificate_file=kafka.ssl_cert_file,
        ssl_key_file=kafka.ssl_key_file,
        request_timeout_ms=kafka.request_timeout,
    )
    _check_tls(loaded, connection)
    return Context(loaded.settings, connection, Topics(kafka.topic_prefix), data_dir)


def _check_tls(loaded: Loaded, connection: KafkaConnection) -> None:
    """Once and with the setting's name, rather than in every client with none."""
    if connection.security_protocol not in ("SSL", "SASL_SSL"):
        return
    for name in ("ssl_ca_file", "ssl_cert_file", "ssl_key_file"):
        path: Path | None = getattr(loaded.settings.kafka, name)
        if path is None:
            continue
        try:
            path.open("rb").close()
        except OSError as error:
            mend = "check the path and its rights"
            where = loaded.where(f"kafka.{name}")
            raise ConfigError(f"{where}: {path} cannot be read ({error.strerror or error}); {mend}") from None
    try:
        connection.ssl_context()
    except ValueError as error:
        mend = "give PEM files, and with a certificate the key that belongs to it"
        raise ConfigError(f"kafka.ssl_ca_file, ssl_cert_file, ssl_key_file: {error}; {mend}") from None


def _data_dir(loaded: Loaded) -> Path:
    chosen = loaded.settings.data_dir
    if chosen is None:
        base = os.environ.get("XDG_DATA_HOME", "")
        chosen = (Path(base) if base.startswith("/") else Path.home() / ".local" / "share") / "tocsin"
    path = chosen.expanduser().absolute()
    where = loaded.where("data_dir")
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_private(path, where)
    except OSError as error:
        mend = "choose another with TOCSIN_DATA_DIR or --data-dir"
        raise ConfigError(f"{where}: {path} cannot be used ({error.strerror or error}); {mend}") from None
    return path


def _make_private(path: Path, where: str) -> None:
    """Tokens and keys lie in it. One with other things in it is not changed, but refused if others may write."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077 == 0:
        return
    if not any(path.iterdir()) or any((path / name).exists() for name in _OURS):
        path.chmod(0o700)
    elif mode & 0o022:
        raise ConfigError(f"{where}: others may write to {path}; choose a directory of its own, or `chmod 700` it")
