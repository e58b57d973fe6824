"""The janitor, and a member that leaves with its group's address: who waits, and what the lock tells afterwards."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from cluster.leavers import Leaver
from reconciler.mover import CLAIM_AGAIN_SECONDS
from sharedvip.leaving import KEPT
from sharedvip.ledger import GRACE
from sharedvip.model import GroupName
from tests.builders import GROUP, service
from tests.reconciler.controller import START
from tests.reconciler.fake_kubernetes import FakeKubernetes
from tests.reconciler.test_ledger_keeper import API, WEB, Janitor

ADDRESS = "10.0.0.1"
LOCK_AGAIN_SECONDS = 60
"""For so long an audit finds nothing in a lock that tells of who left and needs to no more."""
LEAVER = replace(WEB, load_balancer_ip=ADDRESS, resource_version="7")
"""Its version is another as soon as it is stored."""


def _being_left(*, is_stored: bool = False, since: datetime = START) -> Janitor:
    """The last member has asked to leave with the address, and another came past admission since."""
    kubernetes = FakeKubernetes()
    kubernetes.admit(LEAVER, at=START)
    janitor = Janitor(kubernetes)
    kubernetes.addresses[ADDRESS] = GROUP
    version = kubernetes.stored[LEAVER.name].resource_version
    kubernetes.noted[ADDRESS] = (Leaver("web", LEAVER.uid, version, since, "x"),)
    kubernetes.apply(replace(API, load_balancer_ip=ADDRESS))
    if is_stored:
        # As the watch of Services shows it a moment later.
        kubernetes.read_as[LEAVER.name] = replace(LEAVER, sharing_key=None, resource_version="8")
    return janitor


@pytest.mark.parametrize("is_stored", [False, True])
def test_who_came_past_admission_waits_for_one_that_is_about_to_leave(*, is_stored: bool) -> None:
    """Both would have the address: it has looked who is in the group, and found nobody."""
    janitor = _being_left(is_stored=is_stored)

    settled = janitor.settle()
    assert (settled.refused, settled.wake_seconds) == ({}, CLAIM_AGAIN_SECONDS)
    assert janitor.claimed() == ["web 80/TCP"]


def test_who_came_past_admission_waits_for_a_namesake_of_one_that_has_left() -> None:
    """Made anew, with the address."""
    janitor = _being_left(is_stored=True)
    left = janitor.kubernetes.read_as[LEAVER.name]
    janitor.kubernetes.read_as[LEAVER.name] = replace(left, uid="uid-of-another-web")

    janitor.settle()
    assert janitor.claimed() == ["web 80/TCP"]


def test_a_leave_that_is_over_keeps_nobody_waiting() -> None:
    """It was admitted a grace ago, and is never stored any more."""
    janitor = _being_left(since=START - GRACE - timedelta(seconds=1))

    janitor.settle()
    assert janitor.claimed() == ["web 80/TCP", "api 443/TCP"]


def test_a_lock_tells_of_who_left_until_all_have_seen_it() -> None:
    """Also to a process that begins meanwhile."""
    janitor = _being_left()
    kubernetes = janitor.kubernetes
    janitor.keeper.observe(GROUP)
    for name in (LEAVER.name, API.name):
        del kubernetes.stored[name]
    kubernetes.apply(replace(LEAVER, sharing_key=None, resource_version="8"))
    janitor.settle()
    assert asyncio.run(janitor.keeper.release_addresses(GROUP, None)) == LOCK_AGAIN_SECONDS
    assert (list(kubernetes.left), list(kubernetes.addresses)) == ([ADDRESS], [ADDRESS])

    again = Janitor(kubernetes)
    asyncio.run(again.keeper.refresh())
    assert again.keeper.groups_with_addresses() == (GROUP,)
    kubernetes.now = lambda: START + KEPT + timedelta(seconds=1)
    assert asyncio.run(again.keeper.release_addresses(GROUP, None)) is None
    assert not kubernetes.addresses


@pytest.mark.parametrize("is_member", [False, True])
def test_who_may_leave_another_group_with_the_address_keeps_only_who_joined_with_it(*, is_member: bool) -> None:
    """It came past admission there, and its leave is noted on this group's lock; it may have joined this one since."""
    janitor = _being_left()
    kubernetes = janitor.kubernetes
    (note,) = kubernetes.noted[ADDRESS]
    kubernetes.noted[ADDRESS] = (note._replace(group=GroupName(GROUP.namespace, "another")),)
    if not is_member:
        kubernetes.ledgers.clear()
        kubernetes.apply(replace(LEAVER, sharing_key="another"))
        version = kubernetes.stored[LEAVER.name].resource_version
        kubernetes.noted[ADDRESS] = (
            note._replace(group=GroupName(GROUP.namespace, "another"), resource_version=version),
        )
        kubernetes.admit(replace(service("db", "5432/TCP"), load_balancer_ip=ADDRESS), at=START)

    janitor.settle()
    assert ("api 443/TCP" in janitor.claimed()) is not is_member


def test_a_lock_stays_for_who_may_leave_another_group_with_the_address() -> None:
    """In another namespace, where a change of it brings no pass of this group: so it is looked at again."""
    janitor = Janitor(FakeKubernetes())
    kubernetes, elsewhere = (
        janitor.kubernetes,
        service("web", "80/TCP", namespace="elsewhere", load_balancer_ip=ADDRESS),
    )
    kubernetes.apply(elsewhere)
    stored = kubernetes.stored[elsewhere.name]
    note = Leaver("web", stored.uid, stored.resource_version, START, "x", GroupName("elsewhere", "another"))
    kubernetes.addresses[ADDRESS], kubernetes.noted[ADDRESS] = GROUP, (note,)
    asyncio.run(janitor.keeper.refresh())

    assert asyncio.run(janitor.keeper.release_addresses(GROUP, None)) == LOCK_AGAIN_SECONDS
    assert list(kubernetes.addresses) == [ADDRESS]
    janitor.now += GRACE + timedelta(seconds=1)
    assert asyncio.run(janitor.keeper.release_addresses(GROUP, None)) is None
    assert not kubernetes.addresses


def test_whose_address_only_tells_of_who_left_is_locked_again() -> None:
    """A hand let go of it in its place, and the leaver has it no more: the group has no lock."""
    janitor = _being_left()
    kubernetes = janitor.kubernetes
    kubernetes.left[ADDRESS] = START
    del kubernetes.stored[API.name]

    asyncio.run(janitor.keeper.refresh())
    assert (kubernetes.left, kubernetes.addresses) == ({}, {ADDRESS: GROUP})


def test_who_is_to_leave_itself_may_be_accepted_meanwhile() -> None:
    """There is nobody else in the group."""
    janitor = Janitor(FakeKubernetes())
    janitor.kubernetes.apply(LEAVER)
    janitor.kubernetes.addresses[ADDRESS] = GROUP
    janitor.kubernetes.noted[ADDRESS] = (Leaver("web", LEAVER.uid, "7", START, "x"),)

    janitor.settle()
    assert janitor.claimed() == ["web 80/TCP"]
