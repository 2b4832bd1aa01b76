"""Channel settings: the seed's configurations as they stand, and each mistake in one line that names the mend."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tocsin.deliver.channels import CHANNELS, UnknownChannelType, check_config
from tocsin.deliver.channels.email import EmailSettings
from tocsin.deliver.credentials import config_errors
from tocsin.schemas.topics import CHANNEL_TYPES

SEED: dict[str, dict[str, Any]] = {
    "email": {
        "smtp_host": "smtp.example.com",
        "smtp_port": 587,
        "username": "alerts@example.com",
        "password": "hunter22",
        "from_address": "alerts@example.com",
        "to_addresses": ["ops@example.com", "Ada <ada@example.com>"],
        "subject": "Alert Notification",
        "enabled": True,
    },
    "slack": {
        "webhook_url": "https://hooks.slack.com/services/T0/B0/x",
        "channel": "#alerts",
        "username": "Alert Bot",
        "icon_emoji": ":warning:",
        "enabled": True,
    },
    "webhook": {
        "url": "https://example.com/hook",
        "method": "POST",
        "headers": {"Content-Type": "application/json", "Authorization": "Bearer abcdef123456"},
        "secret": "s3cret",
        "timeout": 30,
        "enabled": True,
    },
    "console": {"enabled": True},
}
FURTHER: dict[str, dict[str, Any]] = {
    "pagerduty": {"routing_key": "R0UT1NGKEY" * 3 + "AB", "source": "prod"},
    "teams": {"webhook_url": "https://prod.example.com/workflows/canary-teams/triggers/manual?sig=abc"},
    "opsgenie": {"api_key": "canary-genie", "responders": [{"type": "team", "name": "ops"}], "tags": "a, b"},
    "discord": {"webhook_url": "https://discord.com/api/webhooks/1/canary-discord", "mentions": "here"},
    "telegram": {"bot_token": "123456:" + "canary_telegram" * 2, "chat_id": -100123},
    "ntfy": {"topic": "ops-alerts", "token": "canary-ntfy"},
    "kafka": {"topic": "team.alerts"},
    "file": {"name": "alerts.jsonl"},
    "apprise": {"url": "pover://canary-user@canary-token"},
}
BOT = {"bot_token": "xoxb-canary-bot", "channel": "C0123"}


@pytest.mark.parametrize("kind", SEED)
def test_the_seeds_configurations_are_accepted(kind: str) -> None:
    assert check_config(kind, SEED[kind]).enabled


@pytest.mark.parametrize("kind", FURTHER)
def test_a_minimum_is_enough_for_every_further_channel(kind: str) -> None:
    assert check_config(kind, FURTHER[kind]).send_resolved


def test_each_channel_type_has_its_topic() -> None:
    assert tuple(CHANNELS) == CHANNEL_TYPES == (*SEED, *FURTHER)


def test_an_unknown_type_is_told_the_nearest() -> None:
    with pytest.raises(UnknownChannelType, match=r"^'emial' is not a channel type; did you mean 'email'\?$"):
        check_config("emial", {})
    with pytest.raises(UnknownChannelType, match="use one of email, slack, webhook, console"):
        check_config("carrier-pigeon", {})


@pytest.mark.parametrize(
    ("kind", "change", "error"),
    [
        ("email", {"smtp_hots": "x"}, "config.smtp_hots: is not a known field; did you mean 'smtp_host'?"),
        ("email", {"to_addresses": []}, "config.to_addresses: "),
        ("email", {"from_address": "nobody"}, "'nobody' is not an email address; write it like ops@example.com"),
        ("email", {"from_address": "a@b.c\r\nBcc: d@e.f"}, "is not an email address"),
        ("email", {"from_address": "a@b.c, d@e.f"}, "is not an email address"),
        ("email", {"smtp_host": "a b"}, "is not a host name; write it like smtp.example.com"),
        ("email", {"use_tls": True, "start_tls": True}, "use_tls and start_tls exclude each other"),
        ("email", {"subject": "{{ nope }}"}, "the template knows no 'nope'"),
        ("email", {"subject": "{{ title"}, "config.subject: the template cannot be used"),
        ("email", {"smtp_port": 70_000}, "config.smtp_port: "),
        ("slack", {"webhook_url": "file:///etc/passwd"}, "config.webhook_url: is not a web address"),
        ("slack", {"webhook_url": "https://[bad"}, "config.webhook_url: is not a web address; paste the https://"),
        ("slack", {"webhook_url": "https://example.com:port/x"}, "config.webhook_url: is not a web address"),
        ("console", {"enabled": "false"}, "config.enabled: 'false' must be true or false"),
        ("console", {"send_resolved": "no"}, "config.send_resolved: 'no' must be true or false"),
        ("webhook", {"url": "ftp://example.com"}, "config.url: is not a web address; write it like https://"),
        ("webhook", {"url": "https://user:pw@example.com"}, "config.url: must not hold credentials"),
        ("webhook", {"url": "https://[::1"}, "config.url: is not a web address"),
        ("webhook", {"method": "DELETE"}, "config.method: 'DELETE' is not one of 'POST' or 'PUT'"),
        ("webhook", {"headers": {"Host": "x"}}, "config.headers: Host is set by tocsin itself; leave it out"),
        ("webhook", {"headers": {"webhook-id": "x"}}, "webhook-id is set by tocsin itself"),
        ("webhook", {"headers": {"A": "x\r\nB: y"}}, "the value of A has characters that a header cannot hold"),
        ("webhook", {"headers": {"A b": "x"}}, "'A b' is not a header name"),
        ("webhook", {"format": "other"}, "config.format: 'other' is not one of 'tocsin' or 'alertmanager'"),
        ("webhook", {"fallback": "no such id!"}, "config.fallback: "),
        ("slack", {"bot_token": "xoxb-1"}, "config: needs webhook_url or bot_token, one of them"),
        ("slack", {"mentions": "<!here>"}, "config.mentions: '<!here>' is no mention; write here"),
        ("slack", {"api_url": "https://slack.com/api?x=1"}, "config.api_url: must not have a query"),
        ("pagerduty", {"routing_key": "short"}, "config.routing_key: is not an integration key; paste the 32"),
        ("pagerduty", {"url": "https://u:p@pd.example"}, "config.url: must not hold credentials"),
        ("teams", {"webhook_url": "teams"}, "config.webhook_url: is not a web address"),
        ("opsgenie", {"responders": [{"type": "team"}]}, "needs exactly one of name, username (of a user) and id"),
        ("opsgenie", {"api_key": "two words"}, "config.api_key: has characters that no key has"),
        ("discord", {"mentions": ["@everyone"]}, "config.mentions: '@everyone' is no mention; write here, everyone"),
        ("telegram", {"bot_token": "abc"}, "config.bot_token: is not a bot's token; paste it as BotFather shows it"),
        ("telegram", {"chat_id": "ops chat"}, "config.chat_id: 'ops chat' is not a chat; write its number"),
        ("ntfy", {"topic": "a/b"}, "config.topic: 'a/b' is not a topic; use letters"),
        ("ntfy", {"username": "u"}, "config: username and password go together; add the other"),
        ("kafka", {"topic": "a b"}, "config.topic: 'a b' is not a topic's name"),
        ("file", {"name": "../x"}, "config.name: '../x' is not a file's name; use letters"),
        ("file", {"name": ".bashrc"}, "config.name: '.bashrc' is not a file's name"),
        ("apprise", {"url": "nothing"}, "config.url: is not an Apprise address; write it like scheme://token@host"),
        ("apprise", {"url": "syslog://x"}, "config.url: syslog:// acts on the machine that sends"),
        ("apprise", {"url": "json://x/?verify=no"}, "config.url: must not set verify, cert"),
        ("webhook", {"secret": "whsec_%%"}, "config.secret: after whsec_ must come base64"),
        ("webhook", {"timeout": "6m"}, "config.timeout: must be longer than zero and at most 5m; try 10s"),
        ("webhook", {"retry": {"initial": "10s", "max": "1s"}}, "config.retry: initial must be longer than zero"),
        ("webhook", {"rate_limit": {"count": 0}}, "config.rate_limit.count: "),
        ("console", {"template": '{{ "a" * 1000000000 }}'}, "config.template: the template cannot be used"),
        ("console", {"template": "{% for i in range(100000) %}{{ i }}{% endfor %}"}, "config.template: the template"),
    ],
)
def test_a_mistake_names_the_field_and_the_mend(kind: str, change: dict[str, Any], error: str) -> None:
    with pytest.raises(ValidationError) as caught:
        check_config(kind, {**SEED.get(kind, {}), **FURTHER.get(kind, {}), **change})
    told = "; ".join(map(str, config_errors(kind, caught.value)))
    assert error in told
    assert "\n" not in told


@pytest.mark.parametrize(
    ("given", "port", "mode"),
    [
        ({}, 587, "required"),
        ({"smtp_port": 587}, 587, "required"),
        ({"smtp_port": 465}, 465, "implicit"),
        ({"smtp_port": 25}, 25, "offered"),
        ({"smtp_port": 2525}, 2525, "offered"),
        ({"use_tls": True}, 465, "implicit"),
        ({"start_tls": True}, 587, "required"),
        ({"start_tls": False}, 25, "none"),
        ({"smtp_port": 587, "start_tls": False}, 587, "none"),
        ({"smtp_port": 587, "use_tls": True}, 587, "implicit"),
    ],
)
def test_port_and_tls_follow_from_each_other(given: dict[str, Any], port: int, mode: str) -> None:
    seed = {name: value for name, value in SEED["email"].items() if name != "smtp_port"}
    settings = check_config("email", {**seed, **given})
    assert isinstance(settings, EmailSettings)
    assert (settings.port, settings.tls_mode) == (port, mode)


def test_secrets_stay_out_of_every_text_form() -> None:
    secrets = ("hunter22", "s3cret", "abcdef123456", "services/T0", "canary", "R0UT1NGKEY")
    for kind, config in [*SEED.items(), *FURTHER.items(), ("slack", BOT)]:
        settings = check_config(kind, config)
        shown = f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
        assert not any(secret in shown for secret in secrets)
