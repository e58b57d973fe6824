"""Which change of what a group shares was admitted and is not stored yet; it writes and remembers nothing.

A Service that is alone in its group may change what the group shares, the address above all: admission writes it into
the ledger before the Service is stored. Until it is, the ledger and the Service differ, and that is no conflict. Taken
for one, the ledger would be given the old values again, and the new address's lock would be free for others.

The ledger itself tells: the change's claims say which version of the Service it is to replace, and since when.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from typing import Final

from reconciler.ports import Kubernetes
from sharedvip.ledger import GRACE, Ledger, Member, is_accepted, member_of
from sharedvip.model import ServiceName, ServiceView
from sharedvip.parse import shared_values


class Awaited:
    """Tells a change on its way from one that came past admission.

    Args:
        kubernetes: The cluster.
        now: UTC.
    """

    def __init__(self, kubernetes: Kubernetes, *, now: Callable[[], datetime]) -> None:
        self._kubernetes: Final = kubernetes
        self._now: Final = now

    async def newcomer(self, ledger: Ledger | None, shown: ServiceView) -> ServiceView | None:
        """Who is to be accepted: as the cache shows it, or, in the ledger already, as it is stored now.

        None: it is as the ledger says, or goes, or an update that was admitted may still be stored over it. What is on
        its way stands in the ledger (ports, an address, where it turns in a move), and would be overwritten.

        Raises:
            ClusterError: It could not be read.
        """
        mine = ledger.claims_of(member_of(shown)) if ledger else ()
        if not mine:
            return shown
        now = self._now()
        live = await self._kubernetes.read_service(shown.name)
        if live is None or live.is_deleting or not live.is_in(shown.group) or live.uid != shown.uid:
            return None
        is_open = ledger is not None and _may_come(ledger, live, now=now)
        return None if is_open or is_accepted(ledger, live) else live

    async def as_stored(self, ledger: Ledger, *, refused: Iterable[ServiceName] = ()) -> tuple[Ledger, float | None]:
        """The ledger with what its members share by now, and when to look again where that may still change.

        Args:
            ledger: As admission wrote it.
            refused: Who was judged, and is not taken for a member: for those nothing changes.

        Raises:
            ClusterError: The only member could not be read.
        """
        shown = differing(ledger, self._kubernetes.members(ledger.name))
        if shown is None:
            return ledger, None
        # The time of before the look: what is over by then was over when the Service was read.
        now = self._now()
        live = await self._kubernetes.read_service(shown.name)
        stored = differing(ledger, [live]) if live else None
        if stored is None or stored.name in refused:
            return ledger, None
        seconds = None if stored.is_deleting else 1.0
        if _may_come(ledger, stored, now=now):
            # A second more: the grace is over when more than it has passed.
            seconds = max(1.0, (open_until(ledger, member_of(stored)) - now).total_seconds() + 1)
        return replace(ledger, shared=shared_values(stored)), seconds


def open_until(ledger: Ledger, member: Member) -> datetime:
    """When nothing can be on its way any more that a member's claims tell of."""
    claims = ledger.claims_of(member)
    asked = [claim.latest for claim in claims] + [claim.heading.since for claim in claims if claim.heading]
    return max(asked) + GRACE


def _may_come(ledger: Ledger, stored: ServiceView, *, now: datetime) -> bool:
    """Whether an update may still be stored that stands in the ledger: by its version, or as it turns in a move."""
    claims = ledger.claims_of(member_of(stored))
    may_turn = any(claim.heading is not None and now - claim.heading.since <= GRACE for claim in claims)
    return may_turn or any(claim.may_be_on_its_way(stored, now=now) for claim in claims)


def differing(ledger: Ledger, services: Iterable[ServiceView]) -> ServiceView | None:
    """The only member, where it is not what the ledger says: of several, none can change what they share by itself."""
    asking = (s for s in services if s.is_in(ledger.name) and ledger.members == (member_of(s),))
    return next((s for s in asking if not is_accepted(ledger, s)), None)
