"""What we issue is what RFC 5280 and Go's verifier want, and nothing that could be misused."""

from datetime import timedelta
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store

from certs.errors import MaterialError
from certs.issue import (
    Authority,
    Names,
    expiry,
    is_matching,
    is_signed_by,
    issue_authority,
    issue_serving,
    names_of,
    parse_certificate,
    parse_key,
)
from tests.certs.builders import DAY, NAME, NOW, YEAR, authority, serving

AUTHORITY: Final = authority()
PAIR: Final = serving(AUTHORITY)


def test_the_authority_may_sign_servers_and_no_further_authority() -> None:
    """Path length 0 and two key usages: all that a CA of one level needs."""
    certificate = parse_certificate(AUTHORITY.certificate_pem)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)

    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)
    assert usage.critical
    assert (usage.value.key_cert_sign, usage.value.crl_sign, usage.value.digital_signature) == (True, True, False)


def test_a_serving_certificate_is_for_tls_servers_only() -> None:
    """Server authentication, digital signature, no CA."""
    certificate = parse_certificate(PAIR.certificate_pem)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value

    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.SERVER_AUTH
    ]
    assert (usage.digital_signature, usage.key_cert_sign, usage.key_encipherment) == (True, False, False)


def test_both_keys_are_ecdsa_on_p256() -> None:
    """The API server's handshakes are the cheapest with it."""
    for key in (parse_key(AUTHORITY.key_pem), parse_key(PAIR.key_pem)):
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        assert isinstance(key.curve, ec.SECP256R1)


def test_issuer_and_subject_are_linked_by_key_identifier() -> None:
    """With two authorities of one name in caBundle, the identifier tells a verifier which one signed."""
    issuer, subject = parse_certificate(AUTHORITY.certificate_pem), parse_certificate(PAIR.certificate_pem)
    named = subject.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest

    assert named == own
    assert subject.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest != own


def test_a_strict_verifier_accepts_the_chain() -> None:
    """The ``cryptography`` package's verifier follows the web's rules, stricter than Go's."""
    store = Store([parse_certificate(AUTHORITY.certificate_pem)])
    verifier = PolicyBuilder().store(store).time(NOW).build_server_verifier(x509.DNSName(NAME))

    chain = verifier.verify(parse_certificate(PAIR.certificate_pem), [])

    assert len(chain) == 2


def test_the_names_are_alternative_names() -> None:
    """Verifiers read these and never the common name; addresses come back canonical."""
    pair = issue_serving(AUTHORITY, dns_names=["b.example", NAME], ip_addresses=["2001:DB8::1"], now=NOW)

    assert names_of(pair.certificate_pem) == Names(frozenset(("b.example", NAME)), frozenset(("2001:db8::1",)))


def test_a_long_name_is_served_all_the_same() -> None:
    """A common name has at most 64 characters; a Service and a namespace of 63 each make more."""
    name = f"{'s' * 63}.{'n' * 63}.svc"

    assert names_of(serving(AUTHORITY, name=name).certificate_pem).dns_names == {name}


def test_lifetimes_are_ten_years_and_one() -> None:
    """From five minutes before, for a clock that is behind."""
    made = issue_authority("test CA", now=NOW)
    pair = issue_serving(made, dns_names=[NAME], ip_addresses=[], now=NOW)

    assert expiry(made.certificate_pem) == NOW + timedelta(days=3650)
    assert expiry(pair.certificate_pem) == NOW + YEAR
    assert parse_certificate(pair.certificate_pem).not_valid_before_utc == NOW - timedelta(minutes=5)


def test_a_serving_certificate_never_outlives_its_authority() -> None:
    """A chain is valid only while each part is."""
    short = authority(lifetime=100 * DAY)

    assert expiry(serving(short, lifetime=YEAR).certificate_pem) == NOW + 100 * DAY


def test_a_certificate_is_signed_by_its_own_authority_only() -> None:
    """Another authority of the same name did not sign it; nor did the certificate itself."""
    assert is_signed_by(PAIR.certificate_pem, AUTHORITY.certificate_pem)
    assert not is_signed_by(PAIR.certificate_pem, authority().certificate_pem)
    assert not is_signed_by(PAIR.certificate_pem, PAIR.certificate_pem)


def test_a_key_matches_its_own_certificate_only() -> None:
    """A pair from two issues does not."""
    assert is_matching(PAIR.certificate_pem, PAIR.key_pem)
    assert not is_matching(PAIR.certificate_pem, serving(AUTHORITY).key_pem)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        pytest.param(
            {"dns_names": [], "ip_addresses": []},
            "a serving certificate needs at least one DNS name or IP address",
            id="no name at all is refused",
        ),
        pytest.param(
            {"dns_names": [], "ip_addresses": ["10.0.0"]},
            "not a name for a certificate: '10.0.0' does not appear to be an IPv4 or IPv6 address",
            id="an address that is none is refused",
        ),
    ],
)
def test_bad_names_are_refused(names: dict[str, list[str]], message: str) -> None:
    """With words, not a traceback from the depths."""
    with pytest.raises(MaterialError) as refusal:
        issue_serving(AUTHORITY, dns_names=names["dns_names"], ip_addresses=names["ip_addresses"], now=NOW)

    assert str(refusal.value) == message


def test_bad_material_is_refused_without_showing_it() -> None:
    """Whatever stands in a Secret, no part of it reaches a message."""
    with pytest.raises(MaterialError, match=r"^the certificate is not a PEM X.509 certificate$"):
        parse_certificate(b"s3cret")
    with pytest.raises(MaterialError, match=r"^the key is not an unencrypted PEM private key$"):
        parse_key(b"s3cret")


def test_an_authority_with_another_kind_of_key_is_refused() -> None:
    """We issue on P-256 only."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    with pytest.raises(MaterialError, match=r"^the authority's key is not an ECDSA key on P-256$"):
        serving(Authority(AUTHORITY.certificate_pem, pem))
