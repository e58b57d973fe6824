"""Services in conflict in motion: what came past admission, what it adds and gives up, a watch that lags, a janitor.

The machine plays the API server, as in ``test_ledger_machine.py``, and lets Services be stored that nobody was asked
about. They may be in conflict; what is judged is that no admitted request ever stores a listener that another admitted
one has stored.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from sharedvip.decide import existing_denials, new_denials
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
    reserve,
    shrink,
)
from sharedvip.model import Listener, ServiceView, Situation
from sharedvip.turning import is_outdated
from tests.builders import GROUP, service
from tests.strategies import START

REQUEST_LIFETIME = timedelta(seconds=60)
"""The API server's longest request. Source: ``--request-timeout``."""

names = st.sampled_from(("a", "b", "c"))
few_ports = st.lists(st.sampled_from(("80/TCP", "81/TCP", "82/TCP")), min_size=1, max_size=3, unique=True)


class Request(NamedTuple):
    """Admitted by us; whether it will be stored is not ours to know."""

    candidate: ServiceView
    old: ServiceView | None
    admitted_at: datetime
    version: int

    @property
    def added(self) -> frozenset[Listener]:
        """What nobody else is to get."""
        return frozenset(self.candidate.listeners).difference(self.old.listeners if self.old else ())


class ReservedMachine(RuleBasedStateMachine):
    """One group without an address, a few Services and ports, so that they clash all the time."""

    requests: Bundle[Request] = Bundle("requests")

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.births = 0
        self.ledger = Ledger(GROUP)
        self.stored: dict[str, ServiceView] = {}
        self.versions: dict[str, int] = {}
        self.gained: dict[str, frozenset[Listener]] = {}
        """What each has by admission."""
        self.seen: tuple[ServiceView, ...] = ()
        self.confirmed: frozenset[Claim] = frozenset()
        self.asked: list[Request] = []
        self.before: dict[str, ServiceView] = {}
        """Each as it was before its last change, with the version of then."""

    @initialize()
    def begin_in_conflict(self) -> None:
        """With a member and one that has its port past admission."""
        self.apply("a", ["80/TCP"])
        self.slip("b", ["80/TCP"])
        self.observe()

    @rule(name=names, ports=few_ports)
    def slip(self, name: str, ports: list[str]) -> None:
        """Stored while nobody is asked; what it has by admission and keeps, it has by admission."""
        old, fresh = self._live(name), service(name, *ports)
        self.births += 1
        self.stored[name] = replace(old, ports=fresh.ports) if old else replace(fresh, uid=f"uid-{self.births}")
        self.gained[name] = self.gained.get(name, frozenset()).intersection(fresh.listeners) if old else frozenset()
        self._touch(name)

    @rule(target=requests, name=names, ports=few_ports)
    def ask(self, name: str, ports: list[str]) -> Request | MultipleResults[Request]:
        """A create, or an update of the ports: by what the watch shows, and where that says no or nothing, live."""
        self.now += timedelta(microseconds=1)
        old, fresh = self._live(name), service(name, *ports)
        self.births += 1
        candidate = replace(old, ports=fresh.ports) if old else replace(fresh, uid=f"uid-{self.births}")
        request = Request(candidate, old, self.now, self.versions.get(name, 0))
        if not self._is_admitted(request, self.seen, is_live=False):
            live = tuple(self.stored.values())
            if not self._is_admitted(request, live, is_live=True):
                return multiple()
        self.asked.append(request)
        return request

    @rule(target=requests, first=few_ports, second=few_ports)
    def add_twice(self, first: list[str], second: list[str]) -> MultipleResults[Request]:
        """Two requests over one version of the one in conflict: either may be stored."""
        made = [self.ask("b", ["80/TCP", *(p for p in ports if p != "80/TCP")]) for ports in (first, second)]
        return multiple(*(one for one in made if isinstance(one, Request)))

    @rule(target=requests, ports=few_ports)
    def add_and_put_right(self, ports: list[str]) -> MultipleResults[Request]:
        """Likewise, and the second one ends the conflict."""
        added = [port for port in ports if port != "80/TCP"]
        made = [self.ask("b", ["80/TCP", *added]), self.ask("b", ["83/TCP"])]
        return multiple(*(one for one in made if isinstance(one, Request)))

    @rule(name=names, ports=few_ports)
    def ask_over_an_old_version(self, name: str, ports: list[str]) -> None:
        """It was kept by somebody before us, and is never stored; live, the API server's word on it is awaited."""
        old = self.before.get(name)
        if old is not None and name in self.stored:
            self.now += timedelta(microseconds=1)
            candidate = replace(old, ports=service(name, *ports).ports)
            self._is_admitted(Request(candidate, old, self.now, version=-1), self.seen, is_live=False)

    @rule(name=names)
    def add_and_drop_and_add(self, name: str) -> None:
        """What was given up may be about to be released, and is asked for again."""
        self.apply(name, ["80/TCP", "81/TCP"])
        self.observe()
        self.apply(name, ["80/TCP"])
        self.ask(name, ["80/TCP", "81/TCP"])
        self.confirmed |= confirmed_claims(self.ledger, self.seen)

    def _is_admitted(self, request: Request, shown: tuple[ServiceView, ...], *, is_live: bool) -> bool:
        candidate, old = request.candidate, request.old
        situation = Situation(group_of(GROUP, ledger=self.ledger, services=shown, candidate=candidate))
        if new_denials(candidate, old=old, situation=situation):
            return False
        if old is not None and not is_live and is_outdated(self.ledger, old, now=self.now):
            return False
        is_known = old is None or is_accepted(self.ledger, old)
        if old is None or is_known or not existing_denials(candidate, old=old, situation=situation):
            return self._write(candidate, grow(self.ledger, candidate, old=old, now=self.now))
        return is_live and self._write(candidate, reserve(self.ledger, candidate, old=old, now=self.now))

    def _write(self, candidate: ServiceView, claims: tuple[Claim, ...]) -> bool:
        me = member_of(candidate)
        if not claims:
            return True
        others = [c for c in self.ledger.held if (c.service, c.uid) != me]
        if {c.listener for c in others} & {c.listener for c in claims}:
            return False
        self.ledger = self.ledger.with_held([*others, *claims])
        return True

    @rule(request=consumes(requests))
    def store(self, request: Request) -> None:
        """If the Service is still the one it was admitted for and the time is not up; else it was lost."""
        name = request.candidate.name.name
        if self._may_be_stored(request):
            had = self.gained.get(name, frozenset()) if request.old else frozenset[Listener]()
            self.gained[name] = (had | request.added).intersection(request.candidate.listeners)
            self._remember(name)
            self.stored[name] = request.candidate
            self._touch(name)

    @rule(name=names, ports=few_ports)
    def apply(self, name: str, ports: list[str]) -> None:
        """Stored as soon as it is admitted, as most are."""
        request = self.ask(name, ports)
        if isinstance(request, Request):
            self.store(request)

    @rule(name=names)
    def label(self, name: str) -> None:
        """Another version of the same."""
        if name in self.stored:
            self._remember(name)
            self._touch(name)

    @rule(name=names)
    def delete(self, name: str) -> None:
        """No webhook is asked."""
        if self.stored.pop(name, None) is not None:
            self.gained.pop(name, None)
            self.before.pop(name, None)
            self._touch(name)

    def _live(self, name: str) -> ServiceView | None:
        view = self.stored.get(name)
        return None if view is None else replace(view, resource_version=str(self.versions[name]))

    def _remember(self, name: str) -> None:
        if (view := self._live(name)) is not None:
            self.before[name] = view

    def _touch(self, name: str) -> None:
        self.versions[name] = self.versions.get(name, 0) + 1

    def _may_be_stored(self, request: Request) -> bool:
        is_in_time = self.now - request.admitted_at <= REQUEST_LIFETIME
        return self.versions.get(request.candidate.name.name, 0) == request.version and is_in_time

    @rule(seconds=st.sampled_from((1, 4, 30, 70)))
    def wait(self, seconds: int) -> None:
        """Time passes."""
        self.now += timedelta(seconds=seconds)

    @rule()
    def observe(self) -> None:
        """The watch catches up, and what it shows is remembered."""
        self.seen = tuple(self.stored.values())
        self.confirmed |= confirmed_claims(self.ledger, self.seen)

    @rule()
    def clean(self) -> None:
        """The janitor releases what the watch does not show, after a look at whoever may be on its way."""
        for release in shrink(self.ledger, self.seen, confirmed=self.confirmed, now=self.now):
            held, live = self.ledger.held_by(release.member), self._live(release.member.service)
            waiting = {claim for claim in held if claim.may_be_on_its_way(live, now=self.now)}
            self.confirmed -= waiting
            backed = confirmed_claims(self.ledger, [live] if live else []).intersection(held)
            others = (claim for claim in self.ledger.held if claim not in held)
            self.ledger = self.ledger.with_held({*others, *release.keep, *waiting, *backed})

    @rule()
    def accept(self) -> None:
        """The janitor takes newcomers in, all or none, and no member of whom something is on its way."""
        self.observe()
        outside = [view for view in map(self._live, self.stored) if view and not is_accepted(self.ledger, view)]
        newcomers = [view for view in outside if not self._is_awaited(view)]
        if any(self._denied(view) for view in newcomers):
            return
        before = self.ledger
        if not all(self._write(view, grow(self.ledger, view, old=None, now=self.now)) for view in newcomers):
            self.ledger = before

    def _is_awaited(self, view: ServiceView) -> bool:
        return any(claim.may_be_on_its_way(view, now=self.now) for claim in self.ledger.claims_of(member_of(view)))

    def _denied(self, view: ServiceView) -> bool:
        group = group_of(GROUP, ledger=self.ledger, services=self.seen, candidate=view)
        return bool(new_denials(view, old=None, situation=Situation(group)))

    @rule(name=names)
    def give_away(self, name: str) -> None:
        """Admission, about to refuse somebody, looks live at who is in the way, and releases what that gave up."""
        if (stored := self._live(name)) is not None:
            mine = self.ledger.held_by(member_of(stored))
            left = {claim for claim in mine if is_given_up(self.ledger, claim, stored, now=self.now)}
            self.ledger = self.ledger.with_held(claim for claim in self.ledger.held if claim not in left)

    @invariant()
    def no_listener_was_admitted_twice(self) -> None:
        """Of what is stored; the ledger cannot say it twice."""
        gained = [listener for listeners in self.gained.values() for listener in listeners]
        held = [claim.listener for claim in self.ledger.held]

        assert len(gained) == len(set(gained))
        assert held == sorted(set(held))

    @invariant()
    def what_may_yet_be_stored_is_held(self) -> None:
        """Or it would be stored over somebody else."""
        for request in filter(self._may_be_stored, self.asked):
            held = {claim.listener for claim in self.ledger.held_by(member_of(request.candidate))}

            assert held.issuperset(request.added)

    @invariant()
    def what_was_admitted_is_held(self) -> None:
        """For as long as it is stored."""
        for name, gained in self.gained.items():
            held = {claim.listener for claim in self.ledger.held_by(member_of(self.stored[name]))}

            assert held.issuperset(gained)

    def teardown(self) -> None:
        """Once all requests have ended and the grace has passed, nothing is held that nobody has."""
        self.wait(int((REQUEST_LIFETIME + GRACE).total_seconds()) + 1)
        self.observe()
        self.clean()
        shown = {(member_of(view), one) for view in self.stored.values() for one in view.listeners}
        assert all(((claim.service, claim.uid), claim.listener) in shown for claim in self.ledger.held)

        self.accept()
        listeners = [one for view in self.stored.values() for one in view.listeners]
        if len(listeners) == len(set(listeners)):
            assert not self.ledger.reserved
            assert all(is_accepted(self.ledger, view) for view in self.stored.values())


TestReservedMachine = ReservedMachine.TestCase
TestReservedMachine.settings = settings(max_examples=400, stateful_step_count=40, deadline=None)
