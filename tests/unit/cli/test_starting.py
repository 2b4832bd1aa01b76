"""Services that cannot start with these settings: exit code 2 and one line that names the field and the mend."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tocsin.cli.app import run
from tocsin.cli.failures import ExitCode, as_failure
from tocsin.config import ConfigError, load
from tocsin.context import Context
from tocsin.deliver.service import run as run_deliver
from tocsin.demo.service import DemoUnreachable
from tocsin.demo.service import run as run_demo
from tocsin.kafka.clients import KafkaConnection
from tocsin.kafka.ports import free_ports
from tocsin.schemas.settings import DeliverySettings, Settings
from tocsin.schemas.topics import Topics


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kafka, api = free_ports(2)
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("TOCSIN_KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{kafka}")
    monkeypatch.setenv("TOCSIN_API_PORT", str(api))


@pytest.mark.parametrize(
    ("command", "settings", "said"),
    [
        (
            "topics check",
            {"TOCSIN_KAFKA_SECURITY_PROTOCOL": "SSL", "TOCSIN_KAFKA_SSL_CA_FILE": "/nonexistent"},
            "TOCSIN_KAFKA_SSL_CA_FILE: kafka.ssl_ca_file: /nonexistent cannot be read (No such file or directory)",
        ),
        (
            "topics check",
            {"TOCSIN_KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "TOCSIN_KAFKA_SASL_USERNAME": "u"},
            "kafka.sasl_password: is missing, and SASL_SSL needs it; set TOCSIN_KAFKA_SASL_PASSWORD",
        ),
        (
            "topics check",
            {"TOCSIN_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "TOCSIN_KAFKA_SASL_PASSWORD": "canary"},
            "kafka.sasl_username: is missing",
        ),
        ("topics check", {"TOCSIN_KAFKA_BOOTSTRAP_SERVERS": "foo:abc"}, "'foo:abc' is no server; write HOST:PORT"),
        ("topics check", {"TOCSIN_KAFKA_BOOTSTRAP_SERVERS": "a:9092,"}, "'' is no server; write HOST:PORT"),
        ("up", {"TOCSIN_API_HOST": "192.0.2.1"}, "TOCSIN_API_HOST: api.host: 192.0.2.1 cannot be used ("),
        ("up", {"TOCSIN_API_HOST": "nobody.invalid"}, "TOCSIN_API_HOST: api.host: nobody.invalid cannot be used ("),
        ("up", {"TOCSIN_API_HOST": "127.0.0.1:8080"}, "write it like 127.0.0.1, without a port"),
        ("evaluate", {"TOCSIN_METRICS_TOPICS": ","}, "metrics.topics: names no topic; write metrics"),
        ("evaluate", {"TOCSIN_METRICS_TOPICS": "a b"}, "metrics.topics: 'a b' cannot be a topic in Kafka"),
        (
            "evaluate",
            {"TOCSIN_METRICS_TOPICS": "m:jsn"},
            "'jsn' is not a known format of metrics; did you mean m:json?",
        ),
        ("evaluate", {"TOCSIN_METRICS_TOPICS": "m,m:json"}, "metrics.topics: names a topic twice"),
        ("rules list --url 127.0.0.1:8080", {}, "--url: '127.0.0.1:8080' is no address of an API; write http://"),
        ("rules list --url ftp://127.0.0.1", {}, "--url: 'ftp://127.0.0.1' is no address of an API"),
        ("rules list --url http://[bad", {}, "--url: 'http://[bad' is no address of an API"),
        ("rules get ..", {}, "ID: '..' is not an id"),
        (
            "rules list",
            {"TOCSIN_API_TOKEN": "canary\nx"},
            "TOCSIN_API_TOKEN: api.token: has characters that no token has",
        ),
        ("alerts list --severity critcal", {}, "--severity: 'critcal' is not known; did you mean 'critical'?"),
        ("alerts list --status gone", {}, "--status: 'gone' is not known; use pending, firing"),
        ("alerts list --history --quiet", {}, "--quiet: is of active alerts; leave --history out"),
        ("alerts trigger a --severity high", {}, "--severity: 'high' is not known; use"),
        ("alerts trigger a --value nan", {}, "--value: nan is not finite; write a number such as 1500"),
        ("bench --json /nonexistent/x", {}, "--json: /nonexistent/x cannot be written (No such file or directory)"),
    ],
)
def test_a_wrong_setting_is_one_line_and_exit_code_two(
    command: str,
    settings: dict[str, str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert run(command.split()) == 2
    shown = capsys.readouterr().err
    assert said in shown
    assert "Traceback" not in shown
    assert "canary" not in shown


async def test_a_demo_without_an_api_is_unreachable(tmp_path: Path) -> None:
    (nobody,) = free_ports(1)
    url = f"http://127.0.0.1:{nobody}"
    with pytest.raises(DemoUnreachable) as caught:
        await run_demo(Context(Settings(), KafkaConnection("127.0.0.1:1"), Topics(), tmp_path), url, None)
    failure = as_failure(caught.value)
    assert failure is not None
    assert failure.code is ExitCode.UNREACHABLE
    assert failure.lines[0].startswith(f"the API at {url} cannot be reached (")


def test_a_port_of_another_program_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tocsin.supervisor.up._PORT_LEAVING_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setenv("TOCSIN_API_PORT", str(port))
        assert run(["up"]) == 2
    assert f"TOCSIN_API_PORT: api.port: port {port} on 127.0.0.1 is taken" in capsys.readouterr().err


async def test_a_metrics_port_of_another_program_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        settings = Settings(delivery=DeliverySettings(port=port))
        with pytest.raises(ConfigError) as caught:
            await run_deliver(Context(settings, KafkaConnection("127.0.0.1:1"), Topics(), tmp_path))
    mend = "is taken by another program; choose another with TOCSIN_DELIVERY_PORT; 0 is any"
    assert caught.value.lines == (f"delivery.port: port {port} on 127.0.0.1 {mend}",)
    failure = as_failure(caught.value)
    assert failure is not None
    assert failure.code is ExitCode.USAGE


def test_metrics_topics_are_known_by_name_whatever_their_format(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_METRICS_TOPICS", "metrics:json, other")
    assert load(None, os.environ).settings.metrics.topic_names == ("metrics", "other")
