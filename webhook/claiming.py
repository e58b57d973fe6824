"""The claim: one atomic write that decides, a live look before every no; it never guesses.

::

    the rules say yes  ->  claim  ->  look at an only peer  ->  lock the address  ->  admitted
          |                  |                |                        |
          no             refused    being changed: give back    held: give the claim back
          |                  |                |
          +--> look live: stale claims are released, what is on its way is waited for, and the rules decide again

The API server is the arbiter: a port or a value that another member holds is its 409, so two replicas, or two requests
at once, can never both be admitted (``docs/adr/0001-ledger.md``).
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final, NamedTuple

import structlog

from cluster.errors import ClusterError, Invalid
from cluster.field_conflicts import FieldConflict
from cluster.ip_addresses import AddressLocks
from cluster.leavers import BeingLeftError, Leaver, in_the_way, services_of
from cluster.shared_vips import ClaimRefused, LedgerIsLeaving, SharedVipStore, StaleLedger
from cluster.unfit import unfit
from sharedvip.decide import can_join, existing_denials, new_denials
from sharedvip.holders import holds_by_itself
from sharedvip.ledger import Claim, Ledger, Member, Release, grow, is_accepted, member_of
from sharedvip.model import AddressHolder, GroupName, ServiceName, ServiceView, SharedValues
from sharedvip.moving import with_heading
from sharedvip.parse import intended_address, static_address
from sharedvip.turning import asked_again
from webhook import metrics
from webhook.answer import Answer, already_exists, denied
from webhook.caller import require_caller
from webhook.live_peers import changing_peer, leaver
from webhook.patience import Patience
from webhook.refusals import on_its_way, taken
from webhook.view import Asked, Look, View, asked_addresses
from webhook.world import World

_GIVE_BACK_TRIES: Final = 4

_log = structlog.get_logger()


class AddressIsInMotion(ClaimRefused):
    """A Service is about to leave the group with its address, or to join with it: that is no hand's edit."""


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
            found = new_denials(asked.candidate, old=asked.old, situation=self._world.alone(asked))
            return denied(found) if found else Answer()
        patience = Patience(asked.patience_seconds)
        view = self._world.cached(asked)
        while True:
            tried = await self._try(asked, view)
            if isinstance(tried, Answer):
                return tried
            look = await self._world.look(asked)
            after = await self._after(look, asked, patience, lost_to=tried)
            if isinstance(after, Answer):
                return after
            metrics.RETRIES.labels("rules" if tried is None else type(tried).__name__).inc()
            view = after

    async def _after(self, look: Look, asked: Asked, patience: Patience, *, lost_to: Exception | None) -> Answer | View:
        """What the live look leads to: an answer, or the view to try again with."""
        if _is_settled_elsewhere(asked, look.stored):
            return already_exists(asked.candidate.name) if asked.old is None else Answer()
        denials = look.view.denials(asked)
        if look.stale:
            # A dry run may not release what is stale, so it cannot try either: the rules alone decide.
            if asked.is_dry_run:
                return denied(denials) if denials else Answer()
            if await self._release(asked.group, look.stale) and not denials:
                return look.view
        is_pending = look.view.is_only_pending(asked)
        if not denials and isinstance(lost_to, ClaimRefused | LedgerIsLeaving):
            if _is_of_nobody(lost_to, look):
                return replace(look.view, is_forcing=True)
            # A namesake on its way is in the way: the rules do not count it, as it is the candidate itself.
            denials, is_pending = (on_its_way(asked, lost_to),), True
        if not denials or (is_pending and await patience.wait(self._world)):
            return look.view
        return look.view if is_pending and await self._world.have_gone(asked, look.view) else denied(denials)

    async def _try(self, asked: Asked, view: View) -> Answer | ClaimRefused | StaleLedger | None:
        """Claim, if nothing speaks against it; an error: the ledger says no; None: look live first."""
        if view.denials(asked) or (not view.is_live and view.is_outdated(asked)):
            return None
        if not _needs_claim(asked, view):
            return _unclaimed(asked, view)
        if view.is_overtaken(asked):
            return ClaimRefused(())
        if any(one and not (view.has_accepted(asked) and _had(asked, one)) for one in asked_addresses(asked)):
            self._world.held.require_recent()
        try:
            return await self._claim_and_lock(asked, view)
        except Invalid as error:
            return denied(unfit(asked.candidate, error))
        except (ClaimRefused, StaleLedger) as error:
            metrics.CLAIM_CONFLICTS.labels(type(error).__name__).inc()
            return error

    async def _claim_and_lock(self, asked: Asked, view: View) -> Answer | ClaimRefused:
        if asked.old is None and not view.is_live and await self._world.exists(asked.candidate.name):
            # The API server looks only when we have answered: a claim would wait for a Service that cannot come, and
            # be in the way of the update that is asked for next. No cache of ours knows all names.
            return already_exists(asked.candidate.name)
        claimed = await self._claim(asked, view)
        try:
            return await self._lock(asked, view, claimed)
        except ClusterError:
            # Nobody knows, so the answer is no: the next try has another uid, and would meet this claim for the grace.
            await self._give_back(asked, claimed)
            raise

    async def _claim(self, asked: Asked, view: View) -> "_Claimed":
        """One server-side apply; an update says which ledger it has read, for another update may be on its way."""
        await require_caller(asked.caller)
        ledger = view.ledger
        if asked.old is not None and ledger is None and not asked.is_dry_run:
            # Two updates of one Service that both found a group: only with a version one of them is told.
            metrics.LEDGER_WRITES.labels("found").inc()
            ledger = await self._store.found(asked.group)
            if ledger is None or ledger.claims:
                # Gone as it came, or there already: nobody has judged by what it says.
                raise StaleLedger(f"the ledger of {asked.group.key!r} is another than it was")
        now = self._now()
        shared, grown = view.shared(asked), grow(ledger, asked.candidate, old=asked.old, now=now)
        headed = with_heading(grown, asked.candidate, old=asked.old, shared=shared, now=now)
        claims = asked_again(headed, asked.candidate, old=asked.old, now=now)
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
            if not view.is_forcing or ledger is None or not _is_of_no_member(refused, ledger.members):
                raise
            _log.warning("ledger.taken_back", namespace=asked.group.namespace, key=asked.group.key, of=str(refused))
            if not asked.is_dry_run:
                metrics.LEDGER_WRITES.labels("force").inc()
            after = await apply(force=True)
        return _Claimed(ledger, after, shared)

    async def _lock(self, asked: Asked, view: View, claimed: "_Claimed") -> Answer | ClaimRefused:
        """Claim first, then lock: the other order would leave a lock behind for each loser of a race."""
        if changing := await changing_peer(asked, view, self._world, before=claimed.before, after=claimed.after):
            await self._give_back(asked, claimed)
            return ClaimRefused((FieldConflict("spec", changing.field_manager),))
        if gone := await leaver(asked, view, self._world, after=claimed.after):
            await self._give_back(asked, claimed)
            return AddressIsInMotion((FieldConflict("spec", gone.field_manager),))
        if _is_less(asked, claimed.after):
            await self._give_back(asked, claimed)
            return ClaimRefused(())
        for address in addresses_to_lock(asked, view, claimed.shared):
            # With peers that have it, the lock is there: one look, and no second write for an admitted create.
            is_expected = claimed.before is not None and address in claimed.before.addresses
            try:
                holder = await self._locks.take(
                    address,
                    asked.group,
                    is_expected=is_expected,
                    minds_leaver=True,
                    asking=member_of(asked.candidate),
                    dry_run=asked.is_dry_run,
                )
            except BeingLeftError as error:
                leaving = await self._leaving(asked, address, in_the_way(error.leavers, claimed.after))
                if leaving is None:
                    continue
                await self._give_back(asked, claimed)
                return AddressIsInMotion(leaving)
            if holder is not None:
                await self._give_back(asked, claimed)
                return await self._held_otherwise(asked, holder, address)
        return Answer(claimed=_claim_text(asked))

    async def _held_otherwise(self, asked: Asked, holder: AddressHolder, address: str) -> Answer:
        is_namesake = ServiceName(holder.namespace, holder.service) == asked.candidate.name
        # Another incarnation of it has left a group with the address. Or it is its own cluster IP.
        if is_namesake and _is_settled_elsewhere(asked, await self._world.service(asked.candidate.name)):
            return already_exists(asked.candidate.name) if asked.old is None else Answer()
        # What was wrong before stays as it was, and claims nothing.
        if _had(asked, address):
            return Answer()
        return denied(taken(asked, await self._world.held.now(holder, address, but=asked.candidate.name), address))

    async def _leaving(
        self, asked: Asked, address: str, leavers: tuple[Leaver, ...]
    ) -> tuple[FieldConflict, ...] | None:
        """Who is about to leave with the address, nobody where he has left with it by now; None: nobody does."""
        now, others = self._now(), [one for one in leavers if one.service != asked.candidate.name.name]
        names = services_of(others, asked.group.namespace)
        stored = {name.name: await self._world.service(name) for name in names}
        leaving = [one for one in others if one.may_leave(stored[one.service], now=now)]
        has_left = any(one is not None and holds_by_itself(one, address) for one in stored.values())
        # Who has left is shown by the next look as soon as the cache does.
        conflicts = tuple(FieldConflict("spec", Member(one.service, one.uid).field_manager) for one in leaving)
        return conflicts if leaving or has_left else None

    async def _give_back(self, asked: Asked, claimed: "_Claimed") -> None:
        """What the member had before; a claim too many is the janitor's, and no reason to leave a refusal unsaid."""
        if asked.is_dry_run:
            return
        member, after = member_of(asked.candidate), claimed.after
        if claimed.before is not None and claimed.before.resource_version == after.resource_version:
            # Nothing was written: all of it was there, and may be another request's.
            return
        try:
            for _ in range(_GIVE_BACK_TRIES):
                metrics.LEDGER_WRITES.labels("give-back").inc()
                if await self._is_given_back(asked, claimed.before, version=after.resource_version):
                    return
                live = await self._store.read(asked.group)
                if live is None or live.claims_of(member) != after.claims_of(member) or live.shared != after.shared:
                    # Another request for the same Service has claimed since: that must not go with ours.
                    return
                after = live
        except ClusterError as error:
            _log.info("claims.kept", namespace=asked.group.namespace, service=member.service, error=str(error))

    async def _is_given_back(self, asked: Asked, before: Ledger | None, *, version: str) -> bool:
        member = member_of(asked.candidate)
        had = before.claims_of(member) if before else ()
        # A create has a uid, and so a field manager, of its own: there is nobody to tell apart.
        version = version if asked.old is not None else ""
        try:
            if had and before:
                await self._store.claim(asked.group, member, shared=before.shared, claims=had, resource_version=version)
            else:
                await self._store.leave(asked.group, member, resource_version=version)
        except StaleLedger:
            return False
        return True

    async def _release(self, group: GroupName, stale: tuple[Claim, ...]) -> bool:
        """Free stale claims, member by member; what was written meanwhile is seen at the next look.

        Returns:
            Whether any was: what the API server said before, it may not say again.
        """
        is_any_free = False
        for member in sorted({Member(claim.service, claim.uid) for claim in stale}):
            ledger = await self._store.read(group)
            held = ledger.claims_of(member) if ledger else ()
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


def _claim_text(asked: Asked) -> str:
    """For the API server's audit log: which listeners of which group."""
    return f"{asked.group.key}: {', '.join(map(str, sorted(set(asked.candidate.listeners))))}"


class _Claimed(NamedTuple):
    """The ledger that a claim was made in, as it was read and as it was written."""

    before: Ledger | None
    after: Ledger
    shared: SharedValues


def _is_settled_elsewhere(asked: Asked, stored: ServiceView | None) -> bool:
    """Whether the API server will not store this request as it is, whatever we say.

    A create, because its name is there. An update, because its Service was deleted since, or deleted and made anew:
    the API server compares the revision that it read, and asks again for the new one. To refuse that would lose it.
    """
    if asked.old is None:
        return stored is not None and stored.uid != asked.candidate.uid
    if stored is None or stored.uid != asked.old.uid:
        return True
    return bool(asked.old.resource_version) and stored.resource_version != asked.old.resource_version


def _is_of_nobody(lost_to: ClaimRefused | LedgerIsLeaving, look: Look) -> bool:
    """Whether no member owns what was in the way: a hand has edited the ``SharedVIP``, or a program that is not ours.

    The rules have judged what it says; what it says against nobody is taken back, at the version that was judged.
    """
    ledger = look.view.ledger
    if ledger is None or isinstance(lost_to, LedgerIsLeaving | AddressIsInMotion) or not lost_to.conflicts:
        return False
    # Stale members too: theirs was just released in their own name, and needs no force.
    stale = {Member(claim.service, claim.uid) for claim in look.stale}
    return _is_of_no_member(lost_to, {*ledger.members, *stale})


def _is_of_no_member(lost_to: ClaimRefused, members: Iterable[Member]) -> bool:
    # One that the API server words otherwise than we can read may be anybody's.
    return "" not in lost_to.managers and lost_to.managers.isdisjoint(member.field_manager for member in members)


def _is_less(asked: Asked, after: Ledger) -> bool:
    """Whether a late cache had a create claim less than it asks for: another intended address than its group's now."""
    return asked.old is None and not is_accepted(after, asked.candidate)


def _needs_claim(asked: Asked, view: View) -> bool:
    """Whether it must claim: not if it was never accepted and keeps what speaks against it."""
    if asked.old is None or view.has_accepted(asked):
        return True
    return not existing_denials(asked.candidate, old=asked.old, situation=view.situation(asked))


def _unclaimed(asked: Asked, view: View) -> Answer | ClaimRefused | None:
    """What is said to who was never accepted, and keeps what speaks against it."""
    if not view.is_live:
        # A cache may be late to show that it was accepted, or that its conflict is over.
        return None
    # What speaks against it may be a newcomer's claim, which is about to be given back.
    return AddressIsInMotion(_joining(view)) if view.is_old_only_pending(asked) else Answer()


def _joining(view: View) -> tuple[FieldConflict, ...]:
    """The ordinary Services that are about to join the group, and are in the way until then."""
    names = {holder.service for holder in (*view.holders, *view.intended_holders) if holder.is_pending}
    members = view.ledger.members if view.ledger else ()
    return tuple(FieldConflict("spec", one.field_manager) for one in members if one.service in names)


def addresses_to_lock(asked: Asked, view: View, shared: SharedValues) -> list[str]:
    """The addresses of a claim that this request may be the first to need, the static one first."""
    # Who came past admission has no lock yet; for all others it is no business of this request, nor is the group's own
    # for a member that leaves it in a move: that one could be somebody else's by now, and the move the way out.
    # But where another request may just be about to give the address back, one looks.
    asking = asked_addresses(asked)
    is_doubtful = view.has_another_on_its_way(asked)
    unsure = {one for one in asking if is_doubtful and not (_had(asked, one) and view.was_accepted_before(asked))}
    group_has = view.ledger.shared.static_address if view.ledger else ""
    # What this one does not ask for is a matter of the requests that do, and of the janitor.
    wanted = [address for address in (shared.static_address, shared.intended_address) if address in asking]
    if view.ledger and view.change_under_way(asked) == shared:
        wanted = [address for address in wanted if not _had(asked, address)]
    is_known = view.has_accepted(asked)
    known = {address for address in wanted if is_known and (address == group_has or _had(asked, address))}
    return [address for address in wanted if address and (address not in known or address in unsure)]


def _had(asked: Asked, address: str) -> bool:
    """Whether an update leaves the Service with an address, or with the wish for it."""
    old, new = asked.old, asked.candidate
    if old is None or not old.is_member or old.group != asked.group:
        return False
    if static_address(new) == address:
        return static_address(old) == address
    return intended_address(new) == address and address in {static_address(old), intended_address(old)}
