"""Certificates for tests: an authority of our own, servers' certificates by it, and clients that trust it."""

from __future__ import annotations

import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_DAY = timedelta(days=1)


class Authority:
    """Vouches for servers."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tocsin test authority")])
        constraint = x509.BasicConstraints(ca=True, path_length=0)
        builder = self._builder(self._name, self._key.public_key(), datetime.now(UTC) + _DAY)
        self._certificate = builder.add_extension(constraint, critical=True).sign(self._key, hashes.SHA256())

    @property
    def pem(self) -> str:
        """Its certificate, for those who are to trust it."""
        return self._certificate.public_bytes(Encoding.PEM).decode()

    def trusting(self) -> ssl.SSLContext:
        """A client's context that trusts this authority alone."""
        return ssl.create_default_context(cadata=self.pem)

    def server(self, host: str, *, expired: bool = False) -> ssl.SSLContext:
        """A server's context with a certificate for a host name or address."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        until = datetime.now(UTC) + (-_DAY if expired else _DAY)
        alternative = x509.SubjectAlternativeName([_general_name(host)])
        builder = self._builder(subject, key.public_key(), until).add_extension(alternative, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "server.pem"
            private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            path.write_bytes(private + certificate.public_bytes(Encoding.PEM))
            context.load_cert_chain(path)
        return context

    def _builder(
        self, subject: x509.Name, public_key: ec.EllipticCurvePublicKey, until: datetime
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(until - 10 * _DAY)
            .not_valid_after(until)
        )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
