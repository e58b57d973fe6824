"""Who may call, where only certain clients may: their authorities in a file, the names in their certificates.

It lets nobody in: OpenSSL verifies the chain, and whoever serves compares the names.
"""

from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import NameOID

from certs.errors import MaterialError


def parse_authorities(bundle_pem: bytes) -> tuple[x509.Certificate, ...]:
    """The authorities of a PEM file, in its order, at least one.

    Raises:
        MaterialError: There is none, or one cannot be read.
    """
    try:
        return tuple(x509.load_pem_x509_certificates(bundle_pem))
    except ValueError:
        raise MaterialError("the client authorities are not PEM X.509 certificates") from None


def last_expiry(bundle_pem: bytes) -> datetime:
    """Until when the authorities let anybody in: while one is being replaced, the successor's time counts.

    Raises:
        MaterialError: As for ``parse_authorities``.
    """
    return max(authority.not_valid_after_utc for authority in parse_authorities(bundle_pem))


def names_of_client(certificate_der: bytes) -> frozenset[str]:
    """What a client's certificate calls it: common names and DNS names.

    Raises:
        MaterialError: Not a certificate.
    """
    try:
        certificate = x509.load_der_x509_certificate(certificate_der)
        common = {str(part.value) for part in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)}
        return frozenset(common | _dns_names(certificate))
    except ValueError:
        raise MaterialError("the client's certificate cannot be read") from None


def _dns_names(certificate: x509.Certificate) -> set[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return set(found.get_values_for_type(x509.DNSName))
