"""What the janitor does with listeners that are reserved for Services in conflict: kept, turned into claims, freed."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from sharedvip.ledger import GRACE, Claim, Ledger
from sharedvip.model import AddressHolder, GroupName, SharedValues
from tests.builders import GROUP, service
from tests.reconciler.controller import START
from tests.reconciler.fake_kubernetes import FakeKubernetes
from tests.reconciler.janitor import API, WEB, Janitor, janitor_of

Change = Callable[[FakeKubernetes], object]

LATE = service("late", "80/TCP")
MORE = service("late", "80/TCP", "8443/TCP")
"""What it is to be; 80/TCP is web's."""


def reserved(janitor: Janitor) -> list[str]:
    """``late 8443/TCP`` for each listener that is reserved."""
    ledger = janitor.kubernetes.ledgers[GROUP]
    return [f"{claim.service} {claim.listener}" for claim in ledger.reserved]


def in_conflict() -> Janitor:
    """``web`` is a member; ``late`` has its port past admission, and was admitted with one more."""
    janitor = janitor_of(WEB)
    janitor.kubernetes.apply(LATE)
    janitor.settle()
    janitor.kubernetes.ask_in_conflict(MORE, at=janitor.now)
    return janitor


def test_it_stays_while_the_service_has_it() -> None:
    """However long the conflict lasts: a replica may know nothing of that Service."""
    janitor = in_conflict()
    assert list(janitor.settle().refused) == [LATE.name]
    janitor.kubernetes.apply(MORE)
    assert list(janitor.settle().refused) == [LATE.name]
    janitor.now += timedelta(days=1)

    assert list(janitor.settle().refused) == [LATE.name]
    assert (reserved(janitor), janitor.claimed()) == (["late 8443/TCP"], ["web 80/TCP"])


def _given_up(kubernetes: FakeKubernetes) -> None:
    kubernetes.apply(LATE)


def _deleted(kubernetes: FakeKubernetes) -> None:
    kubernetes.delete(LATE.name)


def _moved(kubernetes: FakeKubernetes) -> None:
    kubernetes.apply(replace(MORE, sharing_key="another"))


@pytest.mark.parametrize("end", [_given_up, _deleted, _moved])
def test_it_goes_at_once_with_what_it_was_for(end: Change) -> None:
    """And nothing else."""
    janitor = in_conflict()
    janitor.kubernetes.apply(MORE)
    janitor.settle()
    end(janitor.kubernetes)

    janitor.settle()
    assert (reserved(janitor), janitor.claimed()) == ([], ["web 80/TCP"])


def test_what_never_came_goes_after_the_grace() -> None:
    """Another webhook has refused it."""
    janitor = in_conflict()
    wakes = janitor.settle().wake_seconds
    assert wakes is not None
    assert wakes <= GRACE.total_seconds() + 1
    janitor.now += GRACE + timedelta(seconds=1)
    janitor.settle()
    assert reserved(janitor) == []


def test_once_it_fits_it_is_claimed_with_all_the_rest() -> None:
    """And served."""
    janitor = in_conflict()
    janitor.kubernetes.apply(MORE)
    janitor.settle()
    janitor.kubernetes.delete(WEB.name)

    assert janitor.settle().refused == {}
    assert janitor.claimed() == ["late 80/TCP", "late 8443/TCP"]
    assert reserved(janitor) == []


def test_what_is_on_its_way_is_claimed_too() -> None:
    """Its Service is let in as it is stored, and may be stored with it in the next moment."""
    janitor = in_conflict()
    janitor.kubernetes.delete(WEB.name)

    assert janitor.settle().refused == {}
    assert (reserved(janitor), janitor.claimed()) == ([], ["late 80/TCP", "late 8443/TCP"])
    janitor.settle()
    assert janitor.claimed() == ["late 80/TCP", "late 8443/TCP"]
    janitor.kubernetes.apply(MORE)
    assert janitor.settle().refused == {}


def test_a_newcomer_does_not_get_it_either() -> None:
    """Also past admission it came later; all are told."""
    janitor = in_conflict()
    janitor.kubernetes.apply(service("rival", "8443/TCP"))

    settled = janitor.settle()
    assert "8443/TCP is being claimed" in settled.refused[service("rival").name]
    assert janitor.claimed() == ["web 80/TCP"]


class Overtaken(FakeKubernetes):
    """Between the look at a lock and the claim it becomes another's; and an update of the newcomer adds a port."""

    async def take_address(self, address: str, group: GroupName, *, minds_leaver: bool = False) -> AddressHolder | None:
        """As ``Kubernetes``."""
        self.addresses[address] = GroupName("other", "key")
        self.ask_in_conflict(replace(MORE, load_balancer_ip=address), at=START)
        return await super().take_address(address, group, minds_leaver=minds_leaver)


def test_what_an_update_reserves_meanwhile_is_not_given_back() -> None:
    """What the janitor has claimed for the Service is, though the ledger is another one by then."""
    janitor = Janitor(Overtaken())
    janitor.kubernetes.apply(replace(LATE, load_balancer_ip="10.0.0.1"))
    janitor.settle()

    assert (reserved(janitor), janitor.claimed()) == (["late 8443/TCP"], [])


def test_members_that_are_newcomers_again_keep_what_is_reserved_for_them() -> None:
    """Their address is another group's; the port is still nobody else's."""
    here = SharedValues("10.0.0.1")
    kubernetes = FakeKubernetes(addresses={"10.0.0.1": GroupName("shop", "other")})
    member = replace(API, load_balancer_ip="10.0.0.1")
    kubernetes.admit(member, at=START)
    kubernetes.ledgers[GROUP] = _with_reserved(kubernetes.ledgers[GROUP], "443/TCP", "444/TCP")
    kubernetes.apply(replace(member, ports=service("api", "443/TCP", "444/TCP").ports))
    assert kubernetes.ledgers[GROUP].shared == here
    janitor = Janitor(kubernetes)
    janitor.now += GRACE * 2
    kubernetes.ledgers[GroupName("shop", "other")] = Ledger(GroupName("shop", "other"), here)

    asyncio.run(janitor.keeper.refresh())
    assert (janitor.claimed(), reserved(janitor)) == ([], ["api 444/TCP"])


def _with_reserved(ledger: Ledger, *ports: str) -> Ledger:
    uid = ledger.claims[0].uid
    more = [Claim(one, "api", uid, START, is_reserved=True) for one in service("api", *ports).listeners[1:]]
    return ledger.with_held([*ledger.held, *more])
