"""Settings, as the YAML file and `TOCSIN_*` variables give them. Names of variables are made from this model."""

import difflib
import re
from ipaddress import IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)

from tocsin.schemas.duration import Duration, milliseconds

Network = IPv4Network | IPv6Network

METRIC_FORMATS = ("json",)

_SERVER = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_HOST = re.compile(r"[A-Za-z0-9._-]+")


def _listed(value: object) -> object:
    """A comma-separated text counts as a list."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _servers(text: str | None) -> str | None:
    for server in (text or "").split(",") if text is not None else ():
        found = _SERVER.fullmatch(server.strip())
        if found is None or not 0 < int(found["port"] or 1) <= 65_535:
            raise ValueError(f"{server.strip()[:60]!r} is no server; write HOST:PORT, several with commas between")
    return text


def _metrics_topics(entries: tuple[str, ...]) -> tuple[str, ...]:
    if not entries:
        raise ValueError("names no topic; write metrics, or NAME,NAME:json")
    for entry in entries:
        name, colon, format_ = entry.partition(":")
        if not _TOPIC.fullmatch(name) or name in (".", ".."):
            raise ValueError(f"{name[:60]!r} cannot be a topic in Kafka; use letters, digits, dots, _ and -")
        if colon and format_ not in METRIC_FORMATS:
            near = difflib.get_close_matches(format_, METRIC_FORMATS, n=1)
            mend = f"did you mean {name}:{near[0]}?" if near else f"there is {', '.join(METRIC_FORMATS)}"
            raise ValueError(f"{format_[:60]!r} is not a known format of metrics; {mend}")
    if len({entry.partition(":")[0] for entry in entries}) < len(entries):
        raise ValueError("names a topic twice; name each once")
    return entries


def _host(text: str) -> str:
    try:
        is_address = bool(IPv6Address(text))
    except ValueError:
        is_address = False
    if not is_address and not _HOST.fullmatch(text):
        raise ValueError(f"{text[:60]!r} is no host name and no address; write it like 127.0.0.1, without a port")
    return text


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KafkaSettings(_Section):
    """The cluster."""

    bootstrap_servers: Annotated[str | None, AfterValidator(_servers)] = Field(
        default=None, description="HOST:PORT,...; none means the embedded broker"
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    sasl_username: str | None = Field(default=None, validate_default=True)
    sasl_password: SecretStr | None = Field(default=None, validate_default=True)
    ssl_ca_file: Path | None = None
    ssl_cert_file: Path | None = None
    ssl_key_file: Path | None = None
    topic_prefix: str = Field(default="tocsin.", pattern=r"^[A-Za-z0-9._-]{0,100}$")
    partitions: int = Field(default=4, ge=1, le=10_000)
    replication_factor: int = Field(default=1, ge=1, le=32)
    embedded_port: int = Field(default=9092, ge=0, le=65_535, description="port of the embedded broker; 0 is any")
    request_timeout: Duration = milliseconds("30s")
    session_timeout: Duration = milliseconds("6s")

    @field_validator("sasl_username", "sasl_password")
    @classmethod
    def _there_for_sasl(cls, value: str | SecretStr | None, info: ValidationInfo) -> str | SecretStr | None:
        protocol = str(info.data.get("security_protocol", ""))
        plain = value.get_secret_value() if isinstance(value, SecretStr) else value
        if protocol.startswith("SASL") and not plain:
            raise ValueError(f"is missing, and {protocol} needs it; set TOCSIN_KAFKA_{(info.field_name or '').upper()}")
        return value


class MetricsSettings(_Section):
    """What is read."""

    topics: Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(_metrics_topics)] = Field(
        default=("metrics",), description="NAME or NAME:FORMAT; the only format is `json`"
    )
    max_ahead: Duration = Field(default=milliseconds("10m"), description="a timestamp further ahead is no sample")
    max_unpacked_bytes: int = Field(
        default=32 * 2**20, ge=2**20, description="most that one record batch may unpack to"
    )

    @property
    def topic_names(self) -> tuple[str, ...]:
        """The topics without the format that may follow (`telegraf:influx`)."""
        return tuple(entry.partition(":")[0] for entry in self.topics)


class EvaluateSettings(_Section):
    """How series are judged."""

    checkpoint_interval: Duration = milliseconds("10s")
    tick_interval: Duration = Field(default=milliseconds("100ms"), description="how often time is written to the log")
    idle_after: Duration = Field(
        default=milliseconds("500ms"), description="a source partition silent for this long holds nothing back"
    )
    quiet_after: Duration = Field(
        default=milliseconds("5s"), description="an open window of a silent series closes this long after its end"
    )
    max_series: int = Field(
        default=1_000_000, ge=1, le=100_000_000, description="most series watched in one partition of `samples`"
    )


class DeliverySettings(_Section):
    """How notifications leave."""

    allow_networks: Annotated[tuple[Network, ...], BeforeValidator(_listed)] = Field(
        default=(), description="internal networks (CIDR) that channels may reach"
    )
    public_url: str | None = Field(default=None, description="address of the dashboard in messages")
    action_links: Duration = Field(
        default=milliseconds("1d"),
        le=milliseconds("4d"),
        description="how long links that act are valid; 0s makes none",
    )
    files_dir: Path | None = Field(default=None, description="where channels of type file write; else in the data dir")
    port: int = Field(default=0, ge=0, le=65_535, description="metrics of delivery, on loopback; 0 is any")


class ApiSettings(_Section):
    """The management service."""

    host: Annotated[str, AfterValidator(_host)] = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65_535)
    token: SecretStr | None = Field(default=None, description="the first administrator's token; generated if absent")
    allowed_hosts: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(
        default=(),
        description="names in `Host` that are answered, besides addresses, localhost and `api.host`; "
        "none means every name where `api.host` is not loopback",
    )
    connections_per_address: int = Field(default=256, ge=1, le=100_000, description="open at once, of one client")


class DatabaseSettings(_Section):
    """Where the API's projection lies."""

    url: SecretStr | None = Field(default=None, description="postgresql://...; none means SQLite in the data directory")
    history: Duration = Field(default=milliseconds("90d"), description="how long the API remembers events")


class LogSettings(_Section):
    """What is said about itself."""

    format: Literal["console", "json", "auto"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


class Settings(_Section):
    """Everything that can be set."""

    data_dir: Path | None = Field(default=None, description="tables, embedded Kafka, SQLite; none is the XDG directory")
    secret_key: SecretStr | None = Field(default=None, description="encrypts channel credentials; generated if absent")
    kafka: KafkaSettings = KafkaSettings()
    metrics: MetricsSettings = MetricsSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    delivery: DeliverySettings = DeliverySettings()
    api: ApiSettings = ApiSettings()
    database: DatabaseSettings = DatabaseSettings()
    log: LogSettings = LogSettings()
