"""The broker's jars: fetched once, checked always, from a repository that may be slow, wrong or gone."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tocsin.kafka.errors import KafkaStartError
from tocsin.kafka.jars import KAFKA_VERSION, Jar, class_path, default_cache_dir, parse_jar_list, shipped_jar_list

_CONTENTS = {f"part{number}": b"jar %d" % number * 1000 for number in range(4)}
_JARS = tuple(
    Jar(hashlib.sha256(content).hexdigest(), "org.example.tocsin", name, "1.0") for name, content in _CONTENTS.items()
)


class _Repository:
    """A Maven repository on the loopback address."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.requests: list[str] = []
        requests = self.requests

        class Handler(SimpleHTTPRequestHandler):
            def log_message(self, *arguments: object) -> None:
                requests.append(self.path)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(root)))
        for jar in _JARS:
            self.publish(jar, _CONTENTS[jar.artifact])

    @property
    def remotes(self) -> dict[str, str]:
        return {"test": f"http://127.0.0.1:{self.server.server_address[1]}"}

    def publish(self, jar: Jar, content: bytes) -> None:
        folder = self.root / "org/example/tocsin" / jar.artifact / jar.version
        folder.mkdir(parents=True, exist_ok=True)
        (folder / jar.file_name).write_bytes(content)
        (folder / f"{jar.file_name}.sha1").write_text(hashlib.sha1(content, usedforsecurity=False).hexdigest())


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[_Repository]:
    served = _Repository(tmp_path / "maven")
    thread = threading.Thread(target=served.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served
    served.server.shutdown()
    thread.join()
    served.server.server_close()


def test_the_shipped_list_is_one_class_path_of_the_embedded_version() -> None:
    jars = shipped_jar_list()
    assert len({jar.file_name for jar in jars}) == len(jars)
    assert all(len(jar.sha256) == 64 for jar in jars)
    kafka = {jar.artifact: jar.version for jar in jars if jar.group == "org.apache.kafka"}
    assert set(kafka.values()) == {KAFKA_VERSION}
    assert "kafka_2.13" in kafka


def test_comments_and_blank_lines_in_a_list_are_skipped() -> None:
    assert parse_jar_list("# a comment\n\nab12  g.roup:arti-fact:1.2\n") == (Jar("ab12", "g.roup", "arti-fact", "1.2"),)


def test_jars_are_fetched_once_and_then_used_without_a_network(repository: _Repository, tmp_path: Path) -> None:
    first = class_path(tmp_path, _JARS, repository.remotes)
    assert [path.read_bytes() for path in first] == list(_CONTENTS.values())
    asked = len(repository.requests)
    assert class_path(tmp_path, _JARS, repository.remotes) == first
    assert len(repository.requests) == asked


def test_starts_at_the_same_moment_share_one_download(repository: _Repository, tmp_path: Path) -> None:
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: class_path(tmp_path, _JARS, repository.remotes), range(6)))
    assert all(paths == found[0] for paths in found)
    fetched = [path for path in repository.requests if path.endswith(".jar")]
    assert len(fetched) == len(set(fetched)) == len(_JARS)


def test_an_altered_or_missing_jar_is_replaced(repository: _Repository, tmp_path: Path) -> None:
    altered, missing, *_ = class_path(tmp_path, _JARS, repository.remotes)
    altered.write_bytes(altered.read_bytes()[:-1] + b"!")
    missing.unlink()
    paths = class_path(tmp_path, _JARS, repository.remotes)
    assert [path.read_bytes() for path in paths] == list(_CONTENTS.values())


def test_a_jar_that_the_repository_itself_serves_altered_is_refused(repository: _Repository, tmp_path: Path) -> None:
    repository.publish(_JARS[2], b"something else")
    with pytest.raises(KafkaStartError, match=r"^part2-1\.0\.jar: the SHA-256 is not the one tocsin ships"):
        class_path(tmp_path, _JARS, repository.remotes)


def test_a_repository_without_the_jar_is_told_in_one_line(repository: _Repository, tmp_path: Path) -> None:
    absent = Jar("0" * 64, "org.example.tocsin", "absent", "9")
    with pytest.raises(KafkaStartError, match=r"^org\.example\.tocsin:absent:9 cannot be downloaded") as caught:
        class_path(tmp_path, [*_JARS, absent], repository.remotes)
    assert "\n" not in str(caught.value)


def test_a_repository_that_is_not_there_is_told_in_one_line(repository: _Repository, tmp_path: Path) -> None:
    remotes = repository.remotes
    repository.server.shutdown()
    repository.server.server_close()
    with pytest.raises(KafkaStartError, match=r"cannot be downloaded .*check the network") as caught:
        class_path(tmp_path, _JARS, remotes)
    assert "\n" not in str(caught.value)


def test_the_cache_is_where_the_xdg_variable_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / "tocsin"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    assert default_cache_dir() == Path.home() / ".cache" / "tocsin"
