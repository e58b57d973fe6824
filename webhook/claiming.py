"""The claim: one atomic write that decides, a live look before every no; it never guesses.

::

    the rules say yes  ->  claim  ->  lock the address  ->  admitted
          |                  |              |
          no             refused           held: give the claim back
          |                  |
          +--> look live: stale claims are released, what is on its way is waited for, and the rules decide again

The API server is the arbiter: a port or a value that another member holds is its 409, so two replicas, or two requests
at once, can never both be admitted (``docs/adr/0001-ledger.md``).
"""

import contextlib
import time
from collections.abc import Callable
from datetime import datetime

import structlog

from cluster.ip_addresses import AddressLocks
from cluster.shared_vips import ClaimRefused, LedgerIsLeaving, SharedVipStore, StaleLedger
from sharedvip.decide import can_join, existing_denials
from sharedvip.ledger import Claim, Ledger, Member, grow, is_accepted, member_of
from sharedvip.model import AddressHolder, Denial, Group, GroupName, ServiceView, Situation
from sharedvip.parse import SHARING_KEY_FIELD, shared_values, static_address
from sharedvip.rules import duplicate_port, static_address_taken
from sharedvip.wording import quoted
from webhook import metrics
from webhook.answer import Answer, already_exists, denied
from webhook.world import Asked, Look, View, World

LOOK_AGAIN_SECONDS = 0.1
"""A change between a look and a wait would be missed; so no wait is longer."""
PATIENCE_SECONDS = 1.0
"""How long to wait for what is on its way: a create takes some 10 ms from its claim to the watch."""

_log = structlog.get_logger()


class Claiming:
    """Decides requests that may join a group."""

    def __init__(
        self, world: World, *, store: SharedVipStore, locks: AddressLocks, now: Callable[[], datetime]
    ) -> None:
        """Put together; ``now`` is UTC."""
        self._world = world
        self._store = store
        self._locks = locks
        self._now = now

    async def admit(self, asked: Asked) -> Answer:
        """Yes with a claim, or no after a live look; whoever calls sets the deadline.

        Raises:
            ClusterError: The API server could not be asked, so nobody knows.
        """
        if not can_join(asked.candidate):
            # No group to join, so no other Service and no ledger has a say: also while the API server is away.
            found = self._world.cached(asked).denials(asked)
            return denied(found) if found else Answer()
        if asked.old is None and self._world.namesake(asked) and await self._world.service(asked.candidate.name):
            return already_exists(asked.candidate.name)
        patience = Patience()
        view = self._world.cached(asked)
        while True:
            denials = view.denials(asked)
            tried = None if denials else await self._try(asked, view)
            if isinstance(tried, Answer):
                return tried
            look = await self._world.look(asked, denials)
            answer = await self._after(look, asked, patience, lost_to=tried)
            if answer is not None:
                return answer
            view = look.view

    async def _after(
        self, look: Look, asked: Asked, patience: "Patience", *, lost_to: Exception | None
    ) -> Answer | None:
        """What the live look leads to; None: try again with what it shows."""
        if asked.old is None and look.namesake is not None:
            return already_exists(asked.candidate.name)
        denials = look.view.denials(asked)
        if look.stale:
            # A dry run may not release what is stale, so it cannot try either: the rules alone decide.
            if asked.is_dry_run:
                return denied(denials) if denials else Answer()
            await self._release(asked.group, look)
            return None
        is_pending = look.view.is_only_pending(asked)
        if not denials and isinstance(lost_to, ClaimRefused | LedgerIsLeaving):
            # A namesake on its way is in the way: the rules do not count it, as it is the candidate itself.
            denials, is_pending = (_on_its_way(asked, lost_to),), True
        if not denials or (is_pending and await patience.wait(self._world)):
            return None
        return denied(denials)

    async def _try(self, asked: Asked, view: View) -> Answer | ClaimRefused | StaleLedger:
        """Claim, as nothing speaks against it; an error: the ledger says no, look again."""
        if not _needs_claim(asked, view):
            return Answer()
        try:
            ledger = await self._claim(asked, view)
        except (ClaimRefused, StaleLedger) as error:
            metrics.CLAIM_CONFLICTS.labels(type(error).__name__).inc()
            return error
        holder = await self._lock(asked, ledger)
        if holder is None:
            return Answer(has_claimed=True)
        await self._give_back(asked, view.ledger)
        return denied(_taken(asked, holder))

    async def _claim(self, asked: Asked, view: View) -> Ledger:
        """One server-side apply; an update says which ledger it has read, for another update may be on its way."""
        ledger = view.ledger
        if asked.old is not None and ledger is None:
            # Two updates of one Service that both found a group: only with a version one of them is told.
            ledger = None if asked.is_dry_run else await self._store.found(asked.group)
        claims = grow(ledger, asked.candidate, old=asked.old, now=self._now())
        is_update = asked.old is not None and ledger is not None
        metrics.LEDGER_WRITES.labels("claim").inc()
        return await self._store.claim(
            asked.group,
            member_of(asked.candidate),
            shared=shared_values(asked.candidate),
            claims=claims,
            resource_version=ledger.resource_version if is_update and ledger else "",
            dry_run=asked.is_dry_run,
        )

    async def _lock(self, asked: Asked, ledger: Ledger) -> AddressHolder | None:
        """Claim first, then lock: the other order would leave a lock behind for each loser of a race."""
        address = static_address(asked.candidate)
        if not address or (asked.old is not None and _had(asked.old, asked, address)):
            return None
        metrics.LEDGER_WRITES.labels("lock").inc()
        return await self._locks.take(address, ledger.name, dry_run=asked.is_dry_run)

    async def _give_back(self, asked: Asked, before: Ledger | None) -> None:
        """What the member had, as far as anybody knows; a claim too many is the janitor's."""
        if asked.is_dry_run:
            return
        member = member_of(asked.candidate)
        had = before.claims_of(member) if before else ()
        metrics.LEDGER_WRITES.labels("give-back").inc()
        with contextlib.suppress(ClaimRefused, StaleLedger):
            if had and before:
                await self._store.claim(asked.group, member, shared=before.shared, claims=had)
            else:
                await self._store.leave(asked.group, member)

    async def _release(self, group: GroupName, look: Look) -> None:
        """Free one member's stale claims; the others are seen at the next look."""
        ledger = await self._store.read(group)
        member = Member(look.stale[0].service, look.stale[0].uid)
        if ledger is None or not set(look.stale).intersection(ledger.claims_of(member)):
            return
        keep = tuple(claim for claim in ledger.claims_of(member) if claim not in look.stale)
        try:
            await self._shrink(ledger, member, keep)
        except (StaleLedger, ClaimRefused):
            return
        _log.info("claims.released", namespace=group.namespace, key=group.key, service=member.service, by="admission")

    async def _shrink(self, ledger: Ledger, member: Member, keep: tuple[Claim, ...]) -> None:
        metrics.LEDGER_WRITES.labels("release").inc()
        version = ledger.resource_version
        if keep:
            await self._store.claim(ledger.name, member, shared=ledger.shared, claims=keep, resource_version=version)
        else:
            await self._store.leave(ledger.name, member, resource_version=version)


class Patience:
    """The time that one request may wait for others."""

    def __init__(self) -> None:
        """Begins at the first wait."""
        self._until: float | None = None

    async def wait(self, world: World) -> bool:
        """Wait for a change; False when the time was over already."""
        now = time.monotonic()
        self._until = self._until or now + PATIENCE_SECONDS
        if now >= self._until:
            return False
        await world.moved(min(LOOK_AGAIN_SECONDS, self._until - now))
        return True


def _needs_claim(asked: Asked, view: View) -> bool:
    """Whether it must claim: not if it was never accepted and keeps what speaks against it."""
    if asked.old is None or is_accepted(view.ledger, asked.old):
        return True
    return not existing_denials(asked.candidate, old=asked.old, situation=view.situation(asked))


def _had(old: ServiceView, asked: Asked, address: str) -> bool:
    """Whether an update leaves the address as it was: its lock is then no business of this request."""
    return old.is_member and old.group == asked.group and static_address(old) == address


def _on_its_way(asked: Asked, lost_to: ClaimRefused | LedgerIsLeaving) -> Denial:
    """What the rules have no word for, as it is over in a moment."""
    name, vip = quoted(asked.candidate.name.name), f"shared VIP {quoted(asked.group.key)}"
    is_leaving = isinstance(lost_to, LedgerIsLeaving)
    return Denial(
        rule=duplicate_port.ID,
        field=SHARING_KEY_FIELD if is_leaving else "metadata.name",
        problem=f"{vip} is being deleted"
        if is_leaving
        else f"another request for Service {name} is under way on {vip}",
        remedy="try again in a moment",
        subject=name,
    )


def _taken(asked: Asked, holder: AddressHolder) -> tuple[Denial, ...]:
    return static_address_taken.check(asked.candidate, Situation(Group(asked.group), (holder,)))
