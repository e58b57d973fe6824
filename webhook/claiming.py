"""The claim: one atomic write that decides, a live look before every no; it never guesses.

::

    the rules say yes  ->  claim  ->  look at an only peer  ->  lock the address  ->  admitted
          |                  |                |                        |
          no             refused    being changed: give back    held: give the claim back
          |                  |                |
          +--> look live: stale claims are released, what is on its way is waited for, and the rules decide again

Who came past admission and keeps what speaks against it is no member: what it adds is reserved for it, and no more.

The API server is the arbiter: a port or a value that another member holds is its 409, so two replicas, or two requests
at once, can never both be admitted (``docs/adr/0001-ledger.md``).
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from cluster.errors import ClusterError, Invalid
from cluster.field_conflicts import FieldConflict
from cluster.ip_addresses import AddressLocks
from cluster.leavers import BeingLeftError, Leaver, in_the_way, services_of
from cluster.shared_vips import ClaimRefused, LedgerIsLeaving, SharedVipStore, StaleLedger
from cluster.unfit import unfit
from sharedvip.decide import can_join, existing_denials, new_denials
from sharedvip.holders import holds_by_itself
from sharedvip.ledger import Ledger, Member, is_accepted, member_of
from sharedvip.model import AddressHolder, Denial, Listener, ServiceName, ServiceView, SharedValues
from sharedvip.parse import intended_address, static_address
from webhook import metrics
from webhook.answer import Answer, already_exists, denied
from webhook.claim_writes import Claimed, ClaimWrites, is_of_no_holder
from webhook.live_peers import changing_peer, leaver
from webhook.patience import Patience
from webhook.refusals import on_its_way, taken
from webhook.view import Asked, Look, View, asked_addresses
from webhook.world import World


class AddressIsInMotion(ClaimRefused):
    """A Service is about to leave the group with its address, or to join with it: that is no hand's edit."""


class AddressIsHeld(ClaimRefused):
    """An address that a Service has already is somebody else's, as only the lock tells: it stays in conflict."""

    def __init__(self, denials: tuple[Denial, ...]) -> None:
        """Keep what a create would be refused with."""
        super().__init__(())
        self.denials = denials


class _Lost(NamedTuple):
    """An address that is somebody else's."""

    holder: AddressHolder
    address: str


class Claiming:
    """Decides requests that may join a group."""

    def __init__(
        self, world: World, *, store: SharedVipStore, locks: AddressLocks, now: Callable[[], datetime]
    ) -> None:
        """Put together; ``now`` is UTC."""
        self._world = world
        self._writes = ClaimWrites(store, now=now)
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
            # What a lock has told once is not asked again.
            view = after if after.held_by_others else replace(after, held_by_others=view.held_by_others)

    async def _after(self, look: Look, asked: Asked, patience: Patience, *, lost_to: Exception | None) -> Answer | View:
        """What the live look leads to: an answer, or the view to try again with."""
        if _is_settled_elsewhere(asked, look.stored):
            return already_exists(asked.candidate.name) if asked.old is None else Answer()
        denials = look.view.denials(asked)
        if look.stale:
            # A dry run may not release what is stale, so it cannot try either: the rules alone decide.
            if asked.is_dry_run:
                existing = lost_to.denials if isinstance(lost_to, AddressIsHeld) else ()
                return denied(denials) if denials else Answer(existing=existing)
            if await self._writes.release(asked.group, look.stale) and not denials:
                return look.view
        is_pending = look.view.is_only_pending(asked)
        if not denials and isinstance(lost_to, ClaimRefused | LedgerIsLeaving):
            if (told := _told_by(lost_to, look)) is not None:
                return told
            # A namesake on its way is in the way: the rules do not count it, as it is the candidate itself.
            denials, is_pending = (on_its_way(asked, lost_to),), True
        if not denials or (is_pending and await patience.wait(self._world)):
            return look.view
        return look.view if is_pending and await self._world.have_gone(asked, look.view) else denied(denials)

    async def _try(self, asked: Asked, view: View) -> Answer | ClaimRefused | StaleLedger | None:
        """Claim, if nothing speaks against it; an error: the ledger says no; None: look live first."""
        if view.denials(asked) or (not view.is_live and view.is_outdated(asked)):
            return None
        if asked.old is None or (_needs_claim(asked, view) and not view.held_by_others):
            return await self._written(asked, self._claim_and_lock(asked, view))
        if not view.is_live:
            # A cache may be late to show that it was accepted, or that its conflict is over.
            return None
        if not view.held_by_others and view.is_old_only_pending(asked):
            # What speaks against it may be a newcomer's claim, which is about to be given back.
            return AddressIsInMotion(_joining(view))
        return await self._written(asked, self._reserve(asked, view, old=asked.old))

    async def _written(
        self, asked: Asked, write: Awaitable[Answer | ClaimRefused | StaleLedger]
    ) -> Answer | ClaimRefused | StaleLedger:
        try:
            return await write
        except Invalid as error:
            return denied(unfit(asked.candidate, error))
        except (ClaimRefused, StaleLedger) as error:
            metrics.CLAIM_CONFLICTS.labels(type(error).__name__).inc()
            return error

    async def _reserve(self, asked: Asked, view: View, *, old: ServiceView) -> Answer:
        """In conflict, and what speaks against it stays: it is no member, but what it adds is nobody else's."""
        added = set(asked.candidate.listeners) - set(old.listeners)
        if added:
            await self._writes.reserve(asked, view, old=old)
        return Answer(existing=view.held_by_others, claimed=_claim_text(asked, added) if added else "")

    async def _claim_and_lock(self, asked: Asked, view: View) -> Answer | ClaimRefused | StaleLedger:
        if view.is_overtaken(asked):
            return ClaimRefused(())
        if any(one and not (view.has_accepted(asked) and _had(asked, one)) for one in asked_addresses(asked)):
            self._world.held.require_recent()
        if asked.old is None and not view.is_live and await self._world.exists(asked.candidate.name):
            # The API server looks only when we have answered: a claim would wait for a Service that cannot come, and
            # be in the way of the update that is asked for next. No cache of ours knows all names.
            return already_exists(asked.candidate.name)
        if (held := await self._held_already(asked, view)) is not None:
            return held
        claimed = await self._writes.claim(asked, view)
        try:
            outcome = await self._moved(asked, view, claimed) or await self._lock(asked, view, claimed)
        except ClusterError:
            # Nobody knows, so the answer is no: the next try has another uid, and would meet this claim for the grace.
            await self._writes.give_back(asked, claimed)
            raise
        if not isinstance(outcome, Answer):
            await self._writes.give_back(asked, claimed, is_in_vain=isinstance(outcome, StaleLedger))
        return await self._held_otherwise(asked, *outcome) if isinstance(outcome, _Lost) else outcome

    async def _held_already(self, asked: Asked, view: View) -> Answer | AddressIsHeld | None:
        """What speaks against the addresses that it has already, by their locks: who came past admission has none.

        Looked at before anything is claimed, as it is stored with them whatever the answer: a claim, until it is given
        back, is one that others see, and the reconciler builds by.
        """
        found, asking = list[Denial](), member_of(asked.candidate)
        for address in _those_it_has_first(asked, addresses_to_lock(asked, view, view.shared(asked))):
            if not _had(asked, address) and not found:
                return None  # it is locked once it is claimed
            if _had(asked, address) and view.is_served_on(address, asked):
                continue
            holder = await self._locks.held_by_another(address, asked.group, asking=asking)
            if holder is not None and not _had(asked, address):
                # What was wrong before stays as it was; what is new about it must be nobody's yet.
                return await self._held_otherwise(asked, holder, address)
            found += taken(asked, await self._held_now(asked, holder, address), address) if holder else ()
        return AddressIsHeld(tuple(found)) if found else None

    async def _moved(self, asked: Asked, view: View, claimed: Claimed) -> ClaimRefused | None:
        """Whether the group is another than the one that was judged, by whoever is changed right now."""
        if changing := await changing_peer(asked, view, self._world, before=claimed.before, after=claimed.after):
            return ClaimRefused((FieldConflict("spec", changing.field_manager),))
        if gone := await leaver(asked, view, self._world, after=claimed.after):
            return AddressIsInMotion((FieldConflict("spec", gone.field_manager),))
        return ClaimRefused(()) if _is_less(asked, claimed.after) else None

    async def _lock(self, asked: Asked, view: View, claimed: Claimed) -> Answer | ClaimRefused | StaleLedger | _Lost:
        """Claim first, then lock: the other order would leave a lock behind for each loser of a race."""
        for address in _those_it_has_first(asked, addresses_to_lock(asked, view, claimed.shared)):
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
                if leaving is not None:
                    return AddressIsInMotion(leaving)
                continue
            if holder is not None and not (_had(asked, address) and view.is_served_on(address, asked)):
                # Somebody has locked what it has since we looked: the next look says whose it is.
                lost_since = StaleLedger(f"{address} has another holder than a moment ago")
                return lost_since if _had(asked, address) else _Lost(holder, address)
        return Answer(claimed=_claim_text(asked, asked.candidate.listeners))

    async def _held_otherwise(self, asked: Asked, holder: AddressHolder, address: str) -> Answer:
        is_namesake = ServiceName(holder.namespace, holder.service) == asked.candidate.name
        # Another incarnation of it has left a group with the address. Or it is its own cluster IP.
        if is_namesake and _is_settled_elsewhere(asked, await self._world.service(asked.candidate.name)):
            return already_exists(asked.candidate.name) if asked.old is None else Answer()
        return denied(taken(asked, await self._held_now(asked, holder, address), address))

    async def _held_now(self, asked: Asked, holder: AddressHolder, address: str) -> AddressHolder:
        return await self._world.held.now(holder, address, but=asked.candidate.name)

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


def _claim_text(asked: Asked, listeners: Iterable[Listener]) -> str:
    """For the API server's audit log: which listeners of which group."""
    return f"{asked.group.key}: {', '.join(map(str, sorted(set(listeners))))}"


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


def _told_by(lost_to: ClaimRefused | LedgerIsLeaving, look: Look) -> View | None:
    """The view with what no rule could tell of it; None: nobody can go on with that."""
    if isinstance(lost_to, AddressIsHeld):
        return replace(look.view, held_by_others=lost_to.denials)
    return replace(look.view, is_forcing=True) if _is_of_nobody(lost_to, look) else None


def _is_of_nobody(lost_to: ClaimRefused | LedgerIsLeaving, look: Look) -> bool:
    """Whether no member owns what was in the way: a hand has edited the ``SharedVIP``, or a program that is not ours.

    The rules have judged what it says; what it says against nobody is taken back, at the version that was judged.
    """
    ledger = look.view.ledger
    if ledger is None or isinstance(lost_to, LedgerIsLeaving | AddressIsInMotion) or not lost_to.conflicts:
        return False
    # Stale members too: theirs was just released in their own name, and needs no force.
    stale = {Member(claim.service, claim.uid) for claim in look.stale}
    return is_of_no_holder(lost_to, {*ledger.holders, *stale})


def _is_less(asked: Asked, after: Ledger) -> bool:
    """Whether a late cache had a create claim less than it asks for: another intended address than its group's now."""
    return asked.old is None and not is_accepted(after, asked.candidate)


def _needs_claim(asked: Asked, view: View) -> bool:
    """Whether it must claim: not if it was never accepted and keeps what speaks against it."""
    return view.has_accepted(asked) or not existing_denials(
        asked.candidate, old=asked.old, situation=view.situation(asked)
    )


def _joining(view: View) -> tuple[FieldConflict, ...]:
    """The ordinary Services that are about to join the group, and are in the way until then."""
    names = {holder.service for holder in (*view.holders, *view.intended_holders) if holder.is_pending}
    members = view.ledger.members if view.ledger else ()
    return tuple(FieldConflict("spec", one.field_manager) for one in members if one.service in names)


def addresses_to_lock(asked: Asked, view: View, shared: SharedValues) -> list[str]:
    """The addresses of a claim that this request may be the first to need, the static one first."""
    # Who came past admission has no lock yet; for all others it is no business of this request, nor is the group's own
    # for a member that leaves it in a move: that one could be somebody else's by now, and the move the way out.
    # But where another request, or the janitor, may just be about to give the address back, one looks.
    asking, is_doubtful = asked_addresses(asked), view.is_doubtful(asked)
    group_has = view.ledger.shared.static_address if view.ledger else ""
    # What this one does not ask for is a matter of the requests that do, and of the janitor.
    wanted = [address for address in (shared.static_address, shared.intended_address) if address in asking]
    is_known = view.has_accepted(asked) and not is_doubtful
    known = {address for address in wanted if is_known and (address == group_has or _had(asked, address))}
    return [address for address in wanted if address and address not in known]


def _those_it_has_first(asked: Asked, addresses: Iterable[str]) -> list[str]:
    """Where one of those is somebody else's, no lock is made for what it intends."""
    return sorted(addresses, key=lambda address: not _had(asked, address))


def _had(asked: Asked, address: str) -> bool:
    """Whether an update leaves the Service with an address, or with the wish for it."""
    old, new = asked.old, asked.candidate
    if old is None or not old.is_member or old.group != asked.group:
        return False
    if static_address(new) == address:
        return static_address(old) == address
    return intended_address(new) == address and address in {static_address(old), intended_address(old)}
