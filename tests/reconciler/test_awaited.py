"""A change of what a lone Service shares is admitted before it is stored: the janitor waits for it, and moves none."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from reconciler.ledger_keeper import LedgerKeeper
from reconciler.mover import CLAIM_AGAIN_SECONDS
from reconciler.settled import Settled
from sharedvip.ledger import GRACE, Ledger
from sharedvip.model import GroupName, Policy, ServiceName, ServiceView
from tests.builders import GROUP, service
from tests.reconciler.controller import START
from tests.reconciler.fake_kubernetes import FakeKubernetes

OLD, NEW = "100.64.196.1", "100.64.196.2"
WEB = service("web", "80/TCP", load_balancer_ip=OLD)
API = service("api", "443/TCP", load_balancer_ip=OLD)


@dataclass
class Janitor:
    """A keeper that has seen 'web' alone on its address, and its clock."""

    kubernetes: FakeKubernetes = field(default_factory=FakeKubernetes)
    now: datetime = START - 2 * GRACE

    def __post_init__(self) -> None:
        """Let the change begin in a quiet world."""
        self.kubernetes.admit(WEB, at=self.now)
        self.kubernetes.ledgers[GROUP] = replace(self.kubernetes.ledgers[GROUP], vip=OLD)
        self.kubernetes.addresses[OLD] = GROUP
        self.begin()
        self.visit()
        self.now = START

    def begin(self) -> None:
        """A process, which remembers nothing."""
        self.keeper = LedgerKeeper(self.kubernetes, policy=Policy(), now=lambda: self.now)
        asyncio.run(self.keeper.refresh())

    def visit(self) -> Settled:
        """One pass, which unlocks what is not used."""
        settled = asyncio.run(self.keeper.settle(GROUP))
        asyncio.run(self.keeper.release_addresses(GROUP, settled.ledger))
        return settled

    def is_asked(self, changed: ServiceView) -> None:
        """An update is admitted: claimed and locked, and not stored yet."""
        self.kubernetes.ask(changed, at=self.now)
        self.kubernetes.addresses.setdefault(changed.load_balancer_ip, GROUP)
        self.keeper.observe(GROUP)

    @property
    def ledger(self) -> Ledger:
        """As it is stored."""
        return self.kubernetes.ledgers[GROUP]


MOVED = replace(WEB, load_balancer_ip=NEW)
CHANGES = [
    pytest.param(MOVED, id="another address"),
    pytest.param(replace(WEB, infra_setting="gold"), id="another AviInfraSetting"),
    pytest.param(replace(WEB, l4_rule="fast"), id="another L4Rule"),
    pytest.param(service("web", "80/TCP", "81/TCP", load_balancer_ip=NEW), id="another address and a port more"),
]


@pytest.mark.parametrize("changed", CHANGES)
def test_what_is_on_its_way_is_not_taken_back(changed: ServiceView) -> None:
    """The ledger stays as admission wrote it; the group is built as it is stored, and comes again when it must."""
    janitor = Janitor()
    janitor.is_asked(changed)
    claimed = janitor.ledger

    settled = janitor.visit()
    assert janitor.ledger == claimed
    assert settled.ledger is not None
    assert settled.ledger.shared.static_address == OLD
    assert settled.ledger.shared.infra_setting == ""
    assert settled.wake_seconds == pytest.approx(GRACE.total_seconds() + 1)
    assert set(janitor.kubernetes.addresses) == {OLD, changed.load_balancer_ip}


def test_what_has_come_is_followed() -> None:
    """When it lives on the new address, the old one is free for others."""
    janitor = Janitor()
    janitor.is_asked(MOVED)
    janitor.visit()
    janitor.kubernetes.apply(MOVED)

    settled = asyncio.run(janitor.keeper.settle(GROUP))
    assert settled.ledger is not None
    assert settled.ledger.shared.static_address == NEW
    janitor.kubernetes.ledgers[GROUP] = replace(janitor.ledger, vip=NEW)
    janitor.visit()
    assert set(janitor.kubernetes.addresses) == {NEW}


@pytest.mark.parametrize("begins_anew", [False, True])
def test_what_never_came_is_taken_back_after_the_grace(*, begins_anew: bool) -> None:
    """A webhook after ours has refused it; also a process that has only just begun waits for that."""
    janitor = Janitor()
    janitor.is_asked(MOVED)
    if begins_anew:
        janitor.begin()
    janitor.visit()
    janitor.now += GRACE
    janitor.visit()
    assert janitor.ledger.shared.static_address == NEW

    janitor.now += timedelta(seconds=1)
    janitor.visit()
    assert janitor.ledger.shared.static_address == OLD
    assert set(janitor.kubernetes.addresses) == {OLD}


def test_what_is_asked_for_again_is_waited_for_again() -> None:
    """The first request was refused elsewhere; the second has 65 s of its own, though it claims nothing new."""
    janitor = Janitor()
    janitor.is_asked(MOVED)
    janitor.now += GRACE - timedelta(seconds=1)
    janitor.is_asked(MOVED)

    janitor.now += timedelta(seconds=2)
    assert janitor.visit().wake_seconds == pytest.approx(GRACE.total_seconds() - 1)
    assert janitor.ledger.shared.static_address == NEW
    assert set(janitor.kubernetes.addresses) == {OLD, NEW}
    janitor.now += GRACE
    janitor.visit()
    assert janitor.ledger.shared.static_address == OLD


@pytest.mark.parametrize("second", [NEW, "100.64.196.3"])
def test_what_is_asked_for_over_a_newer_version_is_waited_for(second: str) -> None:
    """The first change was refused elsewhere, a label came in between, and now the same change comes, or another."""
    janitor = Janitor()
    janitor.is_asked(MOVED)
    janitor.kubernetes.apply(WEB)

    changed = replace(MOVED, load_balancer_ip=second)
    janitor.is_asked(changed)
    janitor.visit()
    assert janitor.ledger.shared.static_address == second
    assert second in janitor.kubernetes.addresses
    janitor.kubernetes.apply(changed)
    janitor.visit()
    assert janitor.ledger.shared.static_address == second


@pytest.mark.parametrize("vip", ["", "100.64.196.9"])
def test_a_process_that_begins_needs_no_vip_to_wait(vip: str) -> None:
    """What it lives on at Avi, or that it lives nowhere yet, says nothing of what is on its way."""
    janitor = Janitor()
    janitor.is_asked(MOVED)
    janitor.kubernetes.ledgers[GROUP] = replace(janitor.ledger, vip=vip)
    janitor.begin()

    janitor.visit()
    assert janitor.ledger.shared.static_address == NEW


def test_who_came_past_admission_and_changes_is_waited_for() -> None:
    """It is in no ledger until its own change is admitted: that one is not to be taken back."""
    janitor = Janitor()
    del janitor.kubernetes.ledgers[GROUP]
    janitor.begin()
    janitor.is_asked(MOVED)

    janitor.visit()
    assert janitor.ledger.shared.static_address == NEW
    janitor.now += GRACE + timedelta(seconds=1)
    janitor.visit()
    assert janitor.ledger.shared.static_address == OLD


@contextmanager
def late_watch(janitor: Janitor, *shown: ServiceView) -> Generator[None]:
    """The janitor's cache shows these members, whatever is stored."""

    def members(group: GroupName) -> tuple[ServiceView, ...]:
        assert group == GROUP
        return shown

    with pytest.MonkeyPatch.context() as late:
        late.setattr(janitor.kubernetes, "members", members)
        yield


def test_a_late_watch_is_not_believed() -> None:
    """It shows a version from before the one that the change is to replace: the Service is read live."""
    janitor = Janitor()
    shown = janitor.kubernetes.members(GROUP)
    janitor.kubernetes.apply(WEB)
    janitor.is_asked(MOVED)

    with late_watch(janitor, *shown):
        janitor.visit()
    assert janitor.ledger.shared.static_address == NEW


@pytest.mark.parametrize("vip", ["", OLD])
def test_what_is_stored_while_it_is_looked_at_is_not_taken_back(vip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read as it was, stored, and then a pause until the grace is over: the time of before the look counts."""
    janitor = Janitor()
    janitor.kubernetes.ledgers[GROUP] = replace(janitor.ledger, vip=vip)
    janitor.is_asked(MOVED)
    janitor.now += timedelta(seconds=57)
    read, stored = janitor.kubernetes.read_service, list[ServiceView]()

    async def slow(name: ServiceName) -> ServiceView | None:
        found = await read(name)
        if not stored:
            stored.append(MOVED)
            janitor.kubernetes.apply(MOVED)
            janitor.now += timedelta(seconds=9)
        return found

    monkeypatch.setattr(janitor.kubernetes, "read_service", slow)
    janitor.visit()
    assert janitor.ledger.shared.static_address == NEW
    assert NEW in janitor.kubernetes.addresses


@pytest.mark.parametrize("vip", ["", OLD])
def test_nobody_is_moved_for_a_change_that_just_died(vip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two looks of one pass a label was stored: the next pass takes back what the ledger says."""
    janitor = Janitor()
    janitor.kubernetes.ledgers[GROUP] = replace(janitor.ledger, vip=vip)
    janitor.is_asked(MOVED)
    read, looks = janitor.kubernetes.read_service, list[ServiceName]()

    async def labelled(name: ServiceName) -> ServiceView | None:
        looks.append(name)
        if len(looks) == 2:
            janitor.kubernetes.apply(WEB)
        return await read(name)

    monkeypatch.setattr(janitor.kubernetes, "read_service", labelled)
    settled = janitor.visit()
    assert settled.ledger is not None
    assert (settled.ledger.shared.static_address, settled.wake_seconds) == (OLD, 1.0)
    assert OLD in janitor.kubernetes.addresses
    assert janitor.visit().wake_seconds is None
    assert janitor.ledger.shared.static_address == OLD


@pytest.mark.parametrize("vip", ["", OLD])
def test_an_address_that_a_member_has_is_not_unlocked_for_a_late_watch(vip: str) -> None:
    """It shows what the Service had before, and the ledger what it is to have: what it has, a look tells."""
    janitor = Janitor()
    janitor.kubernetes.ledgers[GROUP] = replace(janitor.ledger, vip=vip)
    janitor.is_asked(MOVED)

    with late_watch(janitor, MOVED):
        janitor.visit()
    assert OLD in janitor.kubernetes.addresses


def test_accepting_by_a_late_watch_forgets_no_update_on_its_way() -> None:
    """The watch shows a port that the Service has given up: what an update over the newer version claims stays."""
    janitor = Janitor()
    janitor.kubernetes.admit(API, at=START - 2 * GRACE)
    before = service("api", "443/TCP", "53/UDP", "53/TCP", load_balancer_ip=OLD)
    janitor.is_asked(service("api", "443/TCP", "53/UDP", load_balancer_ip=OLD))

    with late_watch(janitor, WEB, before):
        janitor.visit()
    janitor.visit()
    assert "53/UDP" in {str(claim.listener) for claim in janitor.ledger.claims}


def test_who_was_deleted_is_not_accepted_for_a_late_watch() -> None:
    """Nothing would be left to give its address up."""
    janitor = Janitor()
    janitor.is_asked(MOVED)
    shown = janitor.kubernetes.members(GROUP)
    janitor.kubernetes.delete(WEB.name)
    janitor.now += GRACE + timedelta(seconds=1)

    with late_watch(janitor, *shown):
        janitor.visit()
    assert janitor.ledger.shared.static_address == NEW
    janitor.visit()
    assert janitor.ledger.claims == ()


@pytest.mark.parametrize("begins_anew", [False, True])
def test_what_came_past_admission_is_accepted_at_once(*, begins_anew: bool) -> None:
    """It is stored already, and not where the group lives: there is nothing to wait for."""
    janitor = Janitor()
    janitor.kubernetes.apply(MOVED)
    if begins_anew:
        janitor.begin()

    janitor.visit()
    assert janitor.ledger.shared.static_address == NEW
    assert NEW in janitor.kubernetes.addresses


def test_who_is_refused_moves_nobody() -> None:
    """It came past admission with an address that another group has: the group is built where it was."""
    janitor = Janitor()
    janitor.kubernetes.addresses[NEW] = GroupName(GROUP.namespace, "another")
    janitor.kubernetes.apply(MOVED)

    settled = janitor.visit()
    assert list(settled.refused) == [WEB.name]
    assert settled.ledger is not None
    assert settled.ledger.shared.static_address == OLD


def test_one_of_several_that_differs_moves_nobody() -> None:
    """It came past admission, and a process that has only just begun does not know that: it is refused all the same."""
    janitor = Janitor()
    janitor.kubernetes.admit(API, at=START)
    janitor.kubernetes.apply(replace(API, load_balancer_ip=NEW))
    janitor.begin()

    settled = janitor.visit()
    assert list(settled.refused) == [API.name]
    assert settled.ledger is not None
    assert settled.ledger.shared.static_address == OLD


def test_a_newcomer_cannot_take_the_side_of_the_old_address() -> None:
    """It came past admission, while the only member is about to leave that address: it waits for how that ends."""
    janitor = Janitor()
    janitor.is_asked(MOVED)
    janitor.kubernetes.apply(API)

    assert janitor.visit().wake_seconds == CLAIM_AGAIN_SECONDS
    assert [claim.service for claim in janitor.ledger.claims] == ["web"]
    assert janitor.ledger.shared.static_address == NEW
    janitor.kubernetes.apply(MOVED)
    assert list(janitor.visit().refused) == [API.name]
