"""Mistakes in words: what was given is repeated, but never where it is a credential."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tocsin.deliver.channels import check_config
from tocsin.deliver.credentials import config_errors
from tocsin.schemas.channel import Channel
from tocsin.schemas.problems import field_errors
from tocsin.schemas.settings import Settings

TEXT = "must be text; put it in quotes"
CANARY = 13371337


@pytest.mark.parametrize(
    ("kind", "config", "told"),
    [
        ("email", {"password": CANARY}, f"config.password: {TEXT}"),
        ("slack", {"webhook_url": CANARY}, f"config.webhook_url: {TEXT}"),
        ("webhook", {"secret": [CANARY]}, f"config.secret: {TEXT}"),
        (
            "webhook",
            {"headers": {"Authorization": CANARY}},
            f"config.headers.Authorization: {TEXT}",
        ),
        ("webhook", {"headers": f"Bearer {CANARY}"}, "config.headers: must be a mapping of names to values"),
    ],
)
def test_a_credential_of_the_wrong_type_is_not_repeated(kind: str, config: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        check_config(kind, config)
    shown = [str(error) for error in config_errors(kind, caught.value)]
    assert told in shown
    assert str(CANARY) not in str(shown)


def test_a_configuration_or_a_setting_that_holds_credentials_is_not_repeated_either() -> None:
    with pytest.raises(ValidationError) as caught:
        Channel.model_validate({"id": "a", "type": "email", "config": f"password={CANARY}"})
    assert [str(error) for error in field_errors(caught.value, Channel)] == [
        "config: must be a mapping of names to values"
    ]
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"kafka": {"sasl_password": CANARY}})
    assert [str(error) for error in field_errors(caught.value, Settings)] == [f"kafka.sasl_password: {TEXT}"]


def test_what_is_no_credential_is_repeated() -> None:
    with pytest.raises(ValidationError) as caught:
        check_config("email", {"smtp_host": CANARY})
    assert f"config.smtp_host: {CANARY} {TEXT}" in map(str, config_errors("email", caught.value))
