"""Which of a group's listeners the Controller's licence lets one virtual service serve; it never asks the Controller.

Below Enterprise a virtual service has one network profile and its rules know no protocol (``avi.md`` 3), so TCP and
UDP cannot share it. Then the protocol that came first is served as ever, the others say so in their condition: a
newcomer never costs those their VIP who have it. (Under AKO the whole group is refused by the Controller.)
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeVar

from reconciler.profiles import has_overrides
from sharedvip.ledger import Claim
from sharedvip.model import Listener

Serving = TypeVar("Serving")


class Licensed(NamedTuple):
    """The listeners, told apart."""

    protocol: str
    """The one that is served, "" for all."""
    without: frozenset[Listener]
    """Those that cannot be served."""


def licensed(serving: Mapping[Listener, Serving], claims: Iterable[Claim], *, tier: str) -> Licensed:
    """What one virtual service can serve of these listeners, by when each was claimed.

    Args:
        serving: The listeners that are to be served.
        claims: The ledger's.
        tier: ``default_license_tier``; "" while nobody knows it: then nobody is left out.
    """
    protocols = {listener.protocol for listener in serving}
    if not tier or has_overrides(tier) or len(protocols) < 2:  # noqa: PLR2004 - one protocol is what every licence serves
        return Licensed("", frozenset())
    since = sorted((claim.claimed_at, claim.listener.protocol) for claim in claims if claim.listener in serving)
    first = since[0][1] if since else min(protocols)
    return Licensed(first, frozenset(listener for listener in serving if listener.protocol != first))


def refusal(licence: Licensed, listeners: Iterable[Listener], *, tier: str) -> str:
    """Why these are not served, for the people who own them."""
    named = ", ".join(map(str, sorted(listeners)))
    return (
        f"{named} cannot be served beside {licence.protocol}: the Avi Controller's licence tier {tier or 'none'} has "
        "one protocol per virtual service; use another sharing key for it, or an Enterprise licence"
    )
