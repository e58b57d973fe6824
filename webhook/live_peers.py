"""On whom in its group a Service that joins may not rely, whatever cache and ledger say; all are looked at live."""

from typing import Final

from sharedvip.holders import asks_for_its_group, holds_by_itself
from sharedvip.ledger import Ledger, Member, is_settled_in, member_of
from webhook.view import Asked, View
from webhook.world import World

_ENOUGH_SETTLED: Final = 2
"""Members that are stored with what their group shares: against each other neither can change it alone."""


async def changing_peer(
    asked: Asked, view: View, world: World, *, before: Ledger | None, after: Ledger
) -> Member | None:
    """A member of the group that this joins, if what they share by now is not what that one is stored with.

    Its change was admitted while it was alone, and may never be stored: then the two would differ. Where two are
    stored with what the group shares, nobody changes that alone: then there is no need to look at more.

    Args:
        asked: Who joins.
        view: By which it was judged.
        world: For the look.
        before: The ledger without its claim.
        after: The ledger with it.
    """
    if view.has_accepted(asked):
        return None
    was_moving = before is not None and before.is_moving and before.shared == after.shared
    others = [member for member in after.members_by_age if member != member_of(asked.candidate)]
    members = (service for service in view.services if service.is_member)
    known = {member_of(s) for s in members if is_settled_in(after, s, was_moving=was_moving)}
    if len(known.intersection(others)) >= _ENOUGH_SETTLED:
        return None
    settled, address = 0, after.shared.static_address
    for member in others:
        stored = await world.stored_member(member, namespace=after.name.namespace)
        is_in = stored is not None and stored.is_in(after.name)
        # Not in the group yet, or no longer, and with the address: it keeps the group from having that.
        if stored is not None and not is_in and address and holds_by_itself(stored, address):
            return member
        if stored is not None and is_in and not is_settled_in(after, stored, was_moving=was_moving):
            return member
        settled += is_in
        if settled >= _ENOUGH_SETTLED:
            break
    return None


async def leaver(asked: Asked, view: View, world: World, *, after: Ledger) -> Member | None:
    """Who has left with the address, and is in the group still by the cache, and by no claim."""
    address = after.shared.static_address
    known = {asked.candidate.name.name, *(member.service for member in after.members)}
    for one in view.services if address else ():
        if one.name.name not in known and asks_for_its_group(one, address):
            stored = await world.service(one.name)
            if stored is not None and holds_by_itself(stored, address):
                return member_of(stored)
    return None
