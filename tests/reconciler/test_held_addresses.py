"""Which addresses a group may have locks on: what its ledger said, and what its members had."""

import asyncio
from dataclasses import replace

import pytest

from reconciler.held_addresses import HeldAddresses
from reconciler.ledger_keeper import LedgerKeeper
from sharedvip.ledger import Ledger
from sharedvip.model import Policy, ServiceName, ServiceView, SharedValues
from tests.builders import GROUP, service
from tests.reconciler.controller import START
from tests.reconciler.fake_kubernetes import FakeKubernetes

A, B = "10.0.0.1", "10.0.0.2"
WEB = service("web", "80/TCP", load_balancer_ip=A)
API = service("api", "443/TCP", load_balancer_ip=B)


def gone(name: ServiceName) -> None:
    """No Service is there any more."""
    del name


@pytest.mark.parametrize(("key", "expected"), [(None, {A, B}), ("other", {A})])
def test_with_what_a_member_has_left_is_its_group_s_matter_too(key: str | None, expected: set[str]) -> None:
    """Admission noted the leave on a lock of that address; who only moves to another group leaves no note."""
    left = replace(WEB, sharing_key=key, load_balancer_ip=B)
    held = HeldAddresses()
    held.observe(GROUP, None, [WEB], stored=gone)
    held.observe(GROUP, None, [], stored={left.name: left}.get)

    assert held.of(GROUP) == expected


def test_what_a_member_has_is_its_group_s_matter_once_it_is_gone() -> None:
    """Until then nobody has to look: of groups in conflict that would be a call for each, again and again."""
    held = HeldAddresses()
    held.observe(GROUP, None, [WEB, API], stored=gone)
    assert held.groups == ()

    held.observe(GROUP, None, [API], stored=gone)
    assert (held.of(GROUP), held.groups) == ({A}, (GROUP,))
    held.discard(A, GROUP)
    assert held.groups == ()
    held.observe(GROUP, None, [API], stored=gone)
    assert held.groups == ()


def test_what_is_no_address_is_no_matter() -> None:
    """A member came past admission with it, and is gone: nobody can have a lock on that."""
    held = HeldAddresses()
    held.observe(GROUP, None, [replace(WEB, load_balancer_ip="localhost")], stored=gone)
    held.observe(GROUP, None, [], stored=gone)

    assert held.groups == ()


def test_what_the_ledger_says_stays_until_it_is_unlocked() -> None:
    """Both addresses of a move."""
    held = HeldAddresses()
    held.observe(GROUP, Ledger(GROUP, SharedValues(A, intended_address=B)), [WEB], stored=gone)
    held.observe(GROUP, Ledger(GROUP), [], stored=gone)

    assert held.of(GROUP) == {A, B}


@pytest.mark.parametrize(
    "left",
    [
        pytest.param(replace(WEB, sharing_key=None), id="left, with its address"),
        pytest.param(replace(WEB, load_balancer_ip=""), id="stayed, without it"),
        pytest.param(None, id="deleted"),
    ],
)
def test_a_lock_that_was_made_for_a_leave_goes_with_it(left: ServiceView | None) -> None:
    """Of a group in conflict, which is in no ledger: nobody claims anything there, and the lock was made."""
    kubernetes = FakeKubernetes()
    kubernetes.apply(WEB, API)
    keeper = LedgerKeeper(kubernetes, policy=Policy(), now=lambda: START)
    assert len(asyncio.run(keeper.settle(GROUP)).refused) == 2
    kubernetes.addresses[A] = GROUP

    if left is None:
        kubernetes.delete(WEB.name)
    else:
        kubernetes.apply(left)
    settled = asyncio.run(keeper.settle(GROUP))
    asyncio.run(keeper.release_addresses(GROUP, settled.ledger))
    assert A not in kubernetes.addresses


def test_a_service_of_another_type_keeps_no_lock() -> None:
    """It asks for the group's address, and can never have it: whoever wants that would wait for ever."""
    kubernetes = FakeKubernetes()
    kubernetes.admit(WEB, at=START)
    kubernetes.apply(replace(API, type="ClusterIP", load_balancer_ip=A))
    kubernetes.addresses[A] = GROUP
    keeper = LedgerKeeper(kubernetes, policy=Policy(), now=lambda: START)
    asyncio.run(keeper.settle(GROUP))
    kubernetes.delete(WEB.name)
    settled = asyncio.run(keeper.settle(GROUP))
    asyncio.run(keeper.release_addresses(GROUP, settled.ledger))

    assert A not in kubernetes.addresses


def test_a_standby_remembers_no_locks() -> None:
    """It would for ever; who takes over reads all of them."""
    kubernetes = FakeKubernetes()
    kubernetes.admit(WEB, at=START)
    keeper = LedgerKeeper(kubernetes, policy=Policy(), now=lambda: START)
    keeper.observe(GROUP, is_leading=False)
    assert keeper.groups_with_addresses() == ()

    keeper.observe(GROUP)
    assert keeper.groups_with_addresses() == (GROUP,)


def test_who_takes_over_knows_who_was_a_member() -> None:
    """One that leaves before its group's first pass may have left with a lock that is made after all were read."""
    kubernetes = FakeKubernetes()
    kubernetes.apply(WEB)
    keeper = LedgerKeeper(kubernetes, policy=Policy(), now=lambda: START)
    keeper.observe(GROUP, is_leading=False)
    kubernetes.apply(replace(WEB, sharing_key=None))
    keeper.observe(GROUP)

    assert keeper.groups_with_addresses() == (GROUP,)
