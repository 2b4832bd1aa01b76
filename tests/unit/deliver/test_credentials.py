"""Credentials: sealed when stored, masked when shown, kept only for the same destination."""

from __future__ import annotations

from typing import Any

import pytest

from tocsin.deliver.channels import check_config
from tocsin.deliver.credentials import MASK, ConfigRefused, masked_config, opened_config, redacted, seal_config
from tocsin.schemas.channel import Channel
from tocsin.schemas.codec import decode_document, encode_document
from tocsin.vault import Vault, VaultError

VAULT = Vault(bytes(range(32)))
EMAIL: dict[str, Any] = {
    "smtp_host": "smtp.example.com",
    "smtp_port": 587,
    "username": "alerts",
    "password": "canary-password",
    "from_address": "alerts@example.com",
    "to_addresses": ["ops@example.com"],
}
SLACK: dict[str, Any] = {"webhook_url": "https://hooks.example.com/canary-slack"}
WEBHOOK: dict[str, Any] = {
    "url": "https://example.com/hook",
    "secret": "canary-secret",
    "headers": {"Authorization": "Bearer canary-token", "X-Api-Key": "canary-key", "Content-Type": "application/json"},
}
ALL: dict[str, dict[str, Any]] = {
    "email": EMAIL,
    "slack": SLACK,
    "webhook": WEBHOOK,
    "console": {"enabled": True},
    "pagerduty": {"routing_key": "canarycanarycanarycanarycanary12"},
    "teams": {"webhook_url": "https://example.com/canary"},
    "opsgenie": {"api_key": "canary-genie"},
    "discord": {"webhook_url": "https://example.com/canary"},
    "telegram": {"bot_token": "123456:canary-canary-canary-canary", "chat_id": "@ops"},
    "ntfy": {"topic": "ops", "username": "u", "password": "canary-ntfy"},
    "kafka": {"topic": "ops"},
    "file": {"name": "ops.jsonl"},
    "apprise": {"url": "pover://canary@canary"},
}


def channel(kind: str, config: dict[str, Any], identity: str = "ops") -> Channel:
    return Channel(id=identity, type=kind, config=config)


@pytest.mark.parametrize("kind", ALL)
def test_no_secret_is_stored_or_shown_and_all_can_be_opened(kind: str) -> None:
    sealed = seal_config(channel(kind, ALL[kind]), VAULT)
    stored = encode_document(sealed)
    assert b"canary" not in stored
    assert "canary" not in str(masked_config(sealed))
    assert "sealed" not in str(masked_config(sealed))
    assert opened_config(decode_document(Channel, stored), VAULT) == ALL[kind]


def test_what_is_no_secret_stays_readable() -> None:
    shown = masked_config(seal_config(channel("webhook", WEBHOOK), VAULT))
    assert shown["url"] == "https://example.com/hook"
    assert shown["headers"] == {"Authorization": MASK, "X-Api-Key": MASK, "Content-Type": "application/json"}
    assert shown["secret"] == MASK


@pytest.mark.parametrize("kind", ALL)
def test_what_was_shown_can_be_written_back(kind: str) -> None:
    before = seal_config(channel(kind, ALL[kind]), VAULT)
    again = seal_config(channel(kind, {**masked_config(before), "timeout": "20s"}), VAULT, before)
    assert opened_config(again, VAULT) == {**ALL[kind], "timeout": "20s"}


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("email", {"smtp_host": "evil.example.com"}),
        ("email", {"smtp_port": 2525}),
        ("email", {"start_tls": False}),
        ("webhook", {"url": "https://evil.example.com/"}),
        ("pagerduty", {"url": "https://evil.example.com/"}),
        ("opsgenie", {"url": "https://evil.example.com/"}),
        ("telegram", {"url": "https://evil.example.com/"}),
        ("ntfy", {"url": "https://evil.example.com/"}),
        ("slack", {"api_url": "https://evil.example.com/"}),
    ],
)
def test_a_kept_secret_goes_nowhere_else(kind: str, change: dict[str, Any]) -> None:
    before = seal_config(channel(kind, ALL[kind]), VAULT)
    with pytest.raises(ConfigRefused, match="changing the destination needs the secret again") as caught:
        seal_config(channel(kind, {**masked_config(before), **change}), VAULT, before)
    assert all(error.field.startswith("config.") for error in caught.value.errors)
    moved = seal_config(channel(kind, {**ALL[kind], **change}), VAULT, before)
    assert opened_config(moved, VAULT) == {**ALL[kind], **change}


def test_a_mask_needs_a_stored_secret_of_the_same_channel_and_type() -> None:
    other = seal_config(channel("webhook", WEBHOOK, "other"), VAULT)
    masked = {"url": WEBHOOK["url"], "secret": MASK}
    for previous in (None, other, seal_config(channel("webhook", {"url": WEBHOOK["url"]}), VAULT)):
        with pytest.raises(ConfigRefused, match=r"^config\.secret: is the mask and no secret is stored"):
            seal_config(channel("webhook", masked), VAULT, previous)


def test_a_sealed_text_cannot_be_smuggled_in_or_moved() -> None:
    sealed = seal_config(channel("webhook", WEBHOOK), VAULT)
    with pytest.raises(ConfigRefused, match=r"config\.secret: is sealed; give the secret itself"):
        seal_config(channel("webhook", {**WEBHOOK, "secret": sealed.config["secret"]}), VAULT)
    with pytest.raises(VaultError, match="altered or another channel's"):
        opened_config(channel("webhook", sealed.config, "elsewhere"), VAULT)


def test_mistakes_are_named_by_field() -> None:
    with pytest.raises(ConfigRefused) as caught:
        seal_config(channel("email", {**EMAIL, "smtp_prot": 1, "from_address": "x"}), VAULT)
    assert [error.field for error in caught.value.errors] == ["config.from_address", "config.smtp_prot"]
    with pytest.raises(ConfigRefused, match=r"^type: 'emial' is not a channel type; did you mean 'email'\?$"):
        seal_config(channel("emial", {}), VAULT)
    with pytest.raises(ConfigRefused, match=r"^config\.fallback: is this channel itself"):
        seal_config(channel("console", {"fallback": "mine"}, "mine"), VAULT)
    assert masked_config(channel("unknown", {"password": "canary"})) == {}


def test_a_secret_that_a_receiver_reflects_is_masked() -> None:
    settings = check_config("webhook", WEBHOOK)
    text = "HTTP 401: bad header Bearer canary-token, or token canary-token, or canary-secret"
    assert redacted(text, settings) == f"HTTP 401: bad header {MASK}, or token {MASK}, or {MASK}"
