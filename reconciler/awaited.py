"""Which members' changes of what their group shares were admitted and are not stored yet; it asks and writes nothing.

A Service that is alone in its group may change what the group shares, the address above all: admission writes it into
the ledger before the Service is stored. Until it is, the ledger and the Service differ, and that is no conflict. Taken
for one, the ledger would be given the old values again, and the new address's lock would be free for others.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sharedvip.ledger import GRACE, Ledger, is_accepted, member_of
from sharedvip.model import GroupName, ServiceView, SharedValues
from sharedvip.parse import shared_values


@dataclass(frozen=True, slots=True)
class _Change:
    shared: SharedValues
    """What the ledger says."""
    before: SharedValues | None
    """What it said before; None: nobody saw it."""
    since: datetime


class Awaited:
    """Remembers when each ledger changed; told of all of them at every event, it needs no look of its own.

    Args:
        now: UTC.
    """

    def __init__(self, *, now: Callable[[], datetime]) -> None:
        self._now: Final = now
        self._changes: dict[GroupName, _Change] = {}

    def observe(self, ledger: Ledger, services: Iterable[ServiceView]) -> None:
        """What the ledger says now; a process that begins takes whoever differs from it for somebody on the way."""
        known, shared = self._changes.get(ledger.name), ledger.shared
        if known is None:
            differs = any(_is_member(ledger, s) and not is_accepted(ledger, s) for s in services)
            self._changes[ledger.name] = _Change(shared, None if differs else shared, self._now())
        elif known.shared != shared:
            self._changes[ledger.name] = _Change(shared, known.shared, self._now())

    def forget(self, group: GroupName) -> None:
        """There is no such ledger any more."""
        self._changes.pop(group, None)

    def members(self, ledger: Ledger, services: Iterable[ServiceView]) -> tuple[ServiceView, ...]:
        """The stored Services whose change may still come, sorted by name; none once the grace is over."""
        change = self._changes.get(ledger.name)
        if change is None or change.shared != ledger.shared or self._now() - change.since > GRACE:
            return ()
        differing = (s for s in services if _is_member(ledger, s) and not is_accepted(ledger, s))
        return tuple(sorted((s for s in differing if _is_behind(ledger, change.before, s)), key=lambda s: s.name))

    def wake_seconds(self, ledger: Ledger) -> float:
        """When nothing that was admitted can be on its way any more: a second after the grace."""
        return max(1.0, (self._changes[ledger.name].since + GRACE - self._now()).total_seconds() + 1)


def _is_member(ledger: Ledger, service: ServiceView) -> bool:
    """Whether it is alone in the group with all its ports: of several, none can change what they share by itself."""
    claimed = {claim.listener for claim in ledger.claims_of(member_of(service))}
    is_alone = ledger.members == (member_of(service),)
    return is_alone and service.is_member and not service.is_deleting and claimed.issuperset(service.listeners)


def _is_behind(ledger: Ledger, before: SharedValues | None, service: ServiceView) -> bool:
    """Whether it is as the ledger said before, or where it lives: who was changed past admission is not."""
    values = shared_values(service)
    if before is not None:
        return values.at_rest == before.at_rest
    return values.static_address in {"", ledger.vip, ledger.shared.static_address}
