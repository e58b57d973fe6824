"""How a group of several Services changes its static address: what each may claim meanwhile, and when all have come.

It never writes and never tells time. ``docs/adr/0005-address-change.md`` tells why; ``reconciler/mover.py`` ends moves.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from sharedvip.ledger import GRACE, Claim, Heading, Ledger, Member, member_of
from sharedvip.model import Group, ServiceView, SharedValues
from sharedvip.parse import intended_address, shared_values, static_address
from sharedvip.wording import joined


def claimed_values(candidate: ServiceView, *, group: Group, is_update: bool) -> SharedValues:
    """What a candidate that the rules have nothing against shares: in a move still the old address.

    Args:
        candidate: The Service as it is to be.
        group: As the candidate meets it (``ledger.group_of``).
        is_update: Whether it writes with the version that it read: then it keeps alive what the ledger intends, as
            another request for the same Service, on its way, may carry it. Only the observed world ends a move.
    """
    asked, old = shared_values(candidate), group.static_address
    if not old:
        # Alone in its group it may go where it wants.
        return asked
    if goes_along(candidate, group):
        return replace(asked, static_address=old, intended_address=asked.static_address)
    intended = "" if asked.intended_address == old else asked.intended_address
    return replace(asked, intended_address=intended or (group.intended_address if is_update else ""))


def goes_along(candidate: ServiceView, group: Group) -> bool:
    """Whether it carries the address that its group is to move to, rather than the group's."""
    mine = static_address(candidate)
    return bool(mine) and mine != group.static_address and mine in {group.intended_address, intended_address(candidate)}


def with_heading(
    claims: Iterable[Claim], candidate: ServiceView, *, old: ServiceView | None, shared: SharedValues, now: datetime
) -> tuple[Claim, ...]:
    """The candidate's claims with where it goes, as of now if this request turns it; without, where nobody moves.

    Two requests for one Service may be on their way, and either may be lost: so a request that does not turn the
    Service leaves what the ledger knows of the other.

    Args:
        claims: All of its member's (``ledger.grow``).
        candidate: The Service as it is to be.
        old: As it is stored, None for who was not in the group.
        shared: What it claims to share (``claimed_values``).
        now: UTC.
    """
    every = tuple(claims)
    if shared.intended_address in {"", shared.static_address}:
        return tuple(claim._replace(heading=None) for claim in every)
    known, mine = _latest(every), static_address(candidate)
    was = old if old is not None and old.is_in(candidate.group) else None
    if was is None or static_address(was) != mine:
        known = Heading(shared.intended_address if was is None and _intends(candidate, shared) else mine, now)
    elif _intends(candidate, shared) and not _intends(was, shared):
        # One that turns it may be on its way too: that must be waited for, whatever this one wants.
        is_turning = known is not None and now - known.since <= GRACE
        known = Heading(known.address if known and is_turning else shared.intended_address, now)
    return tuple(claim._replace(heading=known) for claim in every)


def _intends(service: ServiceView, shared: SharedValues) -> bool:
    return intended_address(service) == shared.intended_address


def without_headings(claims: Iterable[Claim]) -> tuple[Claim, ...]:
    """The claims as they are when nobody moves."""
    return tuple(claim._replace(heading=None) for claim in claims)


def _latest(claims: Iterable[Claim]) -> Heading | None:
    return max((claim.heading for claim in claims if claim.heading), key=lambda each: each.since, default=None)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a move has come."""

    intended: str
    arrived: tuple[str, ...]
    """Services that carry the new address, sorted."""
    behind: tuple[str, ...]
    """Services that do not, or are not stored yet, sorted."""
    turning: tuple[str, ...]
    """Services that carry it, and that a request which was admitted lately may still turn back, sorted."""
    is_wanted: bool
    """Whether a stored Service carries or intends it, or a request to that end may still be stored."""
    looks_again_at: datetime | None = None
    """When nothing that was admitted so far can be on its way any more; None: nothing is that matters."""

    @property
    def is_complete(self) -> bool:
        """Whether the group may change its address now."""
        return bool(self.arrived) and not self.behind and not self.turning

    def __str__(self) -> str:
        """``2 of 3 Services carry 100.64.1.9; waits for 'api'``."""
        number = len(self.arrived) + len(self.behind)
        carry = f"{len(self.arrived)} of {number} Services carry {self.intended}"
        if self.behind:
            return f"{carry}; waits for {joined(self.behind)}"
        return f"{carry}; makes sure that {joined(self.turning)} stays so" if self.turning else carry


def progress(ledger: Ledger, services: Iterable[ServiceView], *, now: datetime) -> Progress:
    """How far the move of a ledger has come, by its stored Services; those that are being deleted count no more.

    Args:
        ledger: The group's.
        services: The members, and who has claimed and is not in the group yet.
        now: UTC, of before they were read.
    """
    live = {member_of(service): service for service in services}
    intended = ledger.shared.intended_address
    ways = [_way(ledger, member, live.get(member), now=now) for member in ledger.members]
    living = [way for way in ways if not way.is_deleting]
    matters = [way.heading.since for way in living if way.heading and (way.may_turn or way.may_want(intended))]
    matters += [way.asked_at for way in living if way.asked_at]
    return Progress(
        intended,
        arrived=tuple(way.service for way in living if way.carries(intended)),
        behind=tuple(way.service for way in living if not way.carries(intended)),
        turning=tuple(way.service for way in living if way.carries(intended) and way.may_turn),
        is_wanted=any(way.wants(intended) or way.may_want(intended) for way in living),
        looks_again_at=max(matters) + GRACE if matters else None,
    )


@dataclass(frozen=True, slots=True)
class _Way:
    """One member of a group that moves."""

    service: str
    stored: ServiceView | None
    heading: Heading | None
    """None also where it is older than the grace: what was admitted then is stored, or never will be."""
    asked_at: datetime | None
    """When an update was admitted that may still be stored over the version that it has; None: there is none."""

    @property
    def is_deleting(self) -> bool:
        return self.stored is not None and self.stored.is_deleting

    @property
    def may_turn(self) -> bool:
        """Whether a request was admitted for another address than the stored one."""
        return bool(self.heading and self.stored and self.heading.address != static_address(self.stored))

    def may_want(self, intended: str) -> bool:
        """Whether a request was admitted that carries or intends it: one that only intends it turns nobody."""
        return self.asked_at is not None or (self.heading is not None and self.heading.address == intended)

    def carries(self, intended: str) -> bool:
        return self.stored is not None and static_address(self.stored) == intended

    def wants(self, intended: str) -> bool:
        return self.stored is not None and intended in {static_address(self.stored), intended_address(self.stored)}


def _way(ledger: Ledger, member: Member, live: ServiceView | None, *, now: datetime) -> _Way:
    # Who is only to join may have been asked about twice: with the address, and then without.
    asked = [c.latest for c in ledger.claims_of(member) if c.may_be_on_its_way(live, now=now)]
    stored = live if live is not None and live.is_in(ledger.name) else None
    return _Way(member.service, stored, _recent(ledger, member, now), max(asked, default=None))


def _recent(ledger: Ledger, member: Member, now: datetime) -> Heading | None:
    found = _latest(ledger.claims_of(member))
    return found if found and now - found.since <= GRACE else None
