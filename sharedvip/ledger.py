"""The ledger as values: who claims what, how a claim grows, when it may shrink; it never reads, writes or tells time.

Admission only grows a claim; only the observed world shrinks it. ``docs/adr/0001-ledger.md`` tells why, and
``cluster/shared_vips.py`` how a ``Ledger`` is stored as a ``SharedVIP``.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from sharedvip.keys import MAX_KEY_LENGTH
from sharedvip.model import Group, GroupName, Listener, Peer, ServiceView, SharedValues
from sharedvip.parse import shared_values

GRACE = timedelta(seconds=65)
"""How long a claim may wait for its Service: the API server's longest request (60 s) and 5 s for its clock."""

_PLAIN_KEY = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_NOT_IN_A_NAME = re.compile(r"[^a-z0-9]+")


class Heading(NamedTuple):
    """Where a member goes in a move: the address that its latest request carries or intends, and since when (UTC)."""

    address: str
    since: datetime


class Claim(NamedTuple):
    """One listener of a group, held by one incarnation of one Service since ``claimed_at`` (UTC, microseconds).

    The time tells a claim from an earlier one of the same listener by the same member, so it is never cut to seconds:
    a Service can be stored, shown, changed and changed back within one, and the claim made last would be released for
    the past of the first (found by ``tests/sharedvip/test_ledger_machine.py``).
    """

    listener: Listener
    service: str
    uid: str
    claimed_at: datetime
    heading: Heading | None = None
    """Only while the group moves to another address, and only of who had a part in it; on all claims of a member."""
    replaces: str = ""
    """The ``resourceVersion`` of the Service that the update is to replace which claimed it last: over another one it
    is never stored. "" of a create, which a Service that is there has stored."""
    asked_at: datetime | None = None
    """When that update was admitted (UTC, microseconds), if it found the claim there; None: it made it."""
    is_reserved: bool = False
    """Whether it only keeps others from the listener: its Service is in conflict, so none of it is served."""

    def may_be_on_its_way(self, service: ServiceView | None, *, now: datetime) -> bool:
        """Whether the update that claimed it may still be stored, by its Service as it is now, read live."""
        return may_be_stored(service, uid=self.uid, replaces=self.replaces, since=self.latest, now=now)

    @property
    def latest(self) -> datetime:
        """When it was asked for last, UTC."""
        return self.asked_at or self.claimed_at


def may_be_stored(service: ServiceView | None, *, uid: str, replaces: str, since: datetime, now: datetime) -> bool:
    """Whether an update that was admitted may still come, by its Service as it is now, read live.

    Args:
        service: None where it is gone.
        uid: Of the incarnation that was updated.
        replaces: The version that the update is to replace; "" for none, of a create.
        since: When it was admitted, UTC.
        now: UTC.
    """
    is_over = service is not None and (service.uid, service.resource_version) == (uid, replaces)
    return bool(replaces) and is_over and now - since <= GRACE


def is_young(claims: Iterable[Claim], *, now: datetime) -> bool:
    """Whether all of them were made within the grace: whoever made them may still have to give them back."""
    return all(now - claim.claimed_at <= GRACE for claim in claims)


class Member(NamedTuple):
    """One incarnation of a Service: what writes its claims, and alone may change them."""

    service: str
    uid: str

    @property
    def field_manager(self) -> str:
        """Its name at the API server: at most 63 + 1 + 36 of the 128 characters allowed there."""
        return f"{self.service}.{self.uid}"


@dataclass(frozen=True, slots=True)
class Ledger:
    """What a group's ``SharedVIP`` says; ``claims`` and ``reserved`` sorted by listener, a listener never twice."""

    name: GroupName
    shared: SharedValues = field(default_factory=SharedValues)
    claims: tuple[Claim, ...] = ()
    """Of members."""
    reserved: tuple[Claim, ...] = ()
    """Of Services in conflict, while they add a listener and for as long as they have it: nobody else is to get it.
    Whoever has no more than these is no member, and has no say in what the group shares."""
    vip: str = ""
    """The address the group lives on at Avi, "" before there is one."""
    uid: str = ""
    resource_version: str = ""
    is_deleting: bool = False
    has_finalizer: bool = False

    def claims_of(self, member: Member) -> tuple[Claim, ...]:
        """The member's claims, sorted by listener."""
        return _of(member, self.claims)

    @property
    def held(self) -> tuple[Claim, ...]:
        """What nobody else may claim: all claims and what is reserved, sorted by listener."""
        return tuple(sorted((*self.claims, *self.reserved))) if self.reserved else self.claims

    def reserved_by(self, member: Member) -> tuple[Claim, ...]:
        """What is reserved for one Service, sorted by listener."""
        return _of(member, self.reserved)

    def held_by(self, member: Member) -> tuple[Claim, ...]:
        """What one member, or one that is none, keeps others from; sorted by listener."""
        return _of(member, self.held)

    def with_held(self, held: Iterable[Claim]) -> "Ledger":
        """The same with these and no others, sorted."""
        ordered = sorted(held)
        claims = tuple(claim for claim in ordered if not claim.is_reserved)
        return replace(self, claims=claims, reserved=tuple(claim for claim in ordered if claim.is_reserved))

    @property
    def holders(self) -> tuple[Member, ...]:
        """Who keeps others from anything, sorted."""
        return tuple(sorted({Member(claim.service, claim.uid) for claim in self.held}))

    @property
    def members(self) -> tuple[Member, ...]:
        """Who claims anything, sorted."""
        return tuple(sorted({Member(claim.service, claim.uid) for claim in self.claims}))

    @property
    def members_by_age(self) -> tuple["Member", ...]:
        """All of them, who claimed first first."""
        eldest = sorted(self.claims, key=lambda claim: claim.claimed_at)
        return tuple(dict.fromkeys(Member(claim.service, claim.uid) for claim in eldest))

    @property
    def is_moving(self) -> bool:
        """Whether its members may carry either of two addresses."""
        return self.shared.intended_address not in {"", self.shared.static_address}

    @property
    def addresses(self) -> frozenset[str]:
        """What it needs a lock on: its static address, and the one that it moves to."""
        return self.shared.addresses

    @property
    def addresses_in_use(self) -> frozenset[str]:
        """Those, and the one it lives on: a group whose last static address was taken out stays where it is."""
        return self.addresses | ({self.vip} - {""} if self.claims else frozenset[str]())


class Release(NamedTuple):
    """A member's claims as they are to be from now on; none: the member leaves the group."""

    member: Member
    keep: tuple[Claim, ...]


def _of(member: Member, claims: Iterable[Claim]) -> tuple[Claim, ...]:
    return tuple(claim for claim in claims if (claim.service, claim.uid) == member)


def member_of(service: ServiceView | Peer) -> Member:
    """The member that a Service is, or would be."""
    name = service.service if isinstance(service, Peer) else service.name.name
    return Member(name, service.uid)


def object_name(key: str) -> str:
    """The name of the group's ``SharedVIP``: the key where it may be a name, else a readable form and a hash.

    Two keys never share a name: a plain key has no dot, and 16 hexadecimal digits of SHA-256 tell the others apart.
    """
    # What is too long for a key is asked for seldom, and may be 256 KiB long: not to be remembered 4,096 times.
    return _object_name(key) if len(key) <= MAX_KEY_LENGTH else _object_name.__wrapped__(key)


@lru_cache(maxsize=4096)
def _object_name(key: str) -> str:
    if _PLAIN_KEY.fullmatch(key):
        return key
    readable = _NOT_IN_A_NAME.sub("-", key.lower()).strip("-")
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    return f"{readable or 'key'}.{digest}"


def grow(ledger: Ledger | None, candidate: ServiceView, *, old: ServiceView | None, now: datetime) -> tuple[Claim, ...]:
    """What the candidate's member must claim: all it had (in the ledger, and as ``old``) and all it asks for.

    "Allowed" does not mean "stored": a later webhook or a quota may still refuse, and then the old listeners live on.
    A listener that this request adds is claimed as of now, even where an earlier claim of it is still there: that
    one may be about to be released. The others keep their time. What another member has claimed was never this one's,
    though it may be stored with it: it came past admission, and is about to be put right. What was reserved for it, it
    claims: a request that was admitted before may still be stored.
    """
    member = member_of(candidate)
    known = {c.listener: c._replace(is_reserved=False) for c in (ledger.held_by(member) if ledger else ())}
    others = {claim.listener for claim in (ledger.held if ledger else ())} - known.keys()
    before = set(old.listeners) if old is not None and old.is_in(candidate.group) else set[Listener]()
    before -= others
    claims = dict(known)
    for listener in before | set(candidate.listeners):
        if listener not in known or listener not in before:
            # Who claims for a stored Service, and for no request, leaves what the ledger knows of one on its way.
            over = old.resource_version if old else known[listener].replaces if listener in known else ""
            claims[listener] = Claim(listener, *member, now, replaces=over)
    return tuple(sorted(claims.values()))


def reserve(
    ledger: Ledger | None, candidate: ServiceView, *, old: ServiceView, now: datetime, is_in_vain: bool = False
) -> tuple[Claim, ...]:
    """What is to be held for a Service in conflict: all that is, and the listeners that this update adds.

    What it is stored with already came past admission, and is known by that alone. ``is_in_vain``: what another request
    has claimed of them is about to be given back, and only reserved then.
    """
    member, added = member_of(candidate), set(candidate.listeners) - set(old.listeners)
    known = {claim.listener: claim for claim in (ledger.held_by(member) if ledger else ())}
    for listener in added:
        # Also where it is there: that one may be about to be released.
        there = known.get(listener, Claim(listener, *member, now, is_reserved=True))
        is_reserved = there.is_reserved or is_in_vain
        known[listener] = there._replace(
            claimed_at=now, replaces=old.resource_version, asked_at=None, is_reserved=is_reserved
        )
    return tuple(sorted(known.values()))


def given_back(before: Ledger | None, live: Ledger, member: Member) -> tuple[Claim, ...]:
    """What a member is to hold once a claim is given back, sorted by listener.

    Args:
        before: As it was claimed over, None: there was no ledger.
        live: As it is now. What another request has reserved since stays; what was released since is not brought back.
        member: Whose claim it was.
    """
    held = {claim.listener for claim in live.held_by(member)}
    had = {c.listener: c for c in (before.held_by(member) if before else ()) if c.listener in held}
    return tuple(sorted((had | {claim.listener: claim for claim in live.reserved_by(member)}).values()))


def confirmed_claims(ledger: Ledger, services: Iterable[ServiceView]) -> frozenset[Claim]:
    """The claims, reserved ones too, whose listener the world shows: once shown, its absence means it was given up."""
    shown = {(member_of(s), listener) for s in services if s.is_in(ledger.name) for listener in s.listeners}
    return frozenset(c for c in ledger.held if (Member(c.service, c.uid), c.listener) in shown)


def is_given_up(ledger: Ledger, claim: Claim, stored: ServiceView, *, now: datetime) -> bool:
    """Whether a claim's Service is stored without the listener, and no update over the version it has wants that.

    Args:
        ledger: What is claimed.
        claim: One of the ledger's.
        stored: The claim's Service, read live after the ledger.
        now: UTC, of before that.
    """
    return claim not in confirmed_claims(ledger, [stored]) and not claim.may_be_on_its_way(stored, now=now)


def shrink(
    ledger: Ledger, services: Iterable[ServiceView], *, confirmed: frozenset[Claim], now: datetime
) -> tuple[Release, ...]:
    """Which members hold more than the world shows, sorted: at once what was shown before, the rest after the grace.

    Args:
        ledger: What is claimed.
        services: All Services of the namespace that carry the annotation, as observed.
        confirmed: Claims that were shown at some earlier time (see ``confirmed_claims``).
        now: UTC.
    """
    backed = confirmed_claims(ledger, services)
    stale = {c for c in ledger.held if c not in backed and (c in confirmed or now - c.claimed_at > GRACE)}
    return tuple(
        Release(member, tuple(c for c in ledger.held_by(member) if c not in stale))
        for member in ledger.holders
        if any(c in stale for c in ledger.held_by(member))
    )


def is_accepted(ledger: Ledger | None, service: ServiceView) -> bool:
    """Whether the group, as admitted, includes all that the Service asks for."""
    if ledger is None or not service.is_member or service.group != ledger.name:
        return False
    claimed = {claim.listener for claim in ledger.claims_of(member_of(service))}
    return claimed.issuperset(service.listeners) and _has_shared_values(ledger, service)


def is_settled_in(ledger: Ledger, stored: ServiceView, *, was_moving: bool = False) -> bool:
    """Whether a Service is stored with what its group shares, so that no request for it is open that changes that.

    In a move too, which a newcomer may just have begun with its claim: then it still has the old address.

    Args:
        ledger: The group's, with that claim.
        stored: Read after it.
        was_moving: Whether the group was on that very move before: then who has the new address has arrived.
    """
    is_there = was_moving or shared_values(stored).at_rest == ledger.shared.at_rest
    return is_there and _has_shared_values(ledger, stored)


def _has_shared_values(ledger: Ledger, service: ServiceView) -> bool:
    values, shared = shared_values(service), ledger.shared
    if ledger.is_moving and values.static_address == shared.intended_address:
        values = replace(values, static_address=shared.static_address)
    # Nobody has to say where the group goes.
    return replace(values, intended_address=values.intended_address or shared.intended_address) == shared


def group_of(
    name: GroupName, *, ledger: Ledger | None, services: Iterable[ServiceView], candidate: ServiceView
) -> Group:
    """The group as the candidate meets it: what is claimed and what is stored, without the candidate itself.

    Args:
        name: The group that the candidate asks for.
        ledger: Its ledger, None where there is none yet.
        services: The group's stored members, in any order; terminating ones still hold their ports.
        candidate: Left out by name: a namesake is itself, before the update, or before it was created anew.
    """
    others = [s for s in services if s.is_in(name) and s.name != candidate.name]
    static, intended = _addresses(ledger, others, candidate)
    peers = [_peer(s, static, intended=intended) for s in others]
    if ledger is None:
        return Group(name, tuple(sorted(peers, key=_peer_order)))
    peers += _pending(ledger, {member_of(peer): peer for peer in peers}, candidate)
    return Group(
        name,
        tuple(sorted(peers, key=_peer_order)),
        vip=ledger.vip,
        static_address=static,
        intended_address=intended,
        is_built=ledger.has_finalizer,
    )


def _peer(service: ServiceView, static_address: str, *, intended: str) -> Peer:
    """In a move everybody is served on the old address, also who carries the new one."""
    values = shared_values(service)
    if intended and values.static_address == intended:
        values = replace(values, static_address=static_address, intended_address=intended)
    return Peer(*member_of(service), listeners=tuple(sorted(set(service.listeners))), shared=values)


def _addresses(ledger: Ledger | None, others: Iterable[ServiceView], candidate: ServiceView) -> tuple[str, str]:
    """The group's address and the one that it moves to, by what others have claimed.

    Where the ledger has lost the second (a hand has edited it), a stored Service that intends it keeps it alive: who
    carries it already would be in conflict otherwise.
    """
    if ledger is None or all(member.service == candidate.name.name for member in ledger.members):
        return "", ""
    static = ledger.shared.static_address
    if ledger.is_moving:
        return static, ledger.shared.intended_address
    if not static or not ledger.has_finalizer:
        return static, ""
    # Of members: what others intend, who came past admission, is no word of the group's.
    said = [shared_values(service) for service in others if ledger.claims_of(member_of(service))]
    intended = {values.intended_address for values in said if values.static_address == static} - {""}
    return static, intended.pop() if len(intended) == 1 else ""


def _pending(ledger: Ledger, stored: Mapping[Member, Peer], candidate: ServiceView) -> Iterator[Peer]:
    """What is claimed and not stored: by members on their way, and by stored Services that are being changed."""
    for member in ledger.holders:
        peer = stored.get(member)
        shown = peer.listeners if peer else ()
        claimed = tuple(c.listener for c in ledger.held_by(member) if c.listener not in shown)
        if claimed and member.service != candidate.name.name:
            yield Peer(*member, listeners=claimed, shared=peer.shared if peer else ledger.shared, is_pending=True)


def _peer_order(peer: Peer) -> tuple[str, str, bool]:
    return peer.service, peer.uid, peer.is_pending
