"""What admission knows: the caches, and the API server where they are not enough; it never writes and never decides.

A cache is always late. What it shows is good enough to say yes (the claim is checked by the API server itself), never
to say no: before a refusal, everything that stands in the way is looked at live (``docs/adr/0001-ledger.md``).
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from cluster.api import KubernetesApi
from cluster.services import ServiceCache, read_service
from cluster.shared_vip_cache import SharedVipCache
from cluster.shared_vips import SharedVipStore
from sharedvip.decide import decide
from sharedvip.holders import address_holders, as_joining
from sharedvip.ledger import GRACE, Claim, Ledger, Member, is_given_up, member_of
from sharedvip.model import (
    AddressHolder,
    Group,
    GroupName,
    Policy,
    ServiceName,
    ServiceView,
    Situation,
)
from sharedvip.parse import shared_values
from webhook.held import HeldAddresses
from webhook.view import Asked, Look, View, asked_addresses

_LOOKS_AT_ONCE = 16


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

    async def have_gone(self, asked: Asked, view: View) -> bool:
        """Whether Services whose claims are in the way came and went without the cache: then the next look says so."""
        uids = [claim.uid for claim in _in_the_way(asked, view.ledger)]
        # Of a caller without patience half the time that it had is left.
        seconds = asked.patience_seconds / 2
        return await self._services.have_gone_unseen(asked.group.namespace, uids, seconds=seconds)

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
        has = ledger.addresses if ledger else frozenset[str]()
        seen, now = self._seen(in_the_way), self.now()
        wanted = {asked.candidate.name, *(ServiceName(asked.group.namespace, claim.service) for claim in in_the_way)}
        live: dict[ServiceName, ServiceView | None] = {}
        while True:
            live |= await self._services_now(wanted - live.keys())
            # Of the same moment as the members below: a Service that leaves meanwhile is one or the other, never none.
            now_shown = {one: self._holders(asked.group, asked.candidate.name, one, live) for one in addresses}
            if now_shown != shown:
                shown, held = now_shown, {}
                for one, by in now_shown.items():
                    of = asked.group if one in has else None
                    held[one] = await self.held.still(by, one, but=asked.candidate.name, of=of)
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


def _in_the_way(asked: Asked, ledger: Ledger | None) -> tuple[Claim, ...]:
    """Other members' claims that the candidate may fall out with: all of them where the shared values differ."""
    if ledger is None:
        return ()
    others = (c for c in ledger.held if Member(c.service, c.uid) != member_of(asked.candidate))
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
        # What an update claimed, a Service that was there claimed: that one does not come back.
        return bool(claim.replaces) or claim in seen or now - claim.claimed_at > GRACE
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
    return ledger.with_held(claim for claim in ledger.held if claim not in stale)
