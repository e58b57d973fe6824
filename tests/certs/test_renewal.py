"""What is kept, what is issued anew, and what stays trusted meanwhile, told by a clock that we move."""

from dataclasses import replace
from typing import Final

import pytest
from cryptography import x509

from certs.errors import MaterialError
from certs.issue import Authority, KeyPair, Names, expiry, is_signed_by, names_of, parse_certificate
from certs.renewal import Material, renewed
from tests.certs.builders import DAY, NAME, NOW, YEAR, authority, serving

NAMES: Final = Names(frozenset((NAME,)), frozenset())
FRESH: Final = renewed(None, names=NAMES, now=NOW)


def bundle(material: Material) -> list[x509.Certificate]:
    """The authorities that the API server is told to trust."""
    return x509.load_pem_x509_certificates(material.bundle_pem)


def test_from_nothing_everything_is_issued() -> None:
    """One authority, trusted, and a certificate of it for the names."""
    assert is_signed_by(FRESH.serving.certificate_pem, FRESH.authority.certificate_pem)
    assert names_of(FRESH.serving.certificate_pem) == NAMES
    assert FRESH.bundle_pem == FRESH.authority.certificate_pem


@pytest.mark.parametrize(
    "days",
    [
        pytest.param(0, id="the same moment keeps everything"),
        pytest.param(274, id="with 91 days left everything is kept"),
    ],
)
def test_what_is_valid_is_kept(days: int) -> None:
    """The next run changes nothing, to the byte."""
    assert renewed(FRESH, names=NAMES, now=NOW + days * DAY) == FRESH


def test_with_less_than_ninety_days_left_only_the_serving_certificate_is_renewed() -> None:
    """The authority has nine years more, and the API server nothing new to trust."""
    later = renewed(FRESH, names=NAMES, now=NOW + 275 * DAY)

    assert later.serving != FRESH.serving
    assert (later.authority, later.bundle_pem) == (FRESH.authority, FRESH.bundle_pem)
    assert expiry(later.serving.certificate_pem) == NOW + 275 * DAY + YEAR


def test_while_the_authority_rotates_the_old_one_stays_trusted() -> None:
    """Pods that still serve the old certificate are called without a failure."""
    moment = NOW + 3561 * DAY
    later = renewed(renewed(FRESH, names=NAMES, now=moment - 2 * DAY), names=NAMES, now=moment)

    assert later.authority != FRESH.authority
    assert is_signed_by(later.serving.certificate_pem, later.authority.certificate_pem)
    assert bundle(later) == [
        parse_certificate(later.authority.certificate_pem),
        parse_certificate(FRESH.authority.certificate_pem),
    ]
    assert renewed(later, names=NAMES, now=moment + DAY) == later


def test_the_old_authority_leaves_the_bundle_when_it_has_expired() -> None:
    """Not before: nothing is gained by it, as its key is gone. Not after: caBundle does not grow for ever."""
    rotated = renewed(FRESH, names=NAMES, now=NOW + 3561 * DAY)
    later = renewed(rotated, names=NAMES, now=NOW + 3651 * DAY)

    assert bundle(later) == [parse_certificate(rotated.authority.certificate_pem)]
    assert (later.authority, later.serving) == (rotated.authority, rotated.serving)


def test_a_run_that_was_stopped_before_the_serving_certificate_is_finished_by_the_next() -> None:
    """The authority was stored and trusted; what is served is still the old one's, and is issued anew."""
    rotated = renewed(FRESH, names=NAMES, now=NOW + 3561 * DAY)
    stopped = replace(rotated, serving=FRESH.serving)
    later = renewed(stopped, names=NAMES, now=NOW + 3561 * DAY)

    assert is_signed_by(later.serving.certificate_pem, rotated.authority.certificate_pem)
    assert (later.authority, later.bundle_pem) == (rotated.authority, rotated.bundle_pem)


def test_another_name_renews_the_serving_certificate() -> None:
    """The Service was renamed, or an address came to it."""
    names = Names(NAMES.dns_names, frozenset(("127.0.0.1",)))
    later = renewed(FRESH, names=names, now=NOW)

    assert names_of(later.serving.certificate_pem) == names
    assert later.authority == FRESH.authority


def test_more_names_than_needed_are_kept() -> None:
    """A renewal by another caller with fewer names must not flap."""
    names = Names(frozenset((NAME, "b.example")), frozenset())
    more = renewed(FRESH, names=names, now=NOW)

    assert renewed(more, names=NAMES, now=NOW) == more


OTHER: Final = authority()
LEAF: Final = serving(OTHER)


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(replace(FRESH, authority=Authority(b"", b"")), id="a lost authority is replaced"),
        pytest.param(replace(FRESH, authority=Authority(b"junk", b"junk")), id="an unreadable authority is replaced"),
        pytest.param(
            replace(FRESH, authority=Authority(FRESH.authority.certificate_pem, OTHER.key_pem)),
            id="an authority with another's key is replaced",
        ),
        pytest.param(replace(FRESH, authority=Authority(*LEAF)), id="a certificate that is no authority is replaced"),
        pytest.param(
            replace(FRESH, authority=authority(now=NOW + 10 * DAY)), id="an authority from the future is replaced"
        ),
        pytest.param(replace(FRESH, serving=KeyPair(b"", b"")), id="a lost serving pair is replaced"),
        pytest.param(
            replace(FRESH, serving=KeyPair(FRESH.serving.certificate_pem, LEAF.key_pem)),
            id="a serving pair that does not match is replaced",
        ),
        pytest.param(replace(FRESH, serving=LEAF), id="a serving pair of another authority is replaced"),
        pytest.param(replace(FRESH, bundle_pem=b"junk"), id="an unreadable bundle is replaced"),
    ],
)
def test_what_is_broken_is_replaced(broken: Material) -> None:
    """Whatever somebody put into the Secrets, the next run leaves a whole that fits together, and then rests."""
    later = renewed(broken, names=NAMES, now=NOW)

    assert is_signed_by(later.serving.certificate_pem, later.authority.certificate_pem)
    assert bundle(later)[0] == parse_certificate(later.authority.certificate_pem)
    assert renewed(later, names=NAMES, now=NOW) == later


def test_no_names_at_all_are_refused() -> None:
    """There is nothing to issue for."""
    with pytest.raises(MaterialError, match="at least one DNS name or IP address"):
        renewed(None, names=Names(frozenset(), frozenset()), now=NOW)


def test_keys_do_not_show_in_a_printed_value() -> None:
    """Not in a traceback, not in a failing assertion of somebody's."""
    assert "PRIVATE" not in repr(FRESH)
