"""The janitor's part in a group's change of address: it ends a move, by changing the address or by giving it up.

It never disturbs who is served: until the one write that changes the ledger's address, all are where they were. Each
write says which ledger it has read, so that whatever was claimed meanwhile comes first; killed in between, the next
pass finds an intended address that is the group's own, and goes on.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import structlog

from reconciler.ports import ClaimLostError, Kubernetes
from sharedvip.ledger import Ledger
from sharedvip.model import ServiceName, ServiceView
from sharedvip.moving import Progress, progress, without_headings

CLAIM_AGAIN_SECONDS: Final = 2.0
"""Somebody claimed in the same moment: by then the cache shows it, and the rules can say who is in the way."""

LOCK_AGAIN_SECONDS: Final = 30.0
"""The intended address is somebody else's, as the lock was lost: nothing tells when it is free."""

_log = structlog.get_logger("reconciler.mover")


@dataclass(frozen=True, slots=True)
class Moved:
    """The group after a step."""

    ledger: Ledger | None
    message: str = ""
    """How far it has come; "" once the move is over."""
    wake_seconds: float | None = None


class Mover:
    """Ends moves.

    Args:
        kubernetes: The cluster.
        now: UTC.
    """

    def __init__(self, kubernetes: Kubernetes, *, now: Callable[[], datetime]) -> None:
        self._kubernetes: Final = kubernetes
        self._now: Final = now

    async def step(self, ledger: Ledger, services: Iterable[ServiceView]) -> Moved:
        """End the move if it may end.

        Args:
            ledger: One with an intended address.
            services: The group's, as observed.

        Raises:
            ClusterError: The API server refused or could not be asked.
        """
        try:
            if not ledger.is_moving:
                return Moved(await self._without_intent(ledger))
            seen = progress(ledger, services, now=self._now())
            may_end = seen.is_complete or not seen.is_wanted
            return await self._decided(ledger) if may_end else self._waits(ledger, seen)
        except ClaimLostError as error:
            _log.info("move.outrun", namespace=ledger.name.namespace, key=ledger.name.key, error=str(error))
            live = await self._kubernetes.read_ledger(ledger.name)
            is_moving = live is not None and live.is_moving
            message = "is looked at again, as the ledger was just written" if is_moving else ""
            return Moved(live, message, CLAIM_AGAIN_SECONDS)

    async def _decided(self, ledger: Ledger) -> Moved:
        """By a live look, ledger first: what is claimed after it makes the write fail."""
        live = await self._kubernetes.read_ledger(ledger.name)
        if live is None or not live.is_moving:
            return Moved(live, wake_seconds=CLAIM_AGAIN_SECONDS if live and live.shared.intended_address else None)
        # The time of before the look: a heading that grows old while Services are read was young when they were.
        now = self._now()
        found = progress(live, await self._stored(live), now=now)
        if not found.is_wanted:
            _log.info("move.given_up", namespace=live.name.namespace, key=live.name.key, intended=found.intended)
            return Moved(await self._without_intent(live))
        return await self._changed(live, found) if found.is_complete else self._waits(live, found)

    async def _stored(self, ledger: Ledger) -> list[ServiceView]:
        names = sorted({member.service for member in ledger.members})
        read = [await self._kubernetes.read_service(ServiceName(ledger.name.namespace, name)) for name in names]
        return [service for service in read if service is not None]

    def _waits(self, ledger: Ledger, seen: Progress) -> Moved:
        at = seen.looks_again_at
        # A second more: a heading is old when more than the grace has passed.
        return Moved(ledger, str(seen), max(1.0, (at - self._now()).total_seconds() + 1) if at else None)

    async def _changed(self, ledger: Ledger, seen: Progress) -> Moved:
        group, intended = ledger.name, ledger.shared.intended_address
        # Whoever opened the move may have died before its lock.
        if await self._kubernetes.take_address(intended, group) is not None:
            return Moved(ledger, f"{seen}; {intended} is held by somebody else", LOCK_AGAIN_SECONDS)
        first, old = ledger.members[0], ledger.shared.static_address
        changed = await self._kubernetes.claim(
            group,
            first,
            shared=replace(ledger.shared, static_address=intended, intended_address=""),
            claims=without_headings(ledger.held_by(first)),
            resource_version=ledger.resource_version,
            force=True,
        )
        _log.info("move.done", namespace=group.namespace, key=group.key, old=old, new=intended)
        return Moved(await self._without_intent(changed))

    async def _without_intent(self, ledger: Ledger) -> Ledger:
        """Each member says what the group shares, and nothing of an intended address: it goes with the last.

        What a hand has written belongs to no member, and is taken out.
        """
        shared, latest = replace(ledger.shared, intended_address=""), ledger
        for member in ledger.members:
            latest = await self._kubernetes.claim(
                ledger.name,
                member,
                shared=shared,
                claims=without_headings(ledger.held_by(member)),
                resource_version=latest.resource_version,
            )
        return await self._kubernetes.drop_intended(latest) if latest.shared.intended_address else latest
