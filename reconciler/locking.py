"""Locks the addresses that a group claims; it claims nothing, and lets no lock go.

Admission claims first and locks then, so a lock is missing only where nobody asked admission, or a hand took it.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final, NamedTuple

import structlog

from cluster.leavers import BeingLeftError, Leaver, in_the_way, services_of
from reconciler.ports import Kubernetes
from sharedvip.holders import holds_by_itself
from sharedvip.ledger import GRACE, Ledger, Member
from sharedvip.model import AddressHolder, GroupName

_log = structlog.get_logger("reconciler.locking")


class Held(NamedTuple):
    """An address that is another's."""

    address: str
    holder: AddressHolder


class Locking:
    """The locks of all groups.

    Args:
        kubernetes: The cluster.
        now: UTC.
    """

    def __init__(self, kubernetes: Kubernetes, *, now: Callable[[], datetime]) -> None:
        self._kubernetes: Final = kubernetes
        self._now: Final = now

    async def look(self, group: GroupName, addresses: Iterable[str]) -> Held | None:
        """The first that somebody else holds by its lock; none is taken.

        Raises:
            ClusterError: The API server refused or could not be asked.
        """
        for address in sorted(addresses):
            holder = await self._kubernetes.address_holder(address, group)
            if holder is not None:
                return Held(address, holder)
        return None

    async def lock(self, group: GroupName, ledger: Ledger | None) -> Held | None:
        """Lock all that the group claims; the first that somebody holds otherwise.

        Raises:
            BeingLeftError: A member is about to leave with one, or has left with it: who joins has to wait.
            ClusterError: The API server refused or could not be asked.
        """
        for address in sorted(ledger.addresses) if ledger else ():
            # The time of before the look: what is over by then was over when the Service was read.
            now = self._now()
            try:
                holder = await self._kubernetes.take_address(address, group, minds_leaver=True)
            except BeingLeftError as error:
                if await self._is_being_left(ledger, address, error.leavers, now=now):
                    raise
                continue
            if holder is not None:
                return Held(address, holder)
        return None

    async def _is_being_left(
        self, ledger: Ledger | None, address: str, leavers: Sequence[Leaver], *, now: datetime
    ) -> bool:
        if ledger is None:
            return False
        # Where it is the only member itself, there is nobody else to be disturbed.
        counting = in_the_way(leavers, ledger)
        doubtful = [one for one in counting if ledger.members != (Member(one.service, one.uid),)]
        names = services_of(doubtful, ledger.name.namespace)
        stored = {name.name: await self._kubernetes.read_service(name) for name in names}
        has_left = any(one is not None and holds_by_itself(one, address) for one in stored.values())
        return has_left or any(leaver.may_leave(stored[leaver.service], now=now) for leaver in doubtful)

    async def lock_again(self, group: GroupName, address: str) -> Ledger | None:
        """A hand has deleted the lock: admission takes it with the claim, and does not come back for it.

        Returns:
            The ledger of before, where the address is another's for good: no request that claimed it is open any more.

        Raises:
            ClusterError: The API server refused or could not be asked.
        """
        # The time of before the look: what is over by then was over when the ledger was read.
        now = self._now()
        live = await self._kubernetes.read_ledger(group)
        if live is None or address not in live.addresses:
            return None
        holder = await self._kubernetes.take_address(address, group)
        is_ours, is_over = holder is None, all(now - claim.latest > GRACE for claim in live.claims)
        _log.warning("address.locked_again", namespace=group.namespace, key=group.key, address=address, is_ours=is_ours)
        return live if holder is not None and not holder.is_pending and is_over else None
