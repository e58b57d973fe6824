"""Lets go of the addresses that a group held and needs no more; it takes none, and claims nothing.

Admission claims an address first and looks at its lock then, or notes a leave on it and looks at the claims then. So
the lock says first that it is leaving, then everything that may need it is looked at live, and only then it goes.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Final

import structlog

from cluster.errors import ApiError
from cluster.ip_addresses import Unlocked
from cluster.leavers import Leaver, services_of
from reconciler.held_addresses import HeldAddresses
from reconciler.ports import ClusterError, Kubernetes
from sharedvip.ledger import Ledger
from sharedvip.model import GroupName, ServiceName, ServiceView
from sharedvip.parse import intended_address, static_address

_LOOKS_AT_ONCE: Final = 16
_COME_AGAIN_SECONDS: Final = 60.0
"""To a lock that only tells who left with its address, or may leave with it, until it needs to no more: three reads."""
_log = structlog.get_logger("reconciler.unlocking")


class Unlocking:
    """The locks of all groups.

    Args:
        kubernetes: The cluster.
        now: UTC.
    """

    def __init__(self, kubernetes: Kubernetes, *, now: Callable[[], datetime]) -> None:
        self._kubernetes: Final = kubernetes
        self._now: Final = now
        self.held: Final = HeldAddresses()
        self._begun: dict[GroupName, set[str]] = {}
        """Whose lock may say that it is leaving, as we ended or failed before it went or was to stay."""

    async def release(self, group: GroupName, ledger: Ledger | None) -> float | None:
        """Unlock what the group held and does not use any more.

        Returns:
            When to come again, in seconds; None: no need.

        Raises:
            ClusterError: The API server refused or could not be asked.
        """
        wakes = False
        for address in sorted(self.held.of(group) - (ledger.addresses if ledger else frozenset())):
            # Not marked again and again where a member is known to have it: its next change brings a pass.
            if any(s.is_member and address in _addresses(s) for s in self._kubernetes.members(group)):
                continue
            live = await self._kubernetes.read_ledger(group)
            if live is None or address not in live.addresses_in_use:
                wakes |= await self._comes_again(group, address)
        return _COME_AGAIN_SECONDS if wakes else None

    async def _comes_again(self, group: GroupName, address: str) -> bool:
        try:
            # Needed by a leaver of another group, whose change brings no pass of this one, too.
            return await self._unlock(group, address) in {"left", "needed"}
        except ApiError as error:
            # A hand has taken our label off it: the group must not stand still for that, nor stay when it is over.
            self._kept(group, address, error)
            return True

    async def finish(self, group: GroupName) -> None:
        """Of a lock that cannot be let go (a hand has taken our label off it) the group must not stand still."""
        for address in sorted(self._begun.get(group, ())):
            try:
                await self._unlock(group, address)
            except ClusterError as error:
                self._kept(group, address, error)

    def _kept(self, group: GroupName, address: str, error: ClusterError) -> None:
        _log.warning("address.kept", namespace=group.namespace, key=group.key, address=address, error=str(error))

    def found_begun(self, group: GroupName, address: str) -> None:
        """Whoever unlocked it ended in between: in the group's next pass it goes, or is the group's again."""
        self._begun.setdefault(group, set()).add(address)

    async def _unlock(self, group: GroupName, address: str) -> Unlocked:
        """Or make sure that it stays locked, if somebody needs it: who finds it leaving waits for either."""

        async def is_needed(leavers: tuple[Leaver, ...]) -> bool:
            return await self._is_needed(group, address, leavers)

        self.found_begun(group, address)
        outcome = await self._kubernetes.release_address(address, group, is_needed=is_needed)
        if outcome == "unlocked":
            _log.info("address.released", namespace=group.namespace, key=group.key, address=address)
        if outcome in {"unlocked", "not held"}:
            self.held.discard(address, group)
        self._begun.get(group, set()).discard(address)
        return outcome

    def forget(self, group: GroupName) -> None:
        """The group is no more."""
        self._begun.pop(group, None)

    async def _is_needed(self, group: GroupName, address: str, leavers: tuple[Leaver, ...]) -> bool:
        """By the ledger, by whoever is about to leave with it, or by a member that is stored with it: all live."""
        # The time of before the look: what is over by then was over when the Service was read.
        now = self._now()
        noted = services_of(leavers, group.namespace)
        stored = {name: await self._kubernetes.read_service(name) for name in noted}
        if any(leaver.may_leave(stored[leaver.name(group.namespace)], now=now) for leaver in leavers):
            return True
        ledger = await self._kubernetes.read_ledger(group)
        if ledger is not None and address in ledger.addresses_in_use:
            return True
        # A cache may be late: it shows another address than a member has, or a member that is none yet.
        names = {service.name for service in self._kubernetes.members(group)}
        names |= {ServiceName(group.namespace, member.service) for member in (ledger.members if ledger else ())}
        async for found in self._stored_addresses(group, sorted(names)):
            if address in found:
                return True
        return False

    async def _stored_addresses(self, group: GroupName, names: Sequence[ServiceName]) -> AsyncIterator[frozenset[str]]:
        """Of those that are in the group, some at once: whoever finds the lock leaving waits a second."""
        for begin in range(0, len(names), _LOOKS_AT_ONCE):
            looks = map(self._kubernetes.read_service, names[begin : begin + _LOOKS_AT_ONCE])
            for stored in await asyncio.gather(*looks):
                if stored is not None and stored.is_in(group):
                    yield _addresses(stored)


def _addresses(service: ServiceView) -> frozenset[str]:
    return frozenset({static_address(service), intended_address(service)} - {""})
