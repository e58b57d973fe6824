"""Who leaves a group may not take along the address that its group keeps; it claims nothing for who stays.

An ordinary Service with the address of a shared VIP puts every member in the wrong, and each newcomer would be refused
for it. A Service that never had the annotation is not asked about; this one is. The last one may take it along, and the
lock says so until that is stored: whoever joins meanwhile waits.
"""

import contextlib
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace

from cluster.errors import ClusterError
from cluster.leavers import Leaver
from sharedvip.keys import is_valid_key
from sharedvip.leaving import address_taken_along, left_group
from sharedvip.ledger import Ledger, Member, member_of
from sharedvip.model import AddressHolder, Denial, Group, GroupName, ServiceView, Situation
from sharedvip.parse import static_address
from sharedvip.rules import static_address_taken
from webhook.answer import Answer
from webhook.caller import require_caller
from webhook.refusals import to_take_out
from webhook.view import Asked
from webhook.world import World


async def leaving_denials(
    asked: Asked, world: World, *, join: Callable[[Asked], Awaitable[Answer]]
) -> tuple[Denial, ...]:
    """What speaks against an update that takes the annotation away: all is looked at live.

    Args:
        asked: The update.
        world: What is known.
        join: Has a Service claim what it asks for, if it may (``Claiming.admit``).

    Raises:
        ClusterError: The group could not be looked at.
    """
    group, address = left_group(asked.candidate, asked.old), address_taken_along(asked.candidate)
    if group is None or not address or asked.old is None:
        return ()
    holder = await _holder(asked, group, address, world)
    # With a key that is none there was no group, and nobody joins it.
    if holder is None and not asked.is_dry_run and is_valid_key(group.key):
        await require_caller(asked.caller)
        if await world.held.locks.owner(address) is None:
            # It came past admission: where it may, it joins first, so that its lock goes as soon as it has left. Where
            # it cannot (no more SharedVIPs by a quota, a namespace that goes), the note alone tells who joins.
            with contextlib.suppress(ClusterError):
                await join(replace(asked, candidate=asked.old))
        holder = await _announced(
            asked.old, group, address, look=lambda: _holder(asked, group, address, world), to=world
        )
    if holder is None:
        return ()
    found = static_address_taken.check(asked.candidate, Situation(Group(group), address_holders=(holder,)))
    return to_take_out(found, asked)


async def _announced(
    old: ServiceView, group: GroupName, address: str, *, look: Callable[[], Awaitable[AddressHolder | None]], to: World
) -> AddressHolder | None:
    """Who joins claims first and looks at the lock then; so say it on the lock first, and look at the claims then."""
    locks = to.held.locks
    leaver = Leaver(*member_of(old), old.resource_version, to.now(), request=secrets.token_hex(4))
    has_it = address == static_address(old)
    holder = await locks.note_leaver(address, group, leaver, has_it=has_it)
    if holder is not None:
        # What it has, it may keep, as anywhere.
        return None if has_it else holder
    holder = await look()
    if holder is not None:
        await locks.forget_leaver(address, group, leaver)
    return holder


async def _holder(asked: Asked, group: GroupName, address: str, world: World) -> AddressHolder | None:
    """The group, if others stay on the address; or another group, if it is that one's."""
    ledger = await world.ledger(group)
    if ledger is not None and address in ledger.addresses_in_use:
        holder = await _remaining(asked, ledger, world)
        if holder is not None:
            return holder
    # Members that came past admission are in no ledger, and stay on the address all the same.
    stays = await world.held.is_asked_for(group, address, but=asked.candidate.name)
    return AddressHolder(group.namespace, key=group.key) if stays else await _stranger(asked, group, address, world)


async def _stranger(asked: Asked, group: GroupName, address: str, world: World) -> AddressHolder | None:
    """Another group, if the leaver asks for that one's address instead of its own: what it has, it may keep."""
    if asked.old is None or address == static_address(asked.old):
        return None
    owner = await world.held.locks.owner(address)
    if owner is None or owner == group:
        return None
    return await world.held.now(AddressHolder(owner.namespace, key=owner.key), address, but=asked.candidate.name)


async def _remaining(asked: Asked, ledger: Ledger, world: World) -> AddressHolder | None:
    """The group, if others stay in it."""
    leaver = member_of(asked.old or asked.candidate)
    others = [claim for claim in ledger.claims if Member(claim.service, claim.uid) != leaver]
    standing = await world.standing(ledger, others)
    if not standing:
        return None
    return AddressHolder(ledger.name.namespace, key=ledger.name.key, is_pending=not any(standing.values()))
