"""The janitor: shrinks claims to what the world shows, and accepts Services that admission never saw; no word to Avi.

Claims grow in admission and shrink here: at once for what was shown and is gone, after a grace and a live look for
what never appeared. Newcomers are accepted all together or not at all, by the same rules and the same write as in
admission; members are never disturbed (``architecture.md``, "The ledger").
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

import structlog

from cluster.errors import ApiError
from cluster.ip_address_documents import HeldAddress
from reconciler.awaited import Awaited, open_until
from reconciler.locking import Locking
from reconciler.mover import CLAIM_AGAIN_SECONDS, Moved, Mover
from reconciler.newcomers import Newcomers
from reconciler.ports import ClaimLostError, ClusterError, Kubernetes
from reconciler.settled import LOOK_AGAIN_SECONDS, Settled, messages, soonest
from reconciler.unlocking import Unlocking
from sharedvip.decide import decide
from sharedvip.holders import address_holders
from sharedvip.ledger import (
    GRACE,
    Claim,
    Ledger,
    Release,
    confirmed_claims,
    group_of,
    is_accepted,
    member_of,
    shrink,
)
from sharedvip.model import AddressHolder, Denial, Group, GroupName, Policy, ServiceName, ServiceView, Situation
from sharedvip.parse import shared_values, static_address

_JUDGED_AT_ONCE: Final = 20
_TRIES: Final = 4
_log = structlog.get_logger("reconciler.ledger")


class LedgerKeeper:
    """Keeps the ledgers of all groups.

    Args:
        kubernetes: The cluster.
        policy: What the operator decided.
        now: UTC.
    """

    def __init__(self, kubernetes: Kubernetes, *, policy: Policy, now: Callable[[], datetime]) -> None:
        self._kubernetes: Final = kubernetes
        self._policy: Final = policy
        self._now: Final = now
        self._mover: Final = Mover(kubernetes, now=now)
        self._awaited: Final = Awaited(kubernetes, now=now)
        self._confirmed: dict[GroupName, frozenset[Claim]] = {}
        self._written: dict[GroupName, Ledger] = {}
        self._locking: Final = Locking(kubernetes, now=now)
        self._unlocking: Final = Unlocking(kubernetes, now=now)
        self._newcomers: Final = Newcomers(kubernetes, locking=self._locking, now=now, told=self._told)

    def observe(self, group: GroupName, *, is_leading: bool = True) -> None:
        """Remember which claims the world shows now: call it at every event, as what comes and goes is soon unseen."""
        ledger, members = self._current(group), self._kubernetes.members(group)
        held, stored = self._unlocking.held, self._kubernetes.service
        held.observe(group, ledger, members, stored=stored, is_leading=is_leading)
        if ledger is None:
            self._confirmed.pop(group, None)
            return
        shown = confirmed_claims(ledger, members)
        before = self._confirmed.get(group, frozenset()).intersection(ledger.held)
        self._confirmed[group] = before | shown

    async def refresh(self) -> None:
        """Trust the cache again, remember which addresses groups hold, whoever locked them, and lock what is not.

        Raises:
            ClusterError: The API server refused or could not be asked.
        """
        # What we wrote is in the cache by now, or was deleted before the cache saw it.
        self._written.clear()
        locks = await self._locks()
        locked = {(lock.address, lock.group) for lock in locks if lock.left_since is None}
        ledgers = filter(None, map(self._kubernetes.ledger, self._kubernetes.groups()))
        claimed = {(address, ledger.name) for ledger in ledgers for address in ledger.addresses}
        for address, group in sorted(claimed - locked):
            try:
                if (ledger := await self._locking.lock_again(group, address)) is not None:
                    await self._taken_back(ledger, address)
            except (ApiError, ClaimLostError) as error:
                # One that somebody else's policy refuses, or a ledger that is just written: the others are not left
                # unlocked for that.
                _log.warning(
                    "address.unlocked", namespace=group.namespace, key=group.key, address=address, error=str(error)
                )

    async def holders_of_idle_locks(self) -> tuple[GroupName, ...]:
        """The groups that hold a lock which their ledger does not need, sorted: a pass lets go of it, or keeps it.

        Raises:
            ClusterError: The API server refused or could not be asked.
        """
        idle = set[GroupName]()
        for lock in await self._locks():
            ledger = self._kubernetes.ledger(lock.group)
            if lock.is_leaving or ledger is None or lock.address not in ledger.addresses_in_use:
                idle.add(lock.group)
        return tuple(sorted(idle))

    async def _locks(self) -> tuple[HeldAddress, ...]:
        """All of them, remembered."""
        locks = await self._kubernetes.held_addresses()
        for lock in locks:
            self._unlocking.held.add(lock.address, lock.group)
            if lock.is_leaving:
                self._unlocking.found_begun(lock.group, lock.address)
        return locks

    async def _taken_back(self, ledger: Ledger, address: str) -> None:
        """Members with an address that is another's came past admission, and a request for one died before its lock.

        They are newcomers again, and are told; but not where the group lives at Avi. With an intended address the group
        keeps all it has.
        """
        if address != ledger.shared.static_address or ledger.vip:
            return
        live: Ledger | None = ledger
        for member in ledger.members:
            # What was judged, and no more: each release brings a pass, and with it a status, which may name a VIP.
            for _ in range(_TRIES):
                if live is None or live.vip or live.held_by(member) != ledger.held_by(member):
                    break
                try:
                    kept = tuple(claim for claim in live.held_by(member) if claim.is_reserved)
                    live = await self._shrink(live, Release(member, kept))
                except ClaimLostError:
                    live = await self._kubernetes.read_ledger(ledger.name)

    def groups_with_addresses(self) -> tuple[GroupName, ...]:
        """The groups that hold an address, sorted."""
        return self._unlocking.held.groups

    async def settle(self, group: GroupName) -> Settled:
        """Release what is stale, accept who may join, let the group move when all its members have come.

        Raises:
            ClusterError: The API server refused or could not be asked.
        """
        try:
            return await self._as_stored(await self._moved(await self._settle(group)))
        except ClusterError:
            # Whatever we wrote and whoever wrote after it: the cache knows better by the next try.
            self._written.pop(group, None)
            raise

    async def _settle(self, group: GroupName) -> Settled:
        self.observe(group)
        await self._unlocking.finish(group)
        ledger = await self._released(group, self._current(group))
        newcomers = await self._unaccepted(group, ledger)
        if newcomers and (ledger is None or any((await self._judge(group, ledger, newcomers)).values())):
            # Look before refusing, or founding: the caches of Services and ledgers are not of the same moment.
            ledger = self._remember(group, await self._kubernetes.read_ledger(group))
            newcomers = await self._unaccepted(group, ledger)
        if not newcomers:
            return Settled(ledger, wake_seconds=self._wake_seconds(group, ledger))
        denials = await self._judge(group, ledger, newcomers)
        if any(denials.values()):
            return Settled(ledger, messages(denials), LOOK_AGAIN_SECONDS)
        settled = await self._newcomers.accept(group, ledger, newcomers)
        return replace(settled, wake_seconds=soonest(settled.wake_seconds, self._wake_seconds(group, settled.ledger)))

    def excluded(self, group: GroupName) -> Mapping[ServiceName, str]:
        """Why Services that ask for the group, and can be no member of any, are none; in the words of the rules."""
        asking = (service for service in self._kubernetes.members(group) if not service.is_member)
        found = {s.name: decide(s, Situation(Group(group), policy=self._policy)) for s in asking}
        return messages({name: denials for name, denials in found.items() if denials})

    async def release_addresses(self, group: GroupName, ledger: Ledger | None) -> float | None:
        """Unlock the addresses that the group held and does not use any more; call it when Avi let go of them.

        Returns:
            When to come again, in seconds; None: no need.
        """
        return await self._unlocking.release(group, ledger)

    def forget(self, group: GroupName) -> None:
        """The group is no more."""
        self._unlocking.forget(group)
        self.begin_anew(group)

    def begin_anew(self, group: GroupName) -> None:
        """Its ledger is no more, and it lives: what it has locked, or has begun to unlock, is to be known still."""
        self._newcomers.forget(group)
        for memory in (self._confirmed, self._written):
            memory.pop(group, None)

    def _current(self, group: GroupName) -> Ledger | None:
        """What the cache shows, or what we wrote where the cache has not caught up."""
        cached, written = self._kubernetes.ledger(group), self._written.get(group)
        if written is None or (cached is not None and _version(cached) >= _version(written)):
            self._written.pop(group, None)
            return cached
        return written

    def _remember(self, group: GroupName, ledger: Ledger | None) -> Ledger | None:
        if ledger is None:
            self._written.pop(group, None)
        else:
            self._written[group] = ledger
        return ledger

    async def _moved(self, settled: Settled) -> Settled:
        ledger = settled.ledger
        if ledger is None or not ledger.shared.intended_address:
            return settled
        try:
            after = await self._mover.step(ledger, self._kubernetes.members(ledger.name))
        except ClusterError as error:
            # The group is served where it is: its pools must not wait for a move.
            _log.warning("move.failed", namespace=ledger.name.namespace, key=ledger.name.key, error=str(error))
            self._written.pop(ledger.name, None)
            after = Moved(ledger, f"is looked at again soon: {error}", CLAIM_AGAIN_SECONDS)
        else:
            self._remember(ledger.name, after.ledger)
        self.observe(ledger.name)
        return Settled(after.ledger, settled.refused, soonest(settled.wake_seconds, after.wake_seconds), after.message)

    async def _as_stored(self, settled: Settled) -> Settled:
        """Nobody is moved for a change that may never be stored."""
        if settled.ledger is None:
            return settled
        ledger, seconds = await self._awaited.as_stored(settled.ledger, refused=settled.refused)
        return replace(settled, ledger=ledger, wake_seconds=soonest(settled.wake_seconds, seconds))

    async def _released(self, group: GroupName, ledger: Ledger | None) -> Ledger | None:
        if ledger is None:
            return None
        members, confirmed = self._kubernetes.members(group), self._confirmed.get(group, frozenset())
        latest: Ledger | None = ledger
        for release in shrink(ledger, members, confirmed=confirmed, now=self._now()):
            keep, held = await self._looked_at_live(ledger, release, confirmed), ledger.held_by(release.member)
            # After the first write it is another ledger: who has claimed more by then is looked at another time.
            if latest is not None and keep != held == latest.held_by(release.member):
                latest = await self._shrink(latest, Release(release.member, keep))
        return latest

    async def _looked_at_live(self, ledger: Ledger, release: Release, confirmed: frozenset[Claim]) -> tuple[Claim, ...]:
        """What the member keeps.

        A claim that only ran out of its grace may have a Service we did not see yet. And one of an update was maybe
        shown by a state from before it, where our watch of Services is late: it stays while it may be stored.
        """
        now, leaving = self._now(), set(ledger.held_by(release.member)) - set(release.keep)
        updated = {claim for claim in leaving if claim.replaces}
        doubtful = (leaving - confirmed) | updated
        if not doubtful:
            return release.keep
        service = await self._kubernetes.read_service(ServiceName(ledger.name.namespace, release.member.service))
        backed = confirmed_claims(ledger, () if service is None else (service,))
        waiting = {claim for claim in updated if claim.may_be_on_its_way(service, now=now)}
        self._confirmed[ledger.name] = self._confirmed.get(ledger.name, frozenset()) - waiting
        return tuple(sorted({*release.keep, *(doubtful & backed), *waiting}))

    async def _shrink(self, ledger: Ledger, release: Release) -> Ledger | None:
        group, (member, keep) = ledger.name, release
        shrunk = await self._kubernetes.release(ledger, release)
        _log.info("claims.released", namespace=group.namespace, key=group.key, service=member.service, kept=len(keep))
        return self._remember(group, shrunk)

    async def _unaccepted(self, group: GroupName, ledger: Ledger | None) -> list[ServiceView]:
        """Sorted by name; who is in the ledger as it is stored now, and not while a change of it is on its way."""
        members = (s for s in self._kubernetes.members(group) if s.is_member and not s.is_deleting)
        found = [s for s in members if not is_accepted(ledger, s)]
        looked = [await self._awaited.newcomer(ledger, s) for s in found]
        return sorted((s for s in looked if s is not None), key=lambda s: s.name)

    async def _judge(
        self, group: GroupName, ledger: Ledger | None, newcomers: Iterable[ServiceView]
    ) -> dict[ServiceName, tuple[Denial, ...]]:
        """Each newcomer against the group with all the others in it: a thousand take seconds, and the Lease is due."""
        found: dict[ServiceName, tuple[Denial, ...]] = {}
        for service in newcomers:
            found[service.name] = decide(service, self._situation(group, ledger, service))
            if len(found) % _JUDGED_AT_ONCE == 0:
                await asyncio.sleep(0)
        return found

    def _situation(self, group: GroupName, ledger: Ledger | None, newcomer: ServiceView) -> Situation:
        return Situation(
            self._met(group, ledger, newcomer),
            address_holders=self._holders(group, newcomer.name, static_address(newcomer)),
            policy=self._policy,
            intended_holders=self._holders(group, newcomer.name, shared_values(newcomer).intended_address),
        )

    def _met(self, group: GroupName, ledger: Ledger | None, newcomer: ServiceView) -> Group:
        return group_of(group, ledger=ledger, services=self._kubernetes.members(group), candidate=newcomer)

    def _holders(self, group: GroupName, candidate: ServiceName, address: str) -> tuple[AddressHolder, ...]:
        if not address:
            return ()
        return address_holders(
            group,
            address,
            candidate=candidate,
            services=self._kubernetes.services_at(address),
            groups=self._kubernetes.ledgers_at(address),
        )

    def _told(self, group: GroupName, ledger: Ledger | None) -> None:
        self._remember(group, ledger)
        self.observe(group)

    def _wake_seconds(self, group: GroupName, ledger: Ledger | None) -> float | None:
        """When the oldest claim without a Service runs out of its grace, or what may be on its way to another."""
        now, claims = self._now(), ledger.held if ledger else ()
        ends = [claim.claimed_at + GRACE for claim in set(claims) - self._confirmed.get(group, frozenset())]
        members = (s for s in self._kubernetes.members(group) if s.is_member and not s.is_deleting)
        differing = [s for s in members if ledger and ledger.claims_of(member_of(s)) and not is_accepted(ledger, s)]
        ends += [end for s in differing if ledger and (end := open_until(ledger, member_of(s))) >= now]
        # A second more: the grace is over when more than it has passed.
        return max(1.0, (min(ends) - self._now()).total_seconds() + 1) if ends else None


def _version(ledger: Ledger) -> int:
    """Resource versions are comparable numbers. Source: Kubernetes API concepts, since 1.35 (KEP-5504)."""
    return int(ledger.resource_version) if ledger.resource_version.isdigit() else 0
