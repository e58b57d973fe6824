"""A group that moves, and moves again: requests that overlap, come late or never, a janitor that dies.

The machine plays the API server: ``AppliedLedger`` refuses who applies another value than others, and a request is
stored only over the Service that it was admitted for. The Services that rules see are those of a watch that lags; a
create sees the ledger as it was, an update must know it as it is. Everything else is ours: the rules,
``claimed_values``, ``with_heading``, ``progress`` and the janitor's order of writes.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, RuleBasedStateMachine, consumes, invariant, multiple, rule

from sharedvip.decide import new_denials
from sharedvip.holders import address_holders, holds_by_itself
from sharedvip.inherit import inherited_address
from sharedvip.ledger import (
    GRACE,
    Claim,
    Ledger,
    Member,
    confirmed_claims,
    group_of,
    grow,
    is_accepted,
    is_settled_in,
    member_of,
    shrink,
)
from sharedvip.model import ServiceView, Situation
from sharedvip.moving import progress, with_heading, without_headings
from sharedvip.parse import shared_values, static_address
from sharedvip.turning import asked_again, change_under_way, is_outdated, is_overtaken, values_to_claim
from tests.builders import GROUP, service
from tests.sharedvip.applied_ledger import AppliedLedger
from tests.strategies import START

_ENOUGH_SETTLED = 2
REQUEST_LIFETIME = timedelta(seconds=60)
PORTS = {"a": "80/TCP", "b": "443/TCP", "c": "53/UDP"}
ADDRESSES = ("10.0.0.1", "10.0.0.2", "10.0.0.3")

names = st.sampled_from(tuple(PORTS))
addresses = st.sampled_from(("", *ADDRESSES))


class Request(NamedTuple):
    """Admitted by us; whether it will be stored is not ours to know."""

    candidate: ServiceView
    old: ServiceView | None
    admitted_at: int
    version: int


class MoveMachine(RuleBasedStateMachine):
    """Three Services with a port each, three addresses; nobody fights for a port here."""

    requests: Bundle[Request] = Bundle("requests")

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.births = 0
        self.applied = AppliedLedger()
        self.old_ledger = self.ledger
        self.stored: dict[str, ServiceView] = {}
        self.versions: dict[str, int] = {}
        self.before: dict[str, ServiceView] = {}
        """Each as it was before its last change, with the version of then."""
        self.seen: tuple[ServiceView, ...] = ()
        self.confirmed: frozenset[Claim] = frozenset()
        self.look: tuple[Ledger, tuple[ServiceView, ...], datetime] | None = None
        self.asked: list[Request] = []

    # --- requests

    @rule(target=requests, name=names, address=addresses, intended=addresses)
    def ask(self, name: str, address: str, intended: str) -> Request | MultipleResults[Request]:
        """A create, or an update of address and annotation."""
        self.now += timedelta(microseconds=1)
        old = self._live(name)
        ledger = self.ledger if old else self.old_ledger
        candidate = self._candidate(name, address, intended, old)
        if inheritance := inherited_address(candidate, self.seen, ledger):
            candidate = replace(candidate, load_balancer_ip=inheritance.value)
        if not self._is_allowed(candidate, old, ledger) or not self._claim(candidate, old, ledger):
            return multiple()
        request = Request(candidate, old, self._seconds(), self.versions.get(name, 0))
        self.asked.append(request)
        return request

    @rule(name=names, address=addresses, intended=addresses)
    def ask_over_an_old_version(self, name: str, address: str, intended: str) -> None:
        """It was kept by somebody before us, and is never stored; what it claims is claimed all the same."""
        old = self.before.get(name)
        if old is None or name not in self.stored or is_outdated(self.ledger, old, now=self.now):
            return
        candidate = self._candidate(name, address, intended, old)
        if self._is_allowed(candidate, old, self.ledger):
            self._claim(candidate, old, self.ledger)

    @rule(name=names, address=addresses)
    def come_without_the_annotation(self, name: str, address: str) -> None:
        """An ordinary Service, with an address or not: nobody is asked, and later it may ask to join with it."""
        if name not in self.stored:
            self.stored[name] = replace(self._candidate(name, address, "", None), sharing_key=None)
            self.versions[name] = self.versions.get(name, 0) + 1

    @rule(name=names)
    def label(self, name: str) -> None:
        """Another version of the same."""
        if (view := self._live(name)) is not None:
            self.before[name] = view
            self.versions[name] += 1

    @rule(target=requests, name=names, address=st.sampled_from(ADDRESSES))
    def overlap(self, name: str, address: str) -> Request | MultipleResults[Request]:
        """A new address, and before that is stored an update that changes nothing of what is shared, and a newcomer."""
        old = self.stored.get(name)
        if old is None:
            return multiple()
        first = self.ask(name, address, "")
        self.ask(name, old.load_balancer_ip, old.intended_address)
        self.observe()
        for other in sorted(PORTS.keys() - self.stored.keys())[:1]:
            self.apply(other, old.load_balancer_ip, "")
        return first

    @property
    def ledger(self) -> Ledger:
        """As it is on the API server."""
        return self.applied.ledger

    @property
    def members(self) -> tuple[ServiceView, ...]:
        """The stored Services that have the annotation."""
        return tuple(view for view in self.stored.values() if view.is_in(GROUP))

    def _live(self, name: str) -> ServiceView | None:
        view = self.stored.get(name)
        return None if view is None else replace(view, resource_version=str(self.versions[name]))

    def _candidate(self, name: str, address: str, intended: str, old: ServiceView | None) -> ServiceView:
        fresh = service(name, PORTS[name], load_balancer_ip=address, intended_address=intended)
        if old is not None:
            return replace(fresh, uid=old.uid)
        self.births += 1
        return replace(fresh, uid=f"uid-{self.births}")

    def _is_allowed(self, candidate: ServiceView, old: ServiceView | None, ledger: Ledger) -> bool:
        group = group_of(GROUP, ledger=ledger, services=self.seen, candidate=candidate)
        is_member = old is not None and is_accepted(ledger, old)
        holders, intended = (
            address_holders(GROUP, address, candidate=candidate.name, services=self.seen, groups=()) if address else ()
            for address in (static_address(candidate), candidate.intended_address)
        )
        met = Situation(group, holders, intended_holders=intended, is_member=is_member)
        return not new_denials(candidate, old=old, situation=met)

    def _claim(self, candidate: ServiceView, old: ServiceView | None, ledger: Ledger) -> bool:
        group = group_of(GROUP, ledger=ledger, services=self.seen, candidate=candidate)
        under_way = change_under_way(ledger, old, now=self.now)
        shared = values_to_claim(candidate, old=old, group=group, under_way=under_way)
        if is_overtaken(shared, candidate=candidate, old=old, under_way=under_way):
            return False
        grown = grow(ledger, candidate, old=old, now=self.now)
        headed = with_heading(grown, candidate, old=old, shared=shared, now=self.now)
        claims = asked_again(headed, candidate, old=old, now=self.now)
        before = self.ledger
        if not self.applied.apply(member_of(candidate), shared, claims):
            return False
        is_less = old is None and not is_accepted(self.ledger, candidate)
        is_new = old is None or not is_accepted(ledger, old)
        if is_less or (is_new and self._meets_a_change(member_of(candidate))):
            self._give_back(member_of(candidate), before)
            return False
        return True

    def _give_back(self, member: Member, before: Ledger) -> None:
        if had := before.claims_of(member):
            assert self.applied.apply(member, before.shared, had)
        else:
            self.applied.leave(member)

    def _meets_a_change(self, member: Member) -> bool:
        """Whether others are not stored with what the ledger says: looked at live until two are."""
        settled, address = 0, self.ledger.shared.static_address
        for other in self.ledger.members_by_age:
            stored = next((view for view in self.stored.values() if member_of(view) == other != member), None)
            if stored is None or settled >= _ENOUGH_SETTLED:
                continue
            if stored.is_in(GROUP):
                if not is_settled_in(self.ledger, stored):
                    return True
                settled += 1
            elif address and holds_by_itself(stored, address):
                return True
        return False

    @rule(request=consumes(requests))
    def store(self, request: Request) -> None:
        """The API server stores it, if the Service is still the one it was admitted for and the time is not up."""
        name = request.candidate.name.name
        if self._may_be_stored(request):
            if (view := self._live(name)) is not None:
                self.before[name] = view
            self.stored[name] = request.candidate
            self.versions[name] = request.version + 1

    def _may_be_stored(self, request: Request) -> bool:
        is_in_time = self._seconds() - request.admitted_at <= REQUEST_LIFETIME.total_seconds()
        return self.versions.get(request.candidate.name.name, 0) == request.version and is_in_time

    @rule(name=names, address=addresses, intended=addresses)
    def apply(self, name: str, address: str, intended: str) -> None:
        """A request that is stored as soon as it is admitted, as most are."""
        request = self.ask(name, address, intended)
        if isinstance(request, Request):
            self.store(request)

    @rule(address=st.sampled_from(ADDRESSES))
    def everybody_goes(self, address: str) -> None:
        """The manifests of all Services, with the new address and the annotation."""
        for name in sorted(self.stored):
            self.apply(name, address, address)

    @rule(name=names)
    def delete(self, name: str) -> None:
        """No webhook is asked."""
        self.before.pop(name, None)
        if self.stored.pop(name, None) is not None:
            self.versions[name] = self.versions.get(name, 0) + 1

    # --- time, the watch and the janitor

    @rule(seconds=st.sampled_from((1, 4, 30, 70)))
    def wait(self, seconds: int) -> None:
        """Time passes."""
        self.now += timedelta(seconds=seconds)

    @rule()
    def observe(self) -> None:
        """The watches catch up."""
        self.seen = tuple(self.stored.values())
        self.old_ledger = self.ledger
        self.confirmed |= confirmed_claims(self.ledger, self.seen)

    @rule()
    def clean(self) -> None:
        """The janitor, with a watch that has just caught up, releases what the world does not show."""
        self.observe()
        for release in shrink(self.ledger, self.seen, confirmed=self.confirmed, now=self.now):
            if release.keep:
                assert self.applied.apply(release.member, self.ledger.shared, release.keep)
            else:
                self.applied.leave(release.member)

    @rule()
    def look_live(self) -> None:
        """The janitor reads the ledger, then the Services: what happens before it writes is up to the others."""
        self.look = (self.ledger, tuple(filter(None, map(self._live, self.stored))), self.now)

    @rule(dies_after=st.integers(0, 3))
    def end(self, dies_after: int) -> None:
        """It writes, if the ledger is the one it read, and may die after any write."""
        if self.look is None or self.look[0] != self.ledger:
            return
        (ledger, services, looked_at), self.look = self.look, None
        if ledger.is_moving:
            found = progress(ledger, services, now=looked_at)
            if found.is_wanted and not found.is_complete:
                return
            if found.is_wanted:
                dies_after -= 1
                self._change_address(ledger)
        shared = replace(self.ledger.shared, intended_address="")
        for member in self.ledger.members[: max(dies_after, 0)]:
            assert self.applied.apply(member, shared, without_headings(self.ledger.claims_of(member)))

    def _change_address(self, ledger: Ledger) -> None:
        new = ledger.shared.intended_address
        first = ledger.members[0]
        shared = replace(ledger.shared, static_address=new, intended_address="")
        assert {static_address(view) for view in self.members} <= {new}
        assert self.applied.apply(first, shared, without_headings(ledger.claims_of(first)), force=True)

    @rule()
    def take_back(self) -> None:
        """The janitor, when nothing that was admitted can be on its way any more: what is stored is what is shared."""
        if self.look is None or self.look[0] != self.ledger:
            return
        (ledger, services, looked_at), self.look = self.look, None
        for view in services:
            may_come = any(claim.may_be_on_its_way(view, now=looked_at) for claim in ledger.claims)
            if ledger.members == (member_of(view),) and not is_accepted(ledger, view) and not may_come:
                assert self.applied.apply(member_of(view), shared_values(view), ledger.claims)

    @rule()
    def sweep(self) -> None:
        """The janitor at its best."""
        self.clean()
        self.look_live()
        self.take_back()
        self.look_live()
        self.end(9)

    # --- what always holds

    @invariant()
    def at_most_two_addresses_and_only_in_a_move(self) -> None:
        """All stored Services carry the group's address, or the one it moves to."""
        carried = {static_address(view) for view in self.members}
        shared = self.ledger.shared
        allowed = {shared.static_address, *([shared.intended_address] if self.ledger.is_moving else [])}

        assert carried <= allowed or (self._is_open() and len(carried) == 1)

    @invariant()
    def whatever_may_yet_be_stored_is_claimed(self) -> None:
        """Its ports by itself, and its address by its group, unless it has that already."""
        for request in filter(self._may_be_stored, self.asked):
            claimed = {claim.listener for claim in self.ledger.claims_of(member_of(request.candidate))}
            had = {"", static_address(request.old)} if request.old else {""}

            assert claimed.issuperset(request.candidate.listeners)
            assert static_address(request.candidate) in self.ledger.addresses | had

    @invariant()
    def whoever_is_stored_is_accepted(self) -> None:
        """Nobody is put in conflict by what another does."""
        assert self._is_open() or all(is_accepted(self.ledger, view) for view in self.members)

    def _is_open(self) -> bool:
        """Whether a Service that is alone in its group may yet get what the ledger says."""
        alone = [view for view in self.members if self.ledger.members == (member_of(view),)]
        return any(not is_accepted(self.ledger, view) for view in alone)

    @invariant()
    def the_values_that_members_share_have_an_owner(self) -> None:
        """Or they would go without anybody's will."""
        shared = self.ledger.shared

        assert not shared.static_address or self.applied.owners["static"]
        assert bool(shared.intended_address) == bool(self.applied.owners["intended"])

    def teardown(self) -> None:
        """Once all requests have ended and the grace has passed, the group is where its Services want it."""
        self.wait(int((REQUEST_LIFETIME + GRACE).total_seconds()) + 1)
        self.sweep()
        self.sweep()
        carried = {static_address(view) for view in self.members}

        assert {member.service for member in self.ledger.members} == {view.name.name for view in self.members}
        if len(carried) == 1 and not self.ledger.is_moving:
            assert self.ledger.shared.static_address in carried
        if len(carried) > 1:
            assert carried == self.ledger.addresses
        if self.ledger.is_moving:
            wanted = {a for view in self.members for a in (view.intended_address, static_address(view))}
            assert self.ledger.shared.intended_address in wanted
            assert self.ledger.shared.static_address in carried

    def _seconds(self) -> int:
        return int((self.now - START).total_seconds())


TestMoveMachine = MoveMachine.TestCase
TestMoveMachine.settings = settings(max_examples=400, stateful_step_count=40, deadline=None)
