"""Keys, certificates and tokens of one local cluster, made anew for each and written only into its own folder."""

import datetime as dt
import ipaddress
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from localcluster.ports import LOOPBACK

ADMIN: Final = "admin"
# A week: longer than anyone leaves `up` running, and a leaked one is worthless by then.
VALIDITY: Final = dt.timedelta(days=7)
_CLOCK_SKEW: Final = dt.timedelta(minutes=5)
_SERVER_NAMES: Final = ("localhost", "kubernetes.default.svc")


class User(NamedTuple):
    """A user by name, and the token that proves it."""

    name: str
    token: str


def write_private(path: Path, content: str | bytes) -> None:
    """Write a file that only its owner may read, from its first byte on."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def write_certificates(directory: Path) -> None:
    """Write ca.crt, server.crt, server.key and service-account.key; the authority's own key is forgotten at once."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    server_key = ec.generate_private_key(ec.SECP256R1())
    authority = _authority(authority_key)
    server = _server(server_key, authority=authority, authority_key=authority_key)
    (directory / "ca.crt").write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    (directory / "server.crt").write_bytes(server.public_bytes(serialization.Encoding.PEM))
    write_private(directory / "server.key", _pem(server_key))
    write_private(directory / "service-account.key", _pem(ec.generate_private_key(ec.SECP256R1())))


def write_tokens(directory: Path, *, users: Iterable[User]) -> None:
    """Write tokens.csv, in which every user is a member of ``system:masters``."""
    rows = [f'{user.token},{user.name},{user.name},"system:masters"\n' for user in users]
    write_private(directory / "tokens.csv", "".join(rows))


def write_kubeconfig(path: Path, *, server: str, ca: Path, token: str, namespace: str = "default") -> None:
    """Write a kubeconfig; JSON, which every reader of YAML reads.

    It names the authority's file: the Python client writes an embedded one to a file of its own in /tmp, and a process
    that is killed leaves that behind.
    """
    content: Mapping[str, object] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "local", "cluster": {"server": server, "certificate-authority": str(ca)}}],
        "users": [{"name": "local", "user": {"token": token}}],
        "contexts": [{"name": "local", "context": {"cluster": "local", "user": "local", "namespace": namespace}}],
        "current-context": "local",
    }
    write_private(path, json.dumps(content, indent=2))


def _authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    subject = _name("local cluster authority")
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        _certificate(subject, issuer=subject, key=key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )


def _server(
    key: ec.EllipticCurvePrivateKey, *, authority: x509.Certificate, authority_key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    names = [x509.IPAddress(ipaddress.ip_address(LOOPBACK)), *(x509.DNSName(name) for name in _SERVER_NAMES)]
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    return (
        _certificate(_name("kube-apiserver"), issuer=authority.subject, key=key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(issuer_key, critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def _certificate(subject: x509.Name, *, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + VALIDITY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        # Not PKCS8: from such a file kube-apiserver does not take the public half that it verifies tokens with.
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
