"""The broker's jars: fetched once by Maven coordinates, kept in a folder of ours, and checked before every start.

The list `jars.sha256` that ships beside this module is the whole class path. Because it holds exact coordinates, no
dependency resolution happens on a user's machine: 46 files are fetched, or copied from a Maven repository that is
already there, and none is used unless its SHA-256 is the listed one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from filelock import FileLock, Timeout

from tocsin.kafka.errors import KafkaStartError

KAFKA_VERSION = "4.3.1"

# Four at a time keeps a repository's rate limits content and a 2-core machine free; the bytes are the bottleneck.
_PARALLEL_FETCHES = 4
_LOCK_TIMEOUT_S = 600.0
_FETCH_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Jar:
    """One entry of the shipped list."""

    sha256: str
    group: str
    artifact: str
    version: str

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


def parse_jar_list(text: str) -> tuple[Jar, ...]:
    """Reads lines of `sha256  group:artifact:version`; blank lines and `#` comments are skipped."""
    jars = []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        digest, coordinates = line.split()
        jars.append(Jar(digest, *coordinates.split(":")))
    return tuple(jars)


def shipped_jar_list() -> tuple[Jar, ...]:
    """The class path of the Kafka version this release embeds."""
    return parse_jar_list(resources.files("tocsin.kafka").joinpath("jars.sha256").read_text("utf-8"))


def default_cache_dir() -> Path:
    """The folder shared by all data directories of this user: `$XDG_CACHE_HOME/tocsin`, else `~/.cache/tocsin`."""
    # The XDG specification says that a relative value is to be ignored.
    configured = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(configured) if Path(configured).is_absolute() else Path.home() / ".cache"
    return base / "tocsin"


def class_path(
    cache_dir: Path,
    jars: Iterable[Jar] | None = None,
    repositories: Mapping[str, str] | None = None,
    called_off: threading.Event | None = None,
) -> tuple[Path, ...]:
    """Returns the verified jars below `cache_dir`, fetching what is missing or altered, once.

    `repositories` (name to address) replaces the user's mirrors and Maven Central. Processes that start at the same
    moment wait for each other, so none sees a folder that is half filled. Once `called_off` is set, no further jar is
    asked for.

    Raises KafkaStartError when a jar cannot be had, or is not the listed one even after it was fetched anew.
    """
    wanted = tuple(jars) if jars is not None else shipped_jar_list()
    folder = cache_dir / f"kafka-{KAFKA_VERSION}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock", timeout=_LOCK_TIMEOUT_S):
            bad = _unverified(folder, wanted)
            if bad:
                _fetch_into(folder, bad, repositories, called_off or threading.Event())
                bad = _unverified(folder, wanted)
    except Timeout:
        raise KafkaStartError(
            f"another process has held {folder / '.lock'} for {_LOCK_TIMEOUT_S:.0f} s while fetching Kafka's jars: "
            "end it and try again"
        ) from None
    except OSError as error:
        raise KafkaStartError(f"Kafka's jars cannot be kept in {folder}: {error.strerror or error}") from error
    if bad:
        names = ", ".join(jar.file_name for jar in bad)
        raise KafkaStartError(
            f"{names}: the SHA-256 is not the one tocsin ships, even after a new download; "
            "the Maven repository or a proxy before it serves altered files, so the broker is not started"
        )
    return tuple(folder / jar.file_name for jar in wanted)


def is_verified(path: Path, jar: Jar) -> bool:
    """Whether the file is there and holds exactly the listed bytes."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == jar.sha256
    except FileNotFoundError:
        return False


def _unverified(folder: Path, jars: Iterable[Jar]) -> tuple[Jar, ...]:
    return tuple(jar for jar in jars if not is_verified(folder / jar.file_name, jar))


def _fetch_into(
    folder: Path, jars: tuple[Jar, ...], repositories: Mapping[str, str] | None, called_off: threading.Event
) -> None:
    """Puts each jar in place by an atomic rename, so that a broker running on the folder is not disturbed."""
    with (
        tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as staging,
        ThreadPoolExecutor(_PARALLEL_FETCHES, thread_name_prefix="kafka-jars") as pool,
    ):

        def fetch(jar: Jar) -> Path:
            if called_off.is_set():
                raise KafkaStartError("fetching Kafka's jars was called off")
            return _fetch(jar, Path(staging), repositories)

        fetched = list(pool.map(fetch, jars))
        for jar, source in zip(jars, fetched, strict=True):
            os.replace(source, folder / jar.file_name)


def _fetch(jar: Jar, staging: Path, repositories: Mapping[str, str] | None) -> Path:
    """Copies one jar from the local Maven repository if it is whole there, else downloads it; returns the new file."""
    # Imported here: it takes 0.2 s, and only the very first start needs it.
    from jgo.config import GlobalSettings
    from jgo.constants import MAVEN_CENTRAL_URL
    from jgo.maven import MavenContext
    from requests import RequestException

    settings = GlobalSettings.load()
    # A mirror configured for jgo goes before Maven Central: behind a firewall it is the only one that answers.
    remotes = dict(repositories or {**settings.repositories, "central": MAVEN_CENTRAL_URL})
    context = MavenContext(repo_cache=staging, local_repos=[], remote_repos=remotes, timeout=_FETCH_TIMEOUT_S)
    artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact(packaging="jar")
    target = staging / jar.file_name
    local = settings.repo_cache / artifact.component.path_prefix / jar.file_name
    if is_verified(local, jar):
        shutil.copyfile(local, target)
        return target
    try:
        os.replace(artifact.resolve(), target)
    except (RequestException, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise KafkaStartError(
            f"{jar.group}:{jar.artifact}:{jar.version} cannot be downloaded ({reason}): check the network, or set "
            "TOCSIN_KAFKA_BOOTSTRAP_SERVERS to use a cluster that runs"
        ) from error
    return target
