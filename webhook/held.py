"""Who holds an address at this moment, looked at live; it takes none and lets none go.

A group claims an address in its ledger first, and takes its lock, an ``IPAddress``, then; whoever loses the lock gives
the claim back. So of claims that no stored Service stands behind, only that of the lock's owner counts, as one that is
on its way. A loser's would refuse, for some milliseconds, another member of the very group that it has lost to; and two
whose replicas died in between would refuse each other for good.
"""

import asyncio
from collections.abc import Collection
from dataclasses import replace
from typing import Final

from cluster.api import KubernetesApi
from cluster.errors import Unreachable
from cluster.ip_addresses import AddressLocks
from cluster.services import ServiceCache, read_service
from cluster.shared_vips import SharedVipStore
from sharedvip.holders import asks_for_its_group, holds_by_itself
from sharedvip.leaving import LATEST_SECONDS
from sharedvip.ledger import Ledger, member_of
from sharedvip.model import AddressHolder, GroupName, ServiceName, ServiceView
from sharedvip.parse import intended_address
from webhook import metrics

_LOOKS_AT_ONCE: Final = 16


class HeldAddresses:
    """The live look at holders that a cache has shown.

    Args:
        api: The connection.
        services: Kept in step by somebody else; tells whether a claim's Service has come.
    """

    def __init__(self, api: KubernetesApi, services: ServiceCache) -> None:
        self._api: Final = api
        self._services: Final = services
        self._store: Final = SharedVipStore(api)
        self.locks: Final = AddressLocks(api, on_write=metrics.LEDGER_WRITES.labels("lock").inc)
        """Whose each address is."""

    def age_seconds(self) -> float:
        """Of what is known of Services."""
        return self._services.reflector.age_seconds()

    def require_recent(self) -> None:
        """Who has left a group with its address is told by that address's lock until all caches have shown it.

        Raises:
            Unreachable: This one's may not have.
        """
        seconds = self.age_seconds()
        if seconds > LATEST_SECONDS:
            raise Unreachable(f"what is known of Services is {seconds:.0f} s old")

    async def still(
        self, holders: Collection[AddressHolder], address: str, *, but: ServiceName, of: GroupName | None = None
    ) -> tuple[AddressHolder, ...]:
        """Those that hold the address indeed, in their order.

        Args:
            holders: By the cache.
            address: In canonical spelling.
            but: Who asks, and holds nothing against itself.
            of: The group that it asks to join, where that one's ledger has the address.

        Raises:
            ClusterError: The API server could not be asked.
        """
        is_ours = of is not None and any(h.key for h in holders) and await self.locks.owner(address) == of
        looked = await asyncio.gather(*(self.look(holder, address, but=but, is_ours=is_ours) for holder in holders))
        found = tuple(holder for holder in looked if holder is not None)
        if not any(holder.is_pending for holder in found):
            return found
        owner = await self.locks.owner(address)
        return tuple(h for h in found if not h.is_pending or owner == GroupName(h.namespace, h.key))

    async def look(
        self, holder: AddressHolder, address: str, *, but: ServiceName, is_ours: bool = False
    ) -> AddressHolder | None:
        """One of them, as it is now, or who has left it with the address; None: it holds the address no longer.

        ``is_ours``: whether the asker's group has the address, and its lock. What members of others ask for, past
        admission, is in nobody's way there, nor is a claim; a group that lives on the address is.

        Raises:
            ClusterError: The API server could not be asked.
        """
        if holder.service:
            return holder if await self._is_held_by_itself(holder, address) else None
        group = GroupName(holder.namespace, holder.key)
        ledger = await self._store.read(group)
        if ledger is not None and address == ledger.vip:
            return holder
        stored = await self._stored(group, address, ledger=ledger, last=but, is_one_enough=not is_ours)
        on_it = {s.name for s in stored if not is_ours and _is_on(s, group, address, ledger=ledger)}
        # Who asks, and is alone on it there, is bound to it by that group's lock; past admission, it may have none.
        if on_it - {but} or (on_it and await self.locks.owner(address) == group):
            return holder
        # A late cache shows it in the group that it has left, past admission, and nowhere else.
        for service in stored:
            if service.name != but and holds_by_itself(service, address):
                return AddressHolder(service.name.namespace, service=service.name.name)
        is_claimed = not is_ours and ledger is not None and address in ledger.addresses
        return replace(holder, is_pending=True) if is_claimed else None

    async def now(self, holder: AddressHolder, address: str, *, but: ServiceName) -> AddressHolder:
        """The owner of a lock, as it is to be told: one that nobody stands behind is about to be let go of.

        Raises:
            ClusterError: The API server could not be asked.
        """
        found = await self.look(holder, address, but=but)
        return found or replace(holder, is_pending=holder.is_pending or bool(holder.key))

    async def is_asked_for(self, group: GroupName, address: str, *, but: ServiceName | None = None) -> bool:
        """Whether a stored member asks for the address, in a ledger or not; ``but`` is not looked at.

        Raises:
            ClusterError: The API server could not be asked.
        """
        return any(_is_on(s, group, address) for s in await self._stored(group, address, but=but))

    async def _stored(
        self,
        group: GroupName,
        address: str,
        *,
        ledger: Ledger | None = None,
        but: ServiceName | None = None,
        last: ServiceName | None = None,
        is_one_enough: bool = True,
    ) -> list[ServiceView]:
        """Whom the cache shows on the address, as they are stored, some at once, or until one is on it indeed."""
        shown = [s for s in self._services.members(group) if s.name != but]
        on_it = (s.name for s in shown if _is_on(s, group, address, ledger=ledger))
        names = sorted(on_it, key=lambda name: name == last)
        found: list[ServiceView] = []
        for begin in range(0, len(names), _LOOKS_AT_ONCE):
            looks = (read_service(self._api, name) for name in names[begin : begin + _LOOKS_AT_ONCE])
            found += [stored for stored in await asyncio.gather(*looks) if stored is not None]
            if is_one_enough and any(_is_on(stored, group, address, ledger=ledger) for stored in found):
                break
        return found

    async def _is_held_by_itself(self, holder: AddressHolder, address: str) -> bool:
        service = await read_service(self._api, ServiceName(holder.namespace, holder.service))
        # One that was given the annotation meanwhile holds it through its group, whose lock says whose it is.
        return service is not None and holds_by_itself(service, address)


def _is_on(service: ServiceView, group: GroupName, address: str, *, ledger: Ledger | None = None) -> bool:
    """Whether a member asks for the address, or, claiming in the ledger, intends it."""
    is_intended = ledger is not None and address == intended_address(service) and service.is_member
    claims = ledger.claims_of(member_of(service)) if ledger is not None and is_intended else ()
    return service.group == group and (asks_for_its_group(service, address) or bool(claims))
