"""Who leaves a group may not take along the address that its group keeps; it writes nothing.

An ordinary Service with the address of a shared VIP puts every member in the wrong, and each newcomer would be refused
for it. A Service that never had the annotation is not asked about; this one is.
"""

from sharedvip.leaving import address_taken_along, left_group
from sharedvip.ledger import Ledger, Member, member_of
from sharedvip.model import AddressHolder, Denial, Group, Situation
from sharedvip.rules import static_address_taken
from webhook.world import Asked, World


async def leaving_denials(asked: Asked, world: World) -> tuple[Denial, ...]:
    """What speaks against an update that takes the annotation away: all is looked at live.

    Raises:
        ClusterError: The group could not be looked at.
    """
    group, address = left_group(asked.candidate, asked.old), address_taken_along(asked.candidate)
    ledger = await world.ledger(group) if group is not None and address else None
    if group is None or ledger is None or address not in ledger.addresses_in_use:
        return ()
    holder = await _remaining(asked, ledger, world)
    if holder is None:
        return ()
    return static_address_taken.check(asked.candidate, Situation(Group(group), address_holders=(holder,)))


async def _remaining(asked: Asked, ledger: Ledger, world: World) -> AddressHolder | None:
    """The group, if others stay in it."""
    leaver = member_of(asked.old or asked.candidate)
    others = [claim for claim in ledger.claims if Member(claim.service, claim.uid) != leaver]
    standing = await world.standing(ledger, others)
    if not standing:
        return None
    return AddressHolder(ledger.name.namespace, key=ledger.name.key, is_pending=not any(standing.values()))
