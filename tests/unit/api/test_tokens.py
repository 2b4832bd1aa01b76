"""The API's token: no file that is empty, short, a link or open to others ever lets anybody in."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from tocsin.api.tokens import TOKEN_FILE, TokenCheck, load_or_create_token
from tocsin.context import Context
from tocsin.kafka.clients import KafkaConnection
from tocsin.schemas.settings import ApiSettings, Settings
from tocsin.schemas.topics import Topics
from tocsin.vault import VaultError


def context(directory: Path, token: str | None = None) -> Context:
    settings = Settings(api=ApiSettings(token=SecretStr(token) if token is not None else None))
    return Context(settings, KafkaConnection("127.0.0.1:1"), Topics(), directory)


def test_it_is_made_once_and_kept(tmp_path: Path) -> None:
    directory = tmp_path / "new"
    token, is_new = load_or_create_token(context(directory))
    assert (len(token) >= 32, is_new) == (True, True)
    assert load_or_create_token(context(directory)) == (token, False)
    assert stat.S_IMODE((directory / TOKEN_FILE).stat().st_mode) == 0o600
    assert [path.name for path in directory.iterdir()] == [TOKEN_FILE]


def test_what_a_killed_start_left_behind_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / f"{TOKEN_FILE}.{os.getpid()}").write_text("half")
    assert load_or_create_token(context(tmp_path))[1]


@pytest.mark.parametrize("given", ["", "   "])
def test_an_empty_setting_is_none(tmp_path: Path, given: str) -> None:
    assert load_or_create_token(context(tmp_path, given))[1]


@pytest.mark.parametrize("content", ["", "\n", "short"])
def test_an_empty_or_short_file_is_refused_with_the_mend(tmp_path: Path, content: str) -> None:
    path = tmp_path / TOKEN_FILE
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(VaultError, match="delete the file, and the next start makes a new one"):
        load_or_create_token(context(tmp_path))


def test_a_file_that_others_can_read_is_refused_with_the_mend(tmp_path: Path) -> None:
    load_or_create_token(context(tmp_path))
    (tmp_path / TOKEN_FILE).chmod(0o644)
    with pytest.raises(VaultError, match="chmod 600"):
        load_or_create_token(context(tmp_path))


def test_a_link_is_refused(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("a" * 40)
    elsewhere.chmod(0o600)
    (tmp_path / TOKEN_FILE).symlink_to(elsewhere)
    with pytest.raises(VaultError, match="cannot be kept there"):
        load_or_create_token(context(tmp_path))


@pytest.mark.parametrize("token", ["", " ", "\n"])
def test_no_check_is_made_with_an_empty_token(token: str) -> None:
    with pytest.raises(ValueError, match="empty"):
        TokenCheck(token)


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Bearer x", "Basic the-token", "the-token"])
def test_only_the_token_is_accepted(header: str) -> None:
    check = TokenCheck("the-token")
    assert not check.accepts(header)
    assert check.accepts("Bearer the-token")
    assert check.accepts("bearer  the-token ")
