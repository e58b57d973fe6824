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
from sharedvip.ledger import GRACE, Ledger, is_accepted, member_of
from sharedvip.model import ServiceView
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

    async def differing(self, ledger: Ledger) -> ServiceView | None:
        """The only member, read live where the cache shows it as something else than the ledger says.

        Raises:
            ClusterError: It could not be read.
        """
        shown = differing(ledger, self._kubernetes.members(ledger.name))
        live = await self._kubernetes.read_service(shown.name) if shown else None
        return differing(ledger, [live]) if live else None

    def may_come(self, ledger: Ledger, stored: ServiceView) -> bool:
        """Whether what the ledger says may still be stored, by the only member as it was read after the ledger."""
        return any(claim.may_be_on_its_way(stored, now=self._now()) for claim in ledger.claims)

    async def as_stored(self, ledger: Ledger) -> tuple[Ledger, float | None]:
        """The ledger with what its members share by now, and when to look again where that may still change.

        Raises:
            ClusterError: The only member could not be read.
        """
        stored = await self.differing(ledger)
        if stored is None or not self.may_come(ledger, stored):
            return ledger, None
        latest = max(claim.latest for claim in ledger.claims)
        # A second more: the grace is over when more than it has passed.
        seconds = max(1.0, (latest + GRACE - self._now()).total_seconds() + 1)
        return replace(ledger, shared=shared_values(stored)), seconds


def differing(ledger: Ledger, services: Iterable[ServiceView]) -> ServiceView | None:
    """The only member, where it is not what the ledger says: of several, none can change what they share by itself."""
    asking = (s for s in services if s.group == ledger.name and s.is_member and ledger.members == (member_of(s),))
    return next((s for s in asking if not is_accepted(ledger, s)), None)
