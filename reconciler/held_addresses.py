"""Which addresses a group may have locks on, as far as this process has seen; it asks nobody and unlocks none.

A lock outlives its reason on purpose: it goes when Avi has let go of the address, and when somebody looks.
"""

from collections.abc import Callable, Iterable

from sharedvip.addresses import parse_address
from sharedvip.ledger import Ledger
from sharedvip.model import GroupName, ServiceName, ServiceView
from sharedvip.parse import static_address


class HeldAddresses:
    """The memory of all groups."""

    def __init__(self) -> None:
        """Remember nothing."""
        self._held: dict[GroupName, set[str]] = {}
        self._carried: dict[GroupName, dict[ServiceName, str]] = {}

    def observe(
        self,
        group: GroupName,
        ledger: Ledger | None,
        members: Iterable[ServiceView],
        *,
        stored: Callable[[ServiceName], ServiceView | None],
        is_leading: bool = True,
    ) -> None:
        """What the ledger says; and what a member had that has it no more, or has left with, in a ledger or not.

        Who leaves with an address is noted on its lock, which admission makes where there is none.

        Args:
            group: Whose members they are.
            ledger: The group's.
            members: As observed.
            stored: Any Service, as observed; None: there is none.
            is_leading: Whether to remember it: a standby would for ever, and reads all locks when it takes over.
        """
        carried, before = {s.name: static_address(s) for s in members}, self._carried.pop(group, {})
        if carried:
            self._carried[group] = carried
        if not is_leading:
            return
        gone = filter(None, map(stored, before.keys() - carried.keys()))
        taken = [static_address(service) for service in gone if service.sharing_key is None]
        given_up = set(before.values()) - set(carried.values())
        for address in (*given_up, *taken, *(ledger.addresses if ledger else ())):
            self.add(address, group)

    def add(self, address: str, group: GroupName) -> None:
        """It may have a lock on that; on what is no address there is none."""
        if parse_address(address):
            self._held.setdefault(group, set()).add(address)

    def discard(self, address: str, group: GroupName) -> None:
        """It has none."""
        held = self._held.get(group, set())
        held.discard(address)
        if not held:
            self._held.pop(group, None)

    def of(self, group: GroupName) -> frozenset[str]:
        """All of one group."""
        return frozenset(self._held.get(group, ()))

    @property
    def groups(self) -> tuple[GroupName, ...]:
        """Those with any, sorted."""
        return tuple(sorted(self._held))
