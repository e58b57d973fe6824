"""A watch of Services that is late, beside updates on their way: accepting, releasing and unlocking look live."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from cluster.errors import ClusterError
from cluster.leavers import Leaver
from reconciler.unlocking import Unlocking
from sharedvip.ledger import GRACE
from sharedvip.model import GroupName
from tests.builders import GROUP, service
from tests.reconciler.controller import START
from tests.reconciler.fake_kubernetes import FakeKubernetes
from tests.reconciler.test_awaited import API, NEW, OLD, WEB, Janitor, late_watch

AT_NEW = {"load_balancer_ip": NEW, "intended_address": NEW}


def two() -> Janitor:
    """``web`` and ``api``, for long, in a group that our reconciler builds."""
    janitor = Janitor()
    janitor.kubernetes.admit(API, at=START - 2 * GRACE)
    janitor.kubernetes.ledgers[GROUP] = replace(janitor.ledger, has_finalizer=True)
    return janitor


def test_a_move_that_is_being_opened_is_not_forgotten() -> None:
    """The watch shows a port that its Service has given up: accepting that would say nothing of the new address."""
    janitor = two()
    janitor.is_asked(replace(API, **AT_NEW))
    assert NEW in janitor.ledger.addresses

    with late_watch(janitor, WEB, service("api", "443/TCP", "53/TCP", load_balancer_ip=OLD)):
        janitor.visit()
    assert NEW in janitor.ledger.addresses
    assert NEW in janitor.kubernetes.addresses


def test_a_way_back_is_not_forgotten() -> None:
    """All carry the new address, and one is about to turn back: by a heading of its own, which accepting wrote anew."""
    janitor = two()
    web, api = replace(WEB, **AT_NEW), replace(API, **AT_NEW)
    janitor.kubernetes.admit(web, api, at=START - 2 * GRACE)
    janitor.kubernetes.addresses[NEW] = GROUP
    janitor.is_asked(API)

    late = service("api", "443/TCP", "53/TCP", load_balancer_ip=NEW, intended_address=NEW)
    with late_watch(janitor, web, late):
        janitor.visit()
    janitor.kubernetes.apply(API)
    janitor.visit()
    assert OLD in janitor.ledger.addresses


def test_who_was_left_out_is_accepted_when_nothing_is_on_its_way() -> None:
    """It came past admission with a port more, while an update of it was on its way that never came."""
    janitor = two()
    janitor.is_asked(service("api", "443/TCP", "53/UDP", load_balancer_ip=OLD))
    janitor.kubernetes.stored[API.name] = replace(
        service("api", "443/TCP", "53/TCP", load_balancer_ip=OLD),
        resource_version=janitor.kubernetes.stored[API.name].resource_version,
    )

    assert janitor.visit().wake_seconds == pytest.approx(GRACE.total_seconds() + 1)
    janitor.now += GRACE + timedelta(seconds=1)
    janitor.visit()
    assert "53/TCP" in {str(claim.listener) for claim in janitor.ledger.claims}


def test_a_watch_may_be_later_than_the_grace() -> None:
    """It shows a port, and then that it was given up; since then it was asked for again, and stored."""
    janitor = two()
    full = service("api", "443/TCP", "53/UDP", load_balancer_ip=OLD)
    janitor.kubernetes.admit(full, at=START - 2 * GRACE)
    janitor.kubernetes.apply(API)
    janitor.is_asked(full)
    with late_watch(janitor, WEB, full):
        janitor.visit()
    janitor.kubernetes.apply(full)

    janitor.now += GRACE + timedelta(seconds=1)
    with late_watch(janitor, WEB, API):
        janitor.visit()
    assert "53/UDP" in {str(claim.listener) for claim in janitor.ledger.claims}


def test_an_address_that_was_to_be_unlocked_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first try failed; since then a member has it again, and is about to go once more."""
    janitor = Janitor()
    moved = replace(WEB, load_balancer_ip=NEW)
    janitor.kubernetes.admit(moved, at=START)
    janitor.kubernetes.addresses[NEW] = GROUP
    janitor.kubernetes.ledgers[GROUP] = replace(janitor.ledger, vip=NEW)

    async def fails(address: str, group: GroupName, **_: object) -> None:
        raise ClusterError(f"{address} of {group.key}: a timeout before the mark")

    with monkeypatch.context() as away:
        away.setattr(janitor.kubernetes, "release_address", fails)
        with pytest.raises(ClusterError):
            janitor.visit()
    janitor.now += timedelta(seconds=1)
    janitor.kubernetes.admit(WEB, at=janitor.now)
    janitor.now += timedelta(seconds=1)
    janitor.is_asked(moved)

    janitor.visit()
    assert OLD in janitor.kubernetes.addresses


def test_a_lock_with_a_leave_on_it_stays_until_that_is_stored_or_over() -> None:
    """Of one that is in no ledger, as it contradicts itself; a process that begins knows nothing but the lock."""
    janitor = Janitor()
    kubernetes = janitor.kubernetes
    del kubernetes.ledgers[GROUP]
    kubernetes.apply(replace(WEB, load_balancer_ip="", address_annotation="100.64.196.3"))
    stored = kubernetes.stored[WEB.name]
    kubernetes.noted[OLD] = (Leaver("web", stored.uid, stored.resource_version, START, "x"),)
    janitor.begin()
    janitor.visit()
    assert OLD in kubernetes.addresses

    janitor.now += GRACE + timedelta(seconds=1)
    asyncio.run(janitor.keeper.release_addresses(GROUP, None))
    assert OLD not in kubernetes.addresses


def test_a_group_may_be_over_while_it_is_unlocked() -> None:
    """By a pass and by whoever else looks: it is forgotten in between, and that is no reason to end."""
    kubernetes = FakeKubernetes(addresses={OLD: GROUP})
    unlocking = Unlocking(kubernetes, now=lambda: START)
    unlocking.held.add(OLD, GROUP)

    async def read_and_forget(group: GroupName) -> None:
        unlocking.forget(group)

    with pytest.MonkeyPatch.context() as over:
        over.setattr(kubernetes, "read_ledger", read_and_forget)
        asyncio.run(unlocking.release(GROUP, None))
    assert kubernetes.addresses == {}


def test_nobody_is_looked_at_again_and_again_while_it_goes() -> None:
    """It was to get another address that never came; now it is being deleted, and a finalizer keeps it."""
    janitor = Janitor()
    janitor.is_asked(replace(WEB, load_balancer_ip=NEW))
    janitor.kubernetes.apply(replace(WEB, is_deleting=True))
    janitor.now += 2 * GRACE

    assert janitor.visit().wake_seconds is None
    assert janitor.visit().wake_seconds is None


def test_who_has_a_port_more_is_looked_at_when_what_is_on_its_way_is_over() -> None:
    """Not every second: one of its claims is young, and another was made by an update long ago."""
    janitor = two()
    janitor.now = START - 2 * GRACE + timedelta(seconds=1)
    janitor.is_asked(service("api", "443/TCP", "53/UDP", load_balancer_ip=OLD))
    janitor.kubernetes.apply(service("api", "443/TCP", "53/UDP", load_balancer_ip=OLD))
    janitor.visit()
    janitor.now = START
    janitor.is_asked(service("api", "443/TCP", "53/UDP", "54/UDP", load_balancer_ip=OLD))
    version = janitor.kubernetes.stored[API.name].resource_version
    more = service("api", "443/TCP", "53/UDP", "55/UDP", load_balancer_ip=OLD)
    janitor.kubernetes.stored[API.name] = replace(more, resource_version=version)

    assert janitor.visit().wake_seconds == pytest.approx(GRACE.total_seconds() + 1)
