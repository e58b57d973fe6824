"""Issues our certificate authority and serving certificates as values; it reads no clock, file or network.

The only impurity is the operating system's randomness, for keys and serial numbers.
Source: RFC 5280 sections 4.1 and 4.2; Go ``crypto/x509`` (``verify.go``), which is what the API server verifies with.
"""

import ipaddress
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certs.errors import MaterialError

AUTHORITY_LIFETIME: Final = timedelta(days=3650)
"""Ten years, as cert-controller's rotator has it (``shared/design/kubernetes.md`` section 2)."""

SERVING_LIFETIME: Final = timedelta(days=365)
"""One year, likewise."""

CLOCK_SKEW: Final = timedelta(minutes=5)
"""How far the API server's clock may be behind ours: the certificate is valid from that much before ``now``."""

COMMON_NAME_LIMIT: Final = 64
"""Source: RFC 5280 appendix A.1, ``ub-common-name``. Verifiers read the alternative names, never this one."""


class Authority(NamedTuple):
    """A certificate authority: both parts PEM, the key PKCS #8 and unencrypted."""

    certificate_pem: bytes
    key_pem: bytes


class KeyPair(NamedTuple):
    """A serving certificate with its key: both PEM, the key PKCS #8 and unencrypted."""

    certificate_pem: bytes
    key_pem: bytes


class Names(NamedTuple):
    """What a serving certificate is good for; addresses in their canonical spelling."""

    dns_names: frozenset[str]
    ip_addresses: frozenset[str]


def issue_authority(common_name: str, *, now: datetime, lifetime: timedelta = AUTHORITY_LIFETIME) -> Authority:
    """A self-signed authority that may sign serving certificates and no further authority (path length 0).

    Args:
        common_name: What ``openssl x509`` and the API server's errors show; at most 64 characters.
        now: With a time zone; the certificate is valid from five minutes before it.
        lifetime: How long it is valid after ``now``.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(common_name)
    builder = (
        _builder(subject=name, issuer=name, key=key.public_key(), now=now, lifetime=lifetime)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        # A self-signed certificate's issuer is itself: stated too, so that old and new authority are told apart by key.
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    return Authority(_certificate_pem(builder.sign(key, SHA256())), _key_pem(key))


def issue_serving(
    authority: Authority,
    *,
    dns_names: Sequence[str],
    ip_addresses: Sequence[str],
    now: datetime,
    lifetime: timedelta = SERVING_LIFETIME,
) -> KeyPair:
    """A certificate for a TLS server of these names and addresses, signed by the authority.

    Args:
        authority: Who signs. The result never outlives it.
        dns_names: Exact names, or with a leading ``*.``.
        ip_addresses: IPv4 or IPv6; verifiers compare them with the address they connect to.
        now: With a time zone.
        lifetime: How long it is valid after ``now``.

    Raises:
        MaterialError: No name at all, a name that is none, or an authority that cannot be read.
    """
    names = alternative_names(dns_names=dns_names, ip_addresses=ip_addresses)
    issuer = parse_certificate(authority.certificate_pem)
    issuer_key = parse_authority_key(authority.key_pem)
    key = ec.generate_private_key(ec.SECP256R1())
    until = min(now + lifetime, issuer.not_valid_after_utc)
    common_name = (dns_names or ip_addresses)[0][:COMMON_NAME_LIMIT]
    builder = (
        _builder(subject=_name(common_name), issuer=issuer.subject, key=key.public_key(), now=now, lifetime=until - now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(names, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    return KeyPair(_certificate_pem(builder.sign(issuer_key, SHA256())), _key_pem(key))


def expiry(certificate_pem: bytes) -> datetime:
    """The last moment, in UTC, at which the (first) certificate is valid.

    Raises:
        MaterialError: Not a PEM certificate.
    """
    return parse_certificate(certificate_pem).not_valid_after_utc


def names_of(certificate_pem: bytes) -> Names:
    """The names that verifiers accept the (first) certificate for; empty where it has none.

    Raises:
        MaterialError: Not a PEM certificate.
    """
    certificate = parse_certificate(certificate_pem)
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return Names(frozenset(), frozenset())
    addresses = (str(address) for address in found.get_values_for_type(x509.IPAddress))
    return Names(frozenset(found.get_values_for_type(x509.DNSName)), frozenset(addresses))


def is_signed_by(certificate_pem: bytes, authority_pem: bytes) -> bool:
    """Whether the (first) certificate carries the authority's signature and its name as issuer.

    Raises:
        MaterialError: Either is not a PEM certificate.
    """
    certificate, authority = parse_certificate(certificate_pem), parse_certificate(authority_pem)
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def is_matching(certificate_pem: bytes, key_pem: bytes) -> bool:
    """Whether the key, of whatever kind, is the one that the (first) certificate certifies.

    Raises:
        MaterialError: Either cannot be read.
    """
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    certified = parse_certificate(certificate_pem).public_key()
    return certified.public_bytes(*form) == parse_key(key_pem).public_key().public_bytes(*form)


def parse_certificate(certificate_pem: bytes) -> x509.Certificate:
    """The first certificate of a PEM file.

    Raises:
        MaterialError: There is none.
    """
    try:
        return x509.load_pem_x509_certificate(certificate_pem)
    except ValueError:
        raise MaterialError("the certificate is not a PEM X.509 certificate") from None


def parse_key(key_pem: bytes) -> PrivateKeyTypes:
    """An unencrypted PEM key of any kind.

    Raises:
        MaterialError: It is something else. The message never shows any of it.
    """
    try:
        return load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise MaterialError("the key is not an unencrypted PEM private key") from None


def parse_authority_key(key_pem: bytes) -> ec.EllipticCurvePrivateKey:
    """A key such as ``issue_authority`` makes: ECDSA on P-256.

    Raises:
        MaterialError: It is something else.
    """
    key = parse_key(key_pem)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise MaterialError("the authority's key is not an ECDSA key on P-256")
    return key


def alternative_names(*, dns_names: Sequence[str], ip_addresses: Sequence[str]) -> x509.SubjectAlternativeName:
    """The names as the certificate carries them, DNS names first, in the order given.

    Raises:
        MaterialError: No name at all, or an address that is none, or a DNS name beyond ASCII.
    """
    if not dns_names and not ip_addresses:
        raise MaterialError("a serving certificate needs at least one DNS name or IP address")
    try:
        return x509.SubjectAlternativeName(
            [
                *(x509.DNSName(name) for name in dns_names),
                *(x509.IPAddress(ipaddress.ip_address(address)) for address in ip_addresses),
            ]
        )
    except ValueError as error:
        raise MaterialError(f"not a name for a certificate: {error}") from None


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    *, subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,  # an ECDSA key enciphers nothing
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _certificate_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
