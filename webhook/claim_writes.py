"""What admission writes into a ledger, each write counted; it never decides, and judges nobody.

An update says which ledger it has read, for another update of the same Service may be on its way
(``docs/adr/0001-ledger.md``).
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Final, NamedTuple

import structlog

from cluster.errors import ClusterError
from cluster.shared_vips import ClaimRefused, SharedVipStore, StaleLedger
from sharedvip.ledger import Claim, Ledger, Member, Release, given_back, grow, is_young, member_of, reserve
from sharedvip.model import GroupName, Listener, ServiceView, SharedValues
from sharedvip.moving import with_heading
from sharedvip.turning import asked_again
from webhook import metrics
from webhook.caller import require_caller
from webhook.view import Asked, View

_GIVE_BACK_TRIES: Final = 4

_log = structlog.get_logger("webhook.claiming")


class Claimed(NamedTuple):
    """The ledger that a claim was made in, as it was read and as it was written."""

    before: Ledger | None
    after: Ledger
    shared: SharedValues


class ClaimWrites:
    """Claims, reserves, gives back and releases.

    Args:
        store: The ledgers.
        now: UTC.
    """

    def __init__(self, store: SharedVipStore, *, now: Callable[[], datetime]) -> None:
        self._store: Final = store
        self._now: Final = now

    async def claim(self, asked: Asked, view: View) -> Claimed:
        """All that a member claims, by one server-side apply.

        Raises:
            ClaimRefused: Others own it.
            StaleLedger: The ledger changed since it was read.
            ClusterError: The API server refused otherwise, or could not be asked.
        """
        ledger, now = await self._ledger(asked, view), self._now()
        shared, grown = view.shared(asked), grow(ledger, asked.candidate, old=asked.old, now=now)
        headed = with_heading(grown, asked.candidate, old=asked.old, shared=shared, now=now)
        claims = asked_again(headed, asked.candidate, old=asked.old, now=now)
        return await self._apply(asked, view, ledger, shared=shared, claims=claims)

    async def reserve(self, asked: Asked, view: View, *, old: ServiceView) -> None:
        """The listeners that a Service in conflict adds to those of ``old``, for nobody else to claim.

        Raises:
            ClaimRefused: Others own one.
            StaleLedger: The ledger changed since it was read.
            ClusterError: The API server refused otherwise, or could not be asked.
        """
        ledger, now = await self._ledger(asked, view), self._now()
        claims = reserve(ledger, asked.candidate, old=old, now=now, is_in_vain=view.is_claimed_in_vain(asked))
        await self._apply(asked, view, ledger, shared=ledger.shared if ledger else SharedValues(), claims=claims)

    async def _ledger(self, asked: Asked, view: View) -> Ledger | None:
        """The ledger to write: for an update one that is there."""
        await require_caller(asked.caller)
        if asked.old is None or view.ledger is not None or asked.is_dry_run:
            return view.ledger
        # Two updates of one Service that both found a group: only with a version one of them is told.
        metrics.LEDGER_WRITES.labels("found").inc()
        ledger = await self._store.found(asked.group)
        if ledger is None or ledger.held:
            # Gone as it came, or there already: nobody has judged by what it says.
            raise StaleLedger(f"the ledger of {asked.group.key!r} is another than it was")
        return ledger

    async def _apply(
        self, asked: Asked, view: View, ledger: Ledger | None, *, shared: SharedValues, claims: Sequence[Claim]
    ) -> Claimed:
        has_to_tell = asked.old is not None or view.is_forcing
        if not asked.is_dry_run:
            metrics.LEDGER_WRITES.labels("claim").inc()
        apply = partial(
            self._store.claim,
            asked.group,
            member_of(asked.candidate),
            shared=shared,
            claims=claims,
            resource_version=ledger.resource_version if has_to_tell and ledger else "",
            dry_run=asked.is_dry_run,
        )
        try:
            after = await apply()
        except ClaimRefused as refused:
            # Asked again at the version that is forced: since the first answer a member may have come to own it.
            if not view.is_forcing or ledger is None or not is_of_no_holder(refused, ledger.holders):
                raise
            _log.warning("ledger.taken_back", namespace=asked.group.namespace, key=asked.group.key, of=str(refused))
            if not asked.is_dry_run:
                metrics.LEDGER_WRITES.labels("force").inc()
            after = await apply(force=True)
        return Claimed(ledger, after, shared)

    async def give_back(self, asked: Asked, claimed: Claimed, *, is_in_vain: bool = False) -> None:
        """What the member had before; a claim too many is the janitor's, and no reason to leave a refusal unsaid.

        ``is_in_vain``: the address that the Service has is another's, so whoever claimed it a moment before has to give
        that back as well, and no more than reserves what he adds; but not where the group is served on it.
        """
        if asked.is_dry_run:
            return
        member, after, before = member_of(asked.candidate), claimed.after, claimed.before
        if is_in_vain and before is not None and before.vip not in before.shared.addresses:
            before = _in_vain(before, asked, now=self._now()) if before.shared == claimed.shared else before
        if claimed.before is not None and claimed.before.resource_version == after.resource_version:
            # Nothing was written: all of it was there, and may be another request's.
            return
        try:
            for _ in range(_GIVE_BACK_TRIES):
                metrics.LEDGER_WRITES.labels("give-back").inc()
                if await self._is_given_back(asked, before, after):
                    return
                live = await self._store.read(asked.group)
                is_ours = live is not None and set(live.claims_of(member)) <= set(after.claims_of(member))
                if live is None or not is_ours or live.shared != after.shared:
                    # Another request for the same Service has claimed since: that must not go with ours.
                    return
                after = live
        except ClusterError as error:
            _log.info("claims.kept", namespace=asked.group.namespace, service=member.service, error=str(error))

    async def _is_given_back(self, asked: Asked, before: Ledger | None, after: Ledger) -> bool:
        """False: it was written meanwhile."""
        member, shared = member_of(asked.candidate), before.shared if before else SharedValues()
        kept = given_back(before, after, member)
        # A create has a uid, and so a field manager, of its own: there is nobody to tell apart.
        version = after.resource_version if asked.old is not None else ""
        try:
            if kept:
                await self._store.claim(asked.group, member, shared=shared, claims=kept, resource_version=version)
            else:
                await self._store.leave(asked.group, member, resource_version=version)
        except StaleLedger:
            return False
        return True

    async def release(self, group: GroupName, stale: tuple[Claim, ...]) -> bool:
        """Free stale claims, member by member; what was written meanwhile is seen at the next look.

        Returns:
            Whether any was: what the API server said before, it may not say again.
        """
        is_any_free = False
        for member in sorted({Member(claim.service, claim.uid) for claim in stale}):
            ledger = await self._store.read(group)
            held = ledger.held_by(member) if ledger else ()
            keep = tuple(claim for claim in held if claim not in stale)
            if ledger is None or keep == held:
                continue
            metrics.LEDGER_WRITES.labels("release").inc()
            try:
                await self._store.release(ledger, Release(member, keep))
            except (StaleLedger, ClaimRefused):
                continue
            is_any_free = True
            _log.info(
                "claims.released", namespace=group.namespace, key=group.key, service=member.service, by="admission"
            )
        return is_any_free


def _in_vain(ledger: Ledger, asked: Asked, *, now: datetime) -> Ledger:
    """The ledger without what is young of the member: what is not stored yet stays reserved, as it may still be."""
    member, stored = member_of(asked.candidate), set(asked.old.listeners) if asked.old else set[Listener]()
    if not is_young(ledger.claims_of(member), now=now):
        return ledger
    others = [claim for claim in ledger.held if claim not in ledger.held_by(member)]
    coming = [c for c in ledger.held_by(member) if c.is_reserved or c.listener not in stored]
    return ledger.with_held([*others, *(c._replace(is_reserved=True, heading=None) for c in coming)])


def is_of_no_holder(refused: ClaimRefused, holders: Iterable[Member]) -> bool:
    """Whether none of them, who hold anything in the ledger, owns what was in the way."""
    # One that the API server words otherwise than we can read may be anybody's.
    return "" not in refused.managers and refused.managers.isdisjoint(member.field_manager for member in holders)
