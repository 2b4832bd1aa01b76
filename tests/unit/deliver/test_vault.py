"""The vault: bound secrets, clear errors, and a key file that others cannot read."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tocsin.vault import KEY_FILE, Vault, VaultError, is_sealed, load_or_create_key

VAULT = Vault(bytes(32))


def test_what_is_sealed_opens_for_its_channel_and_field_only() -> None:
    sealed = VAULT.seal("ops", "password", "gehéim")
    assert is_sealed(sealed)
    assert sealed.startswith(f"sealed:v1:{VAULT.key_id}:")
    assert "gehéim" not in sealed
    assert VAULT.seal("ops", "password", "gehéim") != sealed
    assert VAULT.open("ops", "password", sealed) == "gehéim"
    for channel, field in (("other", "password"), ("ops", "secret"), ("ops\0password", "")):
        with pytest.raises(VaultError, match="altered or another channel's; set it again"):
            VAULT.open(channel, field, sealed)


@pytest.mark.parametrize("ruin", [lambda text: text[:-4], lambda text: text + "AAAA", lambda text: text[:-3] + "!!!"])
def test_an_altered_secret_is_refused(ruin: object) -> None:
    assert callable(ruin)
    with pytest.raises(VaultError, match=r"^password: the stored secret is altered"):
        VAULT.open("ops", "password", ruin(VAULT.seal("ops", "password", "x" * 20)))


def test_another_key_is_named() -> None:
    other = Vault(bytes([1]) * 32)
    with pytest.raises(
        VaultError, match=f"^password: sealed with key {VAULT.key_id}, but the key in force is {other.key_id}"
    ):
        other.open("ops", "password", VAULT.seal("ops", "password", "x"))
    with pytest.raises(VaultError, match="not sealed; set it again"):
        VAULT.open("ops", "password", "plain")


def test_the_key_file_is_made_once_and_for_us_alone(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with ThreadPoolExecutor(8) as pool:
        keys = {vault.key_id for vault in pool.map(lambda _: load_or_create_key(data_dir, None), range(8))}
    assert len(keys) == 1
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE((data_dir / KEY_FILE).stat().st_mode) == 0o600
    assert [path.name for path in data_dir.iterdir()] == [KEY_FILE]


def test_a_given_key_may_be_any_text_and_leaves_no_file(tmp_path: Path) -> None:
    first, again = (load_or_create_key(tmp_path, "correct horse") for _ in range(2))
    assert first.key_id == again.key_id != load_or_create_key(tmp_path, "battery staple").key_id
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    load_or_create_key(data_dir, None)
    (data_dir / KEY_FILE).chmod(0o640)
    with pytest.raises(VaultError, match="others can get at it; run `chmod 600 "):
        load_or_create_key(data_dir, None)
    (data_dir / KEY_FILE).chmod(0o600)
    data_dir.chmod(0o755)
    with pytest.raises(VaultError, match="others can get at it; run `chmod 700 "):
        load_or_create_key(data_dir, None)


def test_a_link_or_a_damaged_key_is_refused(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    load_or_create_key(data_dir, None)
    (data_dir / KEY_FILE).rename(tmp_path / "elsewhere")
    (data_dir / KEY_FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(VaultError, match="the secret key cannot be kept there"):
        load_or_create_key(data_dir, None)
    (data_dir / KEY_FILE).unlink()
    (data_dir / KEY_FILE).touch(0o600)
    with pytest.raises(VaultError, match="the secret key has 0 bytes, not 32"):
        load_or_create_key(data_dir, None)
    (data_dir / KEY_FILE).write_text("not base64!\n")
    with pytest.raises(VaultError, match="this is not a secret key; restore it from a backup"):
        load_or_create_key(data_dir, None)
