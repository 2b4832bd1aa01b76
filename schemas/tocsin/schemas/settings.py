"""Settings, as the YAML file and `TOCSIN_*` variables give them. Names of variables are made from this model."""

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from tocsin.schemas.duration import Duration, milliseconds

Network = IPv4Network | IPv6Network


def _listed(value: object) -> object:
    """A comma-separated text counts as a list."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KafkaSettings(_Section):
    """The cluster."""

    bootstrap_servers: str | None = Field(default=None, description="HOST:PORT,...; none means the embedded broker")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_ca_file: Path | None = None
    ssl_cert_file: Path | None = None
    ssl_key_file: Path | None = None
    topic_prefix: str = Field(default="tocsin.", pattern=r"^[A-Za-z0-9._-]{0,100}$")
    partitions: int = Field(default=4, ge=1, le=10_000)
    replication_factor: int = Field(default=1, ge=1, le=32)
    embedded_port: int = Field(default=9092, ge=0, le=65_535, description="port of the embedded broker; 0 is any")
    request_timeout: Duration = milliseconds("30s")
    session_timeout: Duration = milliseconds("6s")


class MetricsSettings(_Section):
    """What is read."""

    topics: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ("metrics",)
    max_ahead: Duration = Field(default=milliseconds("10m"), description="a timestamp further ahead is no sample")
    max_unpacked_bytes: int = Field(
        default=32 * 2**20, ge=2**20, description="most that one record batch may unpack to"
    )


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


class DeliverySettings(_Section):
    """How notifications leave."""

    allow_networks: Annotated[tuple[Network, ...], BeforeValidator(_listed)] = Field(
        default=(), description="internal networks (CIDR) that channels may reach"
    )
    public_url: str | None = Field(default=None, description="address of the dashboard in messages")
    port: int = Field(default=0, ge=0, le=65_535, description="metrics of delivery, on loopback; 0 is any")


class ApiSettings(_Section):
    """The management service."""

    host: str = "127.0.0.1"
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
