"""What an address that is another's for good means to the ledger that says it: its members are newcomers again."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.ports import ClaimLostError
from sharedvip.ledger import GRACE, Ledger, Release
from sharedvip.model import AddressHolder, GroupName
from tests.builders import GROUP, service
from tests.reconciler.controller import START
from tests.reconciler.fake_kubernetes import FakeKubernetes
from tests.reconciler.janitor import API, WEB, Janitor, janitor_of


@pytest.mark.parametrize(
    ("age", "vip", "is_kept"),
    [
        pytest.param(GRACE, "", True, id="the request that claimed may be about to lock"),
        pytest.param(GRACE * 2, "10.0.0.1", True, id="the group lives there"),
        pytest.param(GRACE * 2, "10.0.0.9", True, id="the group lives elsewhere"),
        pytest.param(GRACE * 2, "", False, id="its replica died before the lock"),
    ],
)
def test_whose_address_is_anothers_for_good_is_a_newcomer_again(age: timedelta, vip: str, *, is_kept: bool) -> None:
    """Two groups would hold it by their ledgers, and each newcomer of either be refused."""
    janitor = janitor_of(*(replace(each, load_balancer_ip="10.0.0.1") for each in (WEB, API)))
    kubernetes, other = janitor.kubernetes, service("dns", key="other", load_balancer_ip="10.0.0.1")
    kubernetes.admit(other, at=START)
    assert other.group is not None
    kubernetes.addresses["10.0.0.1"] = other.group
    kubernetes.ledgers[GROUP] = replace(kubernetes.ledgers[GROUP], vip=vip)
    janitor.now += age

    asyncio.run(janitor.keeper.refresh())
    assert janitor.claimed() == (["web 80/TCP", "api 443/TCP"] if is_kept else [])
    assert janitor.claimed(other.group) == ["dns 80/TCP"]
    if not is_kept:
        assert "already held by shared VIP 'other'" in janitor.settle().refused[WEB.name]


class _Written(FakeKubernetes):
    """A status is written between any two releases."""

    async def release(self, ledger: Ledger, release: Release) -> Ledger | None:
        """As ``Kubernetes``."""
        done = await super().release(ledger, release)
        if done is not None:
            self.ledgers[ledger.name] = replace(done, resource_version=str(next(self.versions)))
        return done


def test_all_its_members_are_even_where_a_pass_writes_its_status_in_between() -> None:
    """Nobody else has claimed anything."""
    kubernetes = _Written()
    kubernetes.admit(*(replace(each, load_balancer_ip="10.0.0.1") for each in (WEB, API)), at=START)
    kubernetes.addresses["10.0.0.1"] = GroupName("shop", "other")
    janitor = Janitor(kubernetes, START + GRACE * 2)

    asyncio.run(janitor.keeper.refresh())
    assert janitor.claimed() == []


def test_who_is_only_about_to_have_an_address_takes_nobody_out() -> None:
    """It may come to nothing."""

    class Pending(FakeKubernetes):
        async def take_address(
            self, address: str, group: GroupName, *, minds_leaver: bool = False
        ) -> AddressHolder | None:
            del address, minds_leaver
            return AddressHolder(group.namespace, service="past", is_pending=True)

    kubernetes = Pending()
    kubernetes.admit(replace(WEB, load_balancer_ip="10.0.0.1"), at=START)
    janitor = Janitor(kubernetes, START + GRACE * 2)

    asyncio.run(janitor.keeper.refresh())
    assert janitor.claimed() == ["web 80/TCP"]


class _Meanwhile(FakeKubernetes):
    """Somebody was faster than the first release."""

    happens: Callable[[Ledger], Ledger] | None = None

    async def release(self, ledger: Ledger, release: Release) -> Ledger | None:
        """As ``Kubernetes``."""
        if self.happens is None:
            return await super().release(ledger, release)
        happened, self.happens = self.happens(self.ledgers[ledger.name]), None
        self.ledgers[ledger.name] = replace(happened, resource_version=str(next(self.versions)))
        raise ClaimLostError("the ledger was written meanwhile")


def _told_its_vip(ledger: Ledger) -> Ledger:
    return replace(ledger, vip="10.0.0.1")


def _claimed_again(ledger: Ledger) -> Ledger:
    web, api = ledger.claims
    return replace(ledger, claims=(web, api._replace(claimed_at=START + GRACE * 2)))


@pytest.mark.parametrize(
    ("happens", "left"),
    [
        pytest.param(_told_its_vip, ["web 80/TCP", "api 443/TCP"], id="it is served by now"),
        pytest.param(_claimed_again, ["api 443/TCP"], id="a request has claimed since"),
    ],
)
def test_none_is_that_has_claimed_since_nor_of_a_group_that_is_served_by_now(
    happens: Callable[[Ledger], Ledger], left: list[str]
) -> None:
    """The claim of a request on its way would be lost, or those of a group that lives."""
    kubernetes = _Meanwhile()
    kubernetes.admit(*(replace(each, load_balancer_ip="10.0.0.1") for each in (WEB, API)), at=START)
    kubernetes.addresses["10.0.0.1"] = GroupName("shop", "other")
    kubernetes.happens = happens
    janitor = Janitor(kubernetes, START + GRACE * 2)

    asyncio.run(janitor.keeper.refresh())
    assert janitor.claimed() == left
