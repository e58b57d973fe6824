"""Addresses compare as addresses; nothing here knows where one was written."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

LONGEST: Final = 45
"""``0000:0000:0000:0000:0000:ffff:255.255.255.255``. Users may write 256 KiB into an annotation, and of such texts a
cache must keep none: 4,096 of them are a GiB."""


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """The address, or None where the text is none that a VIP can have (a zone or an IPv4 in IPv6's clothes)."""
    return _parse(text) if len(text) <= LONGEST else None


def canonical(text: str) -> str:
    """The one spelling of an address, as ``IPAddress`` objects are named; the text itself where it is none."""
    return _canonical(text) if len(text) <= LONGEST else text


@lru_cache(maxsize=4096)  # 5 us without it, and a decision asks some thirty times for the same few
def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and (address.scope_id or address.ipv4_mapped):
        return None
    return address


@lru_cache(maxsize=4096)  # likewise
def _canonical(text: str) -> str:
    address = _parse(text)
    return text if address is None else str(address)


def family_of(address: IPv4Address | IPv6Address) -> str:
    """``IPv4`` or ``IPv6``, as in ``spec.ipFamilies``."""
    return f"IPv{address.version}"
