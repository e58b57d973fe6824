"""What a Service alone in its group is about to share, by requests that may still be stored; it never writes.

Alone, a Service may change what its group shares, and the ledger says so before the Service is stored. Until then, and
until nothing that was admitted can be stored any more, no other request may take out of the ledger what one of those
may carry: its address would be free for others, and be stored all the same.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from sharedvip.ledger import GRACE, Claim, Ledger, is_settled_in, member_of
from sharedvip.model import Group, ServiceView, SharedValues
from sharedvip.moving import claimed_values
from sharedvip.parse import shared_values, static_address


def change_under_way(ledger: Ledger | None, stored: ServiceView | None, *, now: datetime) -> SharedValues | None:
    """What a Service that is alone in a group is to share, by a request that was admitted and is not stored yet.

    It may still be stored, or never: who changes the Service meanwhile leaves alone what the ledger says of it. None:
    the ledger knows of no such request, or of one that was to replace another version, or whose time is over, and so
    never will be stored.

    Args:
        ledger: Of the group that it is in, or asks for.
        stored: The Service as it is, with its version.
        now: UTC.
    """
    if ledger is None or stored is None or ledger.members != (member_of(stored),):
        return None
    is_open = any(claim.may_be_on_its_way(stored, now=now) for claim in ledger.claims)
    is_stored = (
        stored.is_in(ledger.name) and is_settled_in(ledger, stored) and ledger.addresses <= {static_address(stored)}
    )
    return ledger.shared if is_open and not is_stored else None


def is_outdated(ledger: Ledger | None, old: ServiceView, *, now: datetime) -> bool:
    """Whether the ledger knows of a request over another version than the one that an update was computed from.

    One of the two is never stored, and only the Service itself tells which: an update over an old version, which a
    slow webhook before us had kept, must not write over the claims of one that is on its way.
    """
    claims = ledger.held_by(member_of(old)) if ledger else ()
    return any(c.replaces not in {"", old.resource_version} and now - c.latest <= GRACE for c in claims)


def values_to_claim(
    candidate: ServiceView, *, old: ServiceView | None, group: Group, under_way: SharedValues | None
) -> SharedValues:
    """What a candidate is to claim to share.

    Args:
        candidate: The Service as it is to be.
        old: As it is stored, None for a create.
        group: As the candidate meets it (``ledger.group_of``).
        under_way: See ``change_under_way``.
    """
    if under_way is not None and old is not None and _is_unchanged(candidate, old):
        return under_way
    claimed = claimed_values(candidate, group=group, is_update=old is not None)
    if under_way is not None and claimed == replace(under_way, intended_address=""):
        # As in any move: only the observed world ends it.
        return under_way
    return claimed


def _is_unchanged(candidate: ServiceView, old: ServiceView) -> bool:
    return old.is_in(candidate.group) and shared_values(candidate) == shared_values(old)


def is_overtaken(
    claimed: SharedValues, *, candidate: ServiceView, old: ServiceView | None, under_way: SharedValues | None
) -> bool:
    """Whether a claim would take out of the ledger what a request on its way may carry.

    Args:
        claimed: See ``values_to_claim``.
        candidate: The Service as it is to be.
        old: The Service as it is stored.
        under_way: See ``change_under_way``.
    """
    if under_way is None or old is None or claimed == under_way:
        return False
    # Alone in a move that others have begun it may go where that leads: what it leaves, it is stored with.
    goes = replace(under_way, static_address=under_way.intended_address, intended_address="")
    return claimed != goes or not old.is_in(candidate.group) or shared_values(old).at_rest != under_way.at_rest


def asked_again(
    claims: Iterable[Claim], candidate: ServiceView, *, old: ServiceView | None, now: datetime
) -> tuple[Claim, ...]:
    """A member's claims: asked for now, over the version it has, where the candidate changes what it shares.

    Also where the ledger says it already, by a request before: that one's time may end before this one's does. When
    they were made stays as it was: a small licence serves the protocol that was claimed first.
    """
    if old is None or _is_unchanged(candidate, old):
        return tuple(claims)
    wanted = set(candidate.listeners)
    return tuple(_asked(c, over=old, now=now) if c.listener in wanted else c for c in claims)


def _asked(claim: Claim, *, over: ServiceView, now: datetime) -> Claim:
    is_new = claim.claimed_at == now
    return claim if is_new else claim._replace(replaces=over.resource_version, asked_at=now)
