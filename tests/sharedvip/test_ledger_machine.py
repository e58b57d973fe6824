"""The ledger in motion: requests admitted, stored, lost and late, a watch that lags, a janitor that cleans up.

The machine plays the API server: a write to the ledger is refused where another member holds the listener or shares
another address, and a request is stored only within the time that the API server gives it and only over the Service
it was admitted for. Everything else is ours: the rules, ``grow``, ``confirmed_claims`` and ``shrink``.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, RuleBasedStateMachine, consumes, invariant, multiple, rule

from sharedvip.decide import new_denials
from sharedvip.ledger import (
    GRACE,
    Claim,
    Ledger,
    confirmed_claims,
    group_of,
    grow,
    is_accepted,
    is_given_up,
    member_of,
    shrink,
)
from sharedvip.model import Listener, ServiceView, Situation
from sharedvip.parse import shared_values
from sharedvip.turning import is_outdated
from tests.builders import GROUP, service
from tests.strategies import START

REQUEST_LIFETIME = timedelta(seconds=60)
"""The API server's longest request. Source: ``--request-timeout``."""

WATCH_LAG = timedelta(seconds=5)
"""How old the observed world may be when the janitor looks: ``GRACE`` less the above."""


names = st.sampled_from(("a", "b"))
few_ports = st.lists(st.sampled_from(("80/TCP", "80/UDP", "443/TCP")), min_size=1, max_size=2, unique=True)
addresses = st.sampled_from(("", "", "10.0.0.1"))


class Request(NamedTuple):
    """Admitted by us; whether it will be stored is not ours to know."""

    candidate: ServiceView
    old: ServiceView | None
    admitted_at: datetime
    version: int
    """Of the stored world, when it was admitted: a later change of the Service means another admission."""


class Snapshot(NamedTuple):
    """The world as the watch shows it."""

    services: tuple[ServiceView, ...]
    at: datetime


class LedgerMachine(RuleBasedStateMachine):
    """One group, a few Services, ports and addresses, so that they clash all the time."""

    requests: Bundle[Request] = Bundle("requests")

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.births = 0
        self.ledger = Ledger(GROUP)
        self.stored: dict[str, ServiceView] = {}
        self.versions: dict[str, int] = {}
        self.before: dict[str, ServiceView] = {}
        """Each as it was before its last change, with the version of then."""
        self.seen = Snapshot((), START)
        self.confirmed: frozenset[Claim] = frozenset()
        self.asked: list[Request] = []

    # --- requests

    @rule(target=requests, name=names, ports=few_ports, address=addresses)
    def ask(self, name: str, ports: list[str], address: str) -> Request | MultipleResults[Request]:
        """A create, or an update of the ports: by the rules on what the watch shows, then by the ledger itself."""
        self.now += timedelta(microseconds=1)  # no two requests of one Service are judged in the same instant
        old = self._live(name)
        candidate = self._candidate(name, ports, address=address, old=old)
        request = Request(candidate, old, self.now, self.versions.get(name, 0))
        if not self._is_allowed(request) or not self._write(request):
            return multiple()
        self.asked.append(request)
        return request

    @rule(name=names, ports=few_ports)
    def ask_over_an_old_version(self, name: str, ports: list[str]) -> None:
        """It was kept by somebody before us, and is never stored; what it claims is claimed all the same."""
        old = self.before.get(name)
        if old is None or name not in self.stored or is_outdated(self.ledger, old, now=self.now):
            return
        request = Request(self._candidate(name, ports, address="", old=old), old, self.now, version=-1)
        if self._is_allowed(request):
            self._write(request)

    @rule(name=names)
    def label(self, name: str) -> None:
        """Another version of the same."""
        if (view := self._live(name)) is not None:
            self.before[name] = view
            self._touch(name)

    @rule(target=requests, name=names, ports=few_ports)
    def change_and_change_back(self, name: str, ports: list[str]) -> Request | MultipleResults[Request]:
        """A Service gives its ports up and asks for them again, while its watch still shows the first."""
        if name not in self.stored:
            return multiple()
        self.observe()
        before = [str(listener) for listener in self.stored[name].listeners]
        self.apply(name, ports, "")
        again = self.ask(name, before, "")
        self.hear_of_the_ledger()
        return again

    def _candidate(self, name: str, ports: list[str], *, address: str, old: ServiceView | None) -> ServiceView:
        fresh = service(name, *ports, load_balancer_ip=address)
        if old is not None:
            return replace(old, ports=fresh.ports)
        self.births += 1
        return replace(fresh, uid=f"uid-{self.births}")

    def _is_allowed(self, request: Request) -> bool:
        candidate = request.candidate
        group = group_of(GROUP, ledger=self.ledger, services=self.seen.services, candidate=candidate)
        return not new_denials(candidate, old=request.old, situation=Situation(group))

    def _write(self, request: Request) -> bool:
        me, wanted = member_of(request.candidate), shared_values(request.candidate)
        claims = grow(self.ledger, request.candidate, old=request.old, now=self.now)
        others = [c for c in self.ledger.claims if (c.service, c.uid) != me]
        if {c.listener for c in others} & {c.listener for c in claims} or (others and self.ledger.shared != wanted):
            return False
        self.ledger = replace(self.ledger, shared=wanted, claims=tuple(sorted([*others, *claims])))
        return True

    @rule(request=consumes(requests))
    def store(self, request: Request) -> None:
        """The API server stores it, if the Service is still the one it was admitted for and the time is not up.

        A request that never comes here was lost: another webhook refused it, or the connection broke; nobody tells us.
        """
        name = request.candidate.name.name
        if self._may_be_stored(request):
            if (view := self._live(name)) is not None:
                self.before[name] = view
            self.stored[name] = request.candidate
            self._touch(name)

    def _live(self, name: str) -> ServiceView | None:
        view = self.stored.get(name)
        return None if view is None else replace(view, resource_version=str(self.versions[name]))

    def _touch(self, name: str) -> None:
        self.versions[name] = self.versions.get(name, 0) + 1

    def _may_be_stored(self, request: Request) -> bool:
        is_in_time = self.now - request.admitted_at <= REQUEST_LIFETIME
        return self.versions.get(request.candidate.name.name, 0) == request.version and is_in_time

    @rule(name=names, ports=few_ports, address=addresses)
    def apply(self, name: str, ports: list[str], address: str) -> None:
        """A request that is stored as soon as it is admitted, as most are."""
        request = self.ask(name, ports, address)
        if isinstance(request, Request):
            self.store(request)

    @rule(name=names)
    def delete(self, name: str) -> None:
        """No webhook is asked."""
        self.before.pop(name, None)
        if self.stored.pop(name, None) is not None:
            self._touch(name)

    # --- time, the watch and the janitor

    @rule(seconds=st.sampled_from((1, 4, 30, 70)))
    def wait(self, seconds: int) -> None:
        """Time passes."""
        self.now += timedelta(seconds=seconds)

    @rule()
    def observe(self) -> None:
        """The watch catches up, and what it shows is remembered."""
        self.seen = Snapshot(tuple(self.stored.values()), self.now)
        self.confirmed |= confirmed_claims(self.ledger, self.seen.services)

    @rule()
    def hear_of_the_ledger(self) -> None:
        """The ledger's watch is on time, and the Services' is not."""
        self.confirmed |= confirmed_claims(self.ledger, self.seen.services)

    @rule()
    def clean(self) -> None:
        """The janitor releases what the world does not show; with a watch that lags too far it waits."""
        if self.now - self.seen.at > WATCH_LAG:
            return
        for release in shrink(self.ledger, self.seen.services, confirmed=self.confirmed, now=self.now):
            others = tuple(c for c in self.ledger.claims if (c.service, c.uid) != release.member)
            live = self._live(release.member.service)
            waiting = {c for c in self.ledger.claims_of(release.member) if c.may_be_on_its_way(live, now=self.now)}
            backed = {c for c in confirmed_claims(self.ledger, [live] if live else []) if c.replaces}
            keep = {*release.keep, *waiting, *(backed & set(self.ledger.claims_of(release.member)))}
            self.confirmed -= waiting
            self.ledger = replace(self.ledger, claims=tuple(sorted({*others, *keep})))

    @rule()
    def accept(self) -> None:
        """The janitor takes in who came past admission, by what the watch shows: by a late one, who did not."""
        for view in self.seen.services:
            if not self.ledger.claims_of(member_of(view)) or is_accepted(self.ledger, view):
                continue
            request = Request(view, None, self.now, version=-1)
            if self._is_allowed(request):
                self._write(request)

    @rule(name=names)
    def give_away(self, name: str) -> None:
        """Admission, about to refuse somebody, looks live at who is in the way, and releases what that gave up."""
        if (stored := self._live(name)) is not None:
            mine = self.ledger.claims_of(member_of(stored))
            left = {c for c in mine if is_given_up(self.ledger, c, stored, now=self.now)}
            self.ledger = replace(self.ledger, claims=tuple(c for c in self.ledger.claims if c not in left))

    # --- what always holds

    @invariant()
    def no_listener_has_two_holders(self) -> None:
        """In the ledger, and in the stored world, which is the judge."""
        held: list[Listener] = [listener for view in self.stored.values() for listener in view.listeners]
        claimed = [claim.listener for claim in self.ledger.claims]

        assert len(held) == len(set(held))
        assert claimed == sorted(set(claimed))

    @invariant()
    def all_members_share_one_address(self) -> None:
        """Or none has one."""
        assert len({view.load_balancer_ip for view in self.stored.values()}) <= 1

    @invariant()
    def whoever_is_stored_is_accepted(self) -> None:
        """No claim of a stored Service was ever released, however late the watch was."""
        assert all(is_accepted(self.ledger, view) for view in self.stored.values())

    @invariant()
    def whatever_may_yet_be_stored_is_claimed(self) -> None:
        """Or it would be stored over somebody else."""
        for request in filter(self._may_be_stored, self.asked):
            claimed = {claim.listener for claim in self.ledger.claims_of(member_of(request.candidate))}

            assert claimed.issuperset(request.candidate.listeners)

    @rule()
    def sweep(self) -> None:
        """The janitor at its best: the watch has just caught up."""
        self.observe()
        self.clean()

    def teardown(self) -> None:
        """Once all requests have ended and the grace has passed, the ledger is the world."""
        self.wait(int((REQUEST_LIFETIME + GRACE).total_seconds()) + 1)
        self.observe()
        self.clean()

        claimed = {(claim.service, claim.uid, claim.listener) for claim in self.ledger.claims}
        assert claimed == {(v.name.name, v.uid, one) for v in self.stored.values() for one in v.listeners}


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=400, stateful_step_count=40, deadline=None)
