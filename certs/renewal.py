"""Decides what of the existing key material is kept and what is issued anew; it reads no clock, file or network.

Rotation without a failed call: the bundle that the API server trusts holds old and new authority, it is in force before
the first certificate of the new one is served, and the old one leaves it only when it has expired by itself.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certs.errors import MaterialError
from certs.issue import (
    Authority,
    KeyPair,
    Names,
    expiry,
    is_matching,
    is_signed_by,
    issue_authority,
    issue_serving,
    names_of,
    parse_authority_key,
    parse_certificate,
)

RENEW_BEFORE: Final = timedelta(days=90)
"""As cert-controller's look-ahead: with a weekly run, twelve chances before anything expires."""

AUTHORITY_NAME: Final = "sharedvip webhook CA"


@dataclass(frozen=True, slots=True)
class Material:
    """All that serving and trusting needs, and what renewing it needs. ``repr`` shows no key."""

    authority: Authority = field(repr=False)
    serving: KeyPair = field(repr=False)
    bundle_pem: bytes
    """The authorities to trust: the present one first, then predecessors that have not expired."""


def renewed(existing: Material | None, *, names: Names, now: datetime) -> Material:
    """The existing material, with what is missing, broken, unfit or soon expired issued anew.

    Args:
        existing: What was stored; its parts may be empty, or anything else that somebody put there.
        names: What the serving certificate must be good for; more than that is kept, less is not.
        now: With a time zone.

    Returns:
        A value equal to ``existing`` where all of it is kept.

    Raises:
        MaterialError: ``names`` are none.
    """
    old = existing or Material(Authority(b"", b""), KeyPair(b"", b""), b"")
    authority = old.authority if is_fit_authority(old.authority, now=now) else issue_authority(AUTHORITY_NAME, now=now)
    serving = old.serving
    if not is_fit_serving(serving, authority=authority, names=names, now=now):
        serving = _issue(authority, names=names, now=now)
    return Material(authority, serving, _bundle(authority, before=old, now=now))


def is_fit_authority(authority: Authority, *, now: datetime) -> bool:
    """Whether it may go on signing: readable, its own key, a CA, and valid for 90 days more."""
    try:
        certificate = parse_certificate(authority.certificate_pem)
        parse_authority_key(authority.key_pem)
        is_authority = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        is_own_key = is_matching(authority.certificate_pem, authority.key_pem)
    except (MaterialError, x509.ExtensionNotFound):
        return False
    return is_authority and is_own_key and _is_lasting(authority.certificate_pem, now=now)


def is_fit_serving(pair: KeyPair, *, authority: Authority, names: Names, now: datetime) -> bool:
    """Whether it may go on serving: readable, its own key, of this authority, for these names, valid 90 days more."""
    try:
        return (
            is_matching(pair.certificate_pem, pair.key_pem)
            and is_signed_by(pair.certificate_pem, authority.certificate_pem)
            and _has_names(pair.certificate_pem, names)
            and _is_lasting(pair.certificate_pem, now=now)
        )
    except MaterialError:
        return False


def _is_lasting(certificate_pem: bytes, *, now: datetime) -> bool:
    return parse_certificate(certificate_pem).not_valid_before_utc <= now < expiry(certificate_pem) - RENEW_BEFORE


def _has_names(certificate_pem: bytes, names: Names) -> bool:
    certified = names_of(certificate_pem)
    return names.dns_names <= certified.dns_names and names.ip_addresses <= certified.ip_addresses


def _issue(authority: Authority, *, names: Names, now: datetime) -> KeyPair:
    return issue_serving(authority, dns_names=sorted(names.dns_names), ip_addresses=sorted(names.ip_addresses), now=now)


def _bundle(authority: Authority, *, before: Material, now: datetime) -> bytes:
    present = parse_certificate(authority.certificate_pem)
    trusted = [present]
    for certificate in (*_certificates(before.authority.certificate_pem), *_certificates(before.bundle_pem)):
        if certificate not in trusted and certificate.not_valid_after_utc > now:
            trusted.append(certificate)
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in trusted)


def _certificates(bundle_pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(bundle_pem)
    except ValueError:
        return []
