"""Lets go of the addresses that a group held and needs no more; it takes none, and claims nothing.

Admission claims an address first and looks at its lock then, or notes a leave on it and looks at the claims then. So
the lock says first that it is leaving, then everything that may need it is looked at live, and only then it goes.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog

from cluster.ip_addresses import Leaver
from reconciler.held_addresses import HeldAddresses
from reconciler.ports import ClusterError, Kubernetes
from sharedvip.ledger import Ledger
from sharedvip.model import GroupName, ServiceName
from sharedvip.parse import intended_address, static_address

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

    async def release(self, group: GroupName, ledger: Ledger | None) -> None:
        """Unlock what the group held and does not use any more.

        Raises:
            ClusterError: The API server refused or could not be asked.
        """
        for address in sorted(self.held.of(group) - (ledger.addresses if ledger else frozenset())):
            live = await self._kubernetes.read_ledger(group)
            if live is None or address not in live.addresses_in_use:
                await self.unlock(group, address)

    async def finish(self, group: GroupName) -> None:
        """Of a lock that cannot be let go (a hand has taken our label off it) the group must not stand still."""
        for address in sorted(self._begun.get(group, ())):
            try:
                await self.unlock(group, address)
            except ClusterError as error:
                _log.warning(
                    "address.kept", namespace=group.namespace, key=group.key, address=address, error=str(error)
                )

    async def unlock(self, group: GroupName, address: str) -> None:
        """Or make sure that it stays locked, if somebody needs it: who finds it leaving waits for either.

        Raises:
            ClusterError: The API server refused or could not be asked.
        """

        async def is_needed(leavers: tuple[Leaver, ...]) -> bool:
            return await self._is_needed(group, address, leavers)

        self._begun.setdefault(group, set()).add(address)
        outcome = await self._kubernetes.release_address(address, group, is_needed=is_needed)
        if outcome == "unlocked":
            _log.info("address.released", namespace=group.namespace, key=group.key, address=address)
        if outcome != "needed":
            self.held.discard(address, group)
        self._begun[group].discard(address)

    def forget(self, group: GroupName) -> None:
        """The group is no more."""
        self._begun.pop(group, None)

    async def _is_needed(self, group: GroupName, address: str, leavers: tuple[Leaver, ...]) -> bool:
        """By the ledger, by whoever is about to leave with it, or by a member that is stored with it: all live."""
        # The time of before the look: what is over by then was over when the Service was read.
        now = self._now()
        for leaver in leavers:
            stored = await self._kubernetes.read_service(ServiceName(group.namespace, leaver.service))
            if leaver.may_leave(stored, now=now):
                return True
        ledger = await self._kubernetes.read_ledger(group)
        if ledger is not None and address in ledger.addresses_in_use:
            return True
        # A cache may be late: it shows another address than a member has, or a member that is none yet.
        names = {service.name for service in self._kubernetes.members(group)}
        names |= {ServiceName(group.namespace, member.service) for member in (ledger.members if ledger else ())}
        for name in sorted(names):
            stored = await self._kubernetes.read_service(name)
            is_in = stored is not None and stored.is_member and stored.group == group
            if stored is not None and is_in and address in {static_address(stored), intended_address(stored)}:
                return True
        return False
