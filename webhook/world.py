"""What admission knows: the caches, and the API server where they are not enough; it never writes and never decides.

A cache is always late. What it shows is good enough to say yes (the claim is checked by the API server itself), never
to say no: before a refusal, everything that stands in the way is looked at live (``docs/adr/0001-ledger.md``).
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from starlette.types import Receive

from cluster.api import KubernetesApi
from cluster.services import ServiceCache, read_service
from cluster.shared_vip_cache import SharedVipCache
from cluster.shared_vips import SharedVipStore
from sharedvip.decide import decide, existing_denials, new_denials
from sharedvip.holders import address_holders, as_joining
from sharedvip.ledger import GRACE, Claim, Ledger, Member, group_of, is_accepted, is_given_up, member_of
from sharedvip.model import (
    AddressHolder,
    Denial,
    Group,
    GroupName,
    Policy,
    ServiceName,
    ServiceView,
    SharedValues,
    Situation,
)
from sharedvip.parse import shared_values, static_address
from sharedvip.turning import change_under_way, is_outdated, is_overtaken, values_to_claim
from webhook.caller import waiting
from webhook.held import HeldAddresses

PATIENCE_SECONDS = 1.0
"""How long to wait for what is on its way: a create takes some 10 ms from its claim to the watch."""
_LOOKS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: the Service as it is to be, and as it is stored (None for a create)."""

    candidate: ServiceView
    old: ServiceView | None
    is_dry_run: bool = False
    patience_seconds: float = PATIENCE_SECONDS
    """How long it may wait for others: less where its caller is in a hurry, or the refusal would come too late."""
    caller: Receive = waiting
    """By which its caller says that it is gone."""

    @property
    def group(self) -> GroupName:
        """The group that the candidate asks for; only for one that asks."""
        return GroupName(self.candidate.name.namespace, self.candidate.sharing_key or "")


@dataclass(frozen=True, slots=True)
class View:
    """The group as it is known at one moment."""

    ledger: Ledger | None
    services: tuple[ServiceView, ...]
    holders: tuple[AddressHolder, ...]
    policy: Policy
    at: datetime
    """UTC."""
    intended_holders: tuple[AddressHolder, ...] = ()
    is_live: bool = False
    """Whether all that speaks against the candidate was looked at live."""
    is_forcing: bool = False
    """Whether a claim may take over what it meets: only what no member owns was in the way."""

    def situation(self, asked: Asked) -> Situation:
        """What the rules look at."""
        return Situation(
            self.group(asked),
            self.holders,
            self.policy,
            self.intended_holders,
            is_member=self.has_accepted(asked),
        )

    def has_accepted(self, asked: Asked) -> bool:
        """Whether the Service as it is stored is a member of the candidate's group."""
        return asked.old is not None and is_accepted(self.ledger, asked.old)

    def was_accepted_before(self, asked: Asked) -> bool:
        """Likewise without what was claimed, or asked for again, by requests that may still come to nothing."""
        old, ledger = asked.old, self.ledger
        if old is None or ledger is None or not self.has_accepted(asked):
            return False
        held = (claim for claim in ledger.claims_of(member_of(old)) if claim.asked_at is None)
        return {c.listener for c in held if not c.may_be_on_its_way(old, now=self.at)}.issuperset(old.listeners)

    def group(self, asked: Asked) -> Group:
        """The group as the candidate meets it."""
        return group_of(asked.group, ledger=self.ledger, services=self.services, candidate=asked.candidate)

    def shared(self, asked: Asked) -> SharedValues:
        """What the candidate is to claim to share."""
        under_way, group = self.change_under_way(asked), self.group(asked)
        return values_to_claim(asked.candidate, old=asked.old, group=group, under_way=under_way)

    def change_under_way(self, asked: Asked) -> SharedValues | None:
        """What the candidate's group is to share by another request for it, which may still be stored."""
        return change_under_way(self.ledger, asked.old, now=self.at)

    def is_overtaken(self, asked: Asked) -> bool:
        """Whether another request for the candidate, on its way, makes its group share something else."""
        under_way = self.change_under_way(asked)
        # Nearly always None: then nobody has to look at the group once more.
        return under_way is not None and is_overtaken(
            self.shared(asked), candidate=asked.candidate, old=asked.old, under_way=under_way
        )

    def is_outdated(self, asked: Asked) -> bool:
        """Whether the ledger knows of a request over another version than the one that this was computed from."""
        return asked.old is not None and is_outdated(self.ledger, asked.old, now=self.at)

    def has_another_on_its_way(self, asked: Asked) -> bool:
        """Whether another request, over the same version, may be stored."""
        claims = self.ledger.claims_of(member_of(asked.candidate)) if self.ledger else ()
        return any(claim.may_be_on_its_way(asked.old, now=self.at) for claim in claims)

    def denials(self, asked: Asked) -> tuple[Denial, ...]:
        """The new violations."""
        return new_denials(asked.candidate, old=asked.old, situation=self.situation(asked))

    def is_only_pending(self, asked: Asked) -> bool:
        """Whether nothing stands in the way but what is on its way itself."""
        return not new_denials(asked.candidate, old=asked.old, situation=self._settled(asked))

    def is_old_only_pending(self, asked: Asked) -> bool:
        """Likewise of what an update leaves as it was."""
        return not existing_denials(asked.candidate, old=asked.old, situation=self._settled(asked))

    def _settled(self, asked: Asked) -> Situation:
        """Without what is on its way itself."""
        situation = self.situation(asked)
        stored = tuple(peer for peer in situation.group.peers if not peer.is_pending)
        return replace(
            situation,
            group=replace(situation.group, peers=stored),
            address_holders=tuple(holder for holder in situation.address_holders if not holder.is_pending),
            intended_holders=tuple(holder for holder in situation.intended_holders if not holder.is_pending),
        )


@dataclass(frozen=True, slots=True)
class Look:
    """The group as it is now."""

    view: View
    """Without what is stale."""
    stale: tuple[Claim, ...] = ()
    """Claims in the way of which nothing will ever come: their Service is gone, or never came within the grace."""
    stored: ServiceView | None = None
    """The Service of the candidate's name, if one is there."""


class World:
    """The caches and the live look."""

    def __init__(
        self,
        api: KubernetesApi,
        *,
        services: ServiceCache,
        ledgers: SharedVipCache,
        policy: Policy,
        now: Callable[[], datetime],
    ) -> None:
        """Put together.

        Args:
            api: For the live look.
            services: Kept in step by somebody else.
            ledgers: Likewise.
            policy: What the platform engineer decided.
            now: UTC.
        """
        self._api = api
        self._store = SharedVipStore(api)
        self.held = HeldAddresses(api, services)
        """Who holds an address, live."""
        self._services = services
        self._ledgers = ledgers
        self._policy = policy
        self.now = now
        """UTC."""

    @property
    def has_synced(self) -> bool:
        """Whether both caches were complete at least once."""
        return self._services.reflector.has_synced and self._ledgers.has_synced

    def staleness_seconds(self) -> float:
        """Since the API server last told anything, of the cache that is worse off."""
        return max(self._services.reflector.staleness_seconds(), self._ledgers.staleness_seconds())

    def cached(self, asked: Asked) -> View:
        """The group by the caches; no waiting."""
        group, (address, intended) = asked.group, asked_addresses(asked)
        return View(
            self._ledgers.get(group),
            self._services.members(group),
            self._holders(group, asked.candidate.name, address),
            self._policy,
            self.now(),
            self._holders(group, asked.candidate.name, intended),
        )

    def is_still(self, view: View, group: GroupName, candidate: ServiceName, addresses: tuple[str, str]) -> bool:
        """Whether nothing was told since the caches gave that view of the group; by identity: no record is changed.

        Args:
            view: The caches', of ``cached``.
            group: Whose it is.
            candidate: For whom.
            addresses: Those of ``asked_addresses``.
        """
        if self._services.members(group) is not view.services or self._ledgers.get(group) is not view.ledger:
            return False
        address, intended = addresses
        # Most have none, and then nobody else can hold it.
        return not (address or intended) or (
            self._holders(group, candidate, address) == view.holders
            and self._holders(group, candidate, intended) == view.intended_holders
        )

    def alone(self, asked: Asked) -> Situation:
        """A group of which nothing is known: all that a candidate meets that cannot join one."""
        return Situation(Group(asked.group), policy=self._policy)

    async def exists(self, name: ServiceName) -> bool:
        """Whether a Service is there, live; nearly always none is, and then etcd is not asked."""
        is_likely = await read_service(self._api, name, is_exact=False) is not None
        return is_likely and await self.service(name) is not None

    async def service(self, name: ServiceName) -> ServiceView | None:
        """One Service, live."""
        return await read_service(self._api, name)

    async def stored_member(self, member: Member, *, namespace: str) -> ServiceView | None:
        """A member as it is stored, live, in its group or not; None where it is not."""
        stored = await self.service(ServiceName(namespace, member.service))
        return stored if stored is not None and member_of(stored) == member else None

    async def ledger(self, group: GroupName) -> Ledger | None:
        """The group's ledger, live."""
        return await self._store.read(group)

    async def has_gone(self, member: Member, *, namespace: str) -> bool:
        """Whether a member came and went unseen: the next look knows it."""
        return await self._services.has_gone_unseen(ServiceName(namespace, member.service), member.uid)

    def members(self, group: GroupName) -> tuple[ServiceView, ...]:
        """The group's Services by the cache."""
        return self._services.members(group)

    async def moved(self, seconds: float) -> None:
        """Wait until a cache changes, at most so long."""
        changes = [self._services.reflector.next_change(), self._ledgers.reflector.next_change()]
        tasks = [asyncio.ensure_future(change) for change in changes]
        try:
            await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()

    async def look(self, asked: Asked) -> Look:
        """All that may stand in the way, live: no Service is named in a refusal before it was looked at.

        Raises:
            ClusterError: The API server could not be asked.
        """
        ledger, addresses = await self.ledger(asked.group), asked_addresses(asked)
        shown: dict[str, tuple[AddressHolder, ...]] = {}
        held: dict[str, tuple[AddressHolder, ...]] = {}
        in_the_way = _in_the_way(asked, ledger)
        seen, now = self._seen(in_the_way), self.now()
        wanted = {asked.candidate.name, *(ServiceName(asked.group.namespace, claim.service) for claim in in_the_way)}
        live: dict[ServiceName, ServiceView | None] = {}
        while True:
            live |= await self._services_now(wanted - live.keys())
            # Of the same moment as the members below: a Service that leaves meanwhile is one or the other, never none.
            now_shown = {one: self._holders(asked.group, asked.candidate.name, one, live) for one in addresses}
            if now_shown != shown:
                shown, held = now_shown, {one: await self.held.still(by, one) for one, by in now_shown.items()}
                continue
            holders, intended_holders = (as_joining(held[one], ledger, live, now=now) for one in addresses)
            stale = tuple(claim for claim in in_the_way if _is_stale(claim, ledger, live, seen, now=now))
            services = _merged(self._services.members(asked.group), live)
            view = View(_without(ledger, stale), services, holders, self._policy, now, intended_holders, is_live=True)
            wanted |= _named(asked, view)
            if wanted <= live.keys():
                return Look(view, stale, live[asked.candidate.name])

    async def standing(self, ledger: Ledger, claims: Sequence[Claim]) -> dict[Claim, bool]:
        """Of claims, those that somebody in the group stands behind or may yet, live; each with whether he is stored.

        Raises:
            ClusterError: The API server could not be asked.
        """
        seen, now = self._seen(claims), self.now()
        live = await self._services_now({ServiceName(ledger.name.namespace, claim.service) for claim in claims})
        left = [claim for claim in claims if not _is_stale(claim, ledger, live, seen, now=now)]
        stored = {claim: _stored(claim, ledger, live) for claim in left}
        return {claim: service is not None and service.is_in(ledger.name) for claim, service in stored.items()}

    def _seen(self, claims: Iterable[Claim]) -> frozenset[Claim]:
        """Asked before the Services are read: one that is stored, and seen, while they are read is not gone."""
        return frozenset(claim for claim in claims if self._services.was_seen(claim.uid))

    async def _services_now(self, names: Iterable[ServiceName]) -> dict[ServiceName, ServiceView | None]:
        slots = asyncio.Semaphore(_LOOKS_AT_ONCE)

        async def read(name: ServiceName) -> tuple[ServiceName, ServiceView | None]:
            async with slots:
                return name, await read_service(self._api, name)

        return dict(await asyncio.gather(*map(read, sorted(names))))

    def _holders(
        self,
        group: GroupName,
        candidate: ServiceName,
        address: str,
        live: Mapping[ServiceName, ServiceView | None] | None = None,
    ) -> tuple[AddressHolder, ...]:
        """By the cache, and by what was read of Services since."""
        if not address:
            return ()
        return address_holders(
            group,
            address,
            candidate=candidate,
            services=_merged(self._services.by_address(address), live or {}),
            groups=self._ledgers.by_address(address),
        )


def asked_addresses(asked: Asked) -> tuple[str, str]:
    """What the candidate has, and what it intends to have where that is another; "" for none."""
    return static_address(asked.candidate), shared_values(asked.candidate).intended_address


def _in_the_way(asked: Asked, ledger: Ledger | None) -> tuple[Claim, ...]:
    """Other members' claims that the candidate may fall out with: all of them where the shared values differ."""
    if ledger is None:
        return ()
    others = (c for c in ledger.claims if Member(c.service, c.uid) != member_of(asked.candidate))
    wanted = shared_values(asked.candidate)
    # Nobody has to say where a group goes: in a move, all are looked at.
    if ledger.shared != wanted or wanted.static_address not in {"", ledger.vip}:
        return tuple(others)
    return tuple(claim for claim in others if claim.listener in asked.candidate.listeners)


def _is_stale(
    claim: Claim,
    ledger: Ledger | None,
    live: Mapping[ServiceName, ServiceView | None],
    seen: frozenset[Claim],
    *,
    now: datetime,
) -> bool:
    if ledger is None:
        return False
    service = _stored(claim, ledger, live)
    if service is None:
        return claim in seen or now - claim.claimed_at > GRACE
    return is_given_up(ledger, claim, service, now=now)


def _stored(claim: Claim, ledger: Ledger, live: Mapping[ServiceName, ServiceView | None]) -> ServiceView | None:
    """Its Service, with this listener or without."""
    service = live[ServiceName(ledger.name.namespace, claim.service)]
    return service if service is not None and service.uid == claim.uid else None


def _named(asked: Asked, view: View) -> set[ServiceName]:
    """The Services that the rules would name, for old violations too."""
    denials = decide(asked.candidate, view.situation(asked))
    return {ServiceName(asked.group.namespace, peer) for denial in denials for peer in denial.peers}


def _merged(cached: Iterable[ServiceView], live: Mapping[ServiceName, ServiceView | None]) -> tuple[ServiceView, ...]:
    known: dict[ServiceName, ServiceView | None] = {service.name: service for service in cached}
    known.update(live)
    return tuple(service for service in known.values() if service is not None)


def _without(ledger: Ledger | None, stale: tuple[Claim, ...]) -> Ledger | None:
    if ledger is None or not stale:
        return ledger
    return replace(ledger, claims=tuple(claim for claim in ledger.claims if claim not in stale))
