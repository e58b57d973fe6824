"""Key material for tests, and a mounted Secret as the kubelet lays it out; nothing here outlives its test."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certs.issue import Authority, KeyPair, issue_authority, issue_serving, parse_authority_key

NOW: Final = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
DAY: Final = timedelta(days=1)
YEAR: Final = 365 * DAY
NAME: Final = "sharedvip-webhook.sharedvip-system.svc"


def authority(*, now: datetime = NOW, lifetime: timedelta = 10 * YEAR) -> Authority:
    """One that is valid for ten years from a fixed moment."""
    return issue_authority("test CA", now=now, lifetime=lifetime)


def serving(of: Authority, *, name: str = NAME, now: datetime = NOW, lifetime: timedelta = YEAR) -> KeyPair:
    """A pair for the webhook's name and for loopback."""
    return issue_serving(of, dns_names=[name], ip_addresses=["127.0.0.1", "::1"], now=now, lifetime=lifetime)


def client(of: Authority, name: str = "kube-apiserver", *, dns: str = "", now: datetime | None = None) -> KeyPair:
    """A client's pair, as ``openssl x509 -req`` or cert-manager signs it; ``dns`` is an alternative name."""
    moment = now or today()
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.load_pem_x509_certificate(of.certificate_pem)
    issuer_key = parse_authority_key(of.key_pem)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - DAY)
        .not_valid_after(moment + YEAR)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if dns:
        alternative = x509.SubjectAlternativeName([x509.DNSName(dns)])
        builder = builder.add_extension(alternative, critical=False)
    return KeyPair(
        builder.sign(issuer_key, SHA256()).public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )


def today() -> datetime:
    """The real clock: TLS clients look at it."""
    return datetime.now(UTC)


class MountedSecret:
    """A folder in which ``tls.crt`` and ``tls.key`` change together, by the swap of one symbolic link.

    Source: Kubernetes ``pkg/volume/util/atomic_writer.go``: the files are links into ``..data``, itself a link.
    """

    def __init__(self, directory: Path, pair: KeyPair) -> None:
        self.directory = directory
        self.certificate = directory / "tls.crt"
        self.key = directory / "tls.key"
        self._version = 0
        self.swap(pair)
        self.certificate.symlink_to("..data/tls.crt")
        self.key.symlink_to("..data/tls.key")

    def swap(self, pair: KeyPair) -> None:
        """What a mounted Secret does when it is written."""
        self._version += 1
        version = self.directory / f"..{self._version}"
        version.mkdir()
        (version / "tls.crt").write_bytes(pair.certificate_pem)
        (version / "tls.key").write_bytes(pair.key_pem)
        fresh = self.directory / "..data_tmp"
        fresh.symlink_to(version.name)
        fresh.replace(self.directory / "..data")

    @contextmanager
    def gone(self) -> Generator[None]:
        """While the volume is not there."""
        away = self.directory / "..away"
        (self.directory / "..data").rename(away)
        yield
        away.rename(self.directory / "..data")
