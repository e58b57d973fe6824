"""Addresses compare as addresses."""

import pytest

from sharedvip.addresses import canonical, family_of, parse_address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("100.64.196.75", "100.64.196.75", id="an IPv4 address has one spelling"),
        pytest.param("2001:DB8:0:0::1", "2001:db8::1", id="IPv6 letters are lowered and zeros left out"),
        pytest.param("2001:0db8::0001", "2001:db8::1", id="leading zeros go"),
        pytest.param("foo", "foo", id="a text that is no address stays as it is"),
        pytest.param("", "", id="no address stays none"),
        pytest.param("010.0.0.1", "010.0.0.1", id="leading zeros in IPv4 are ambiguous: no address"),
        pytest.param("::ffff:10.0.0.1", "::ffff:10.0.0.1", id="IPv4 in IPv6's clothes is no VIP"),
        pytest.param("fe80::1%eth0", "fe80::1%eth0", id="an address with a zone is no VIP"),
        pytest.param("10.0.0.1/32", "10.0.0.1/32", id="a network is no address"),
        pytest.param(" 10.0.0.1", " 10.0.0.1", id="a space makes it no address"),
    ],
)
def test_an_address_has_one_spelling(text: str, expected: str) -> None:
    """IPAddress objects are named so, and comparisons rest on it."""
    assert canonical(text) == expected


@pytest.mark.parametrize(
    ("text", "family"),
    [pytest.param("10.0.0.1", "IPv4", id="IPv4"), pytest.param("2001:db8::1", "IPv6", id="IPv6")],
)
def test_an_address_tells_its_family(text: str, family: str) -> None:
    """In the words of ``spec.ipFamilies``."""
    address = parse_address(text)

    assert address is not None
    assert family_of(address) == family


@pytest.mark.parametrize(
    "text", ["", "foo", "010.0.0.1", "::ffff:10.0.0.1", "fe80::1%eth0", "10.0.0.1/32", " 10.0.0.1"]
)
def test_what_no_vip_can_have_is_no_address(text: str) -> None:
    """Its spelling stays, its meaning is none."""
    assert parse_address(text) is None
