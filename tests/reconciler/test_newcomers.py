"""Services that came past admission and cannot be let in: each is told why, nobody is disturbed, nothing spins."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from cluster.ako_resources import Shown
from cluster.errors import Cause, ClusterError, Forbidden, Invalid, Unreachable
from reconciler.mover import CLAIM_AGAIN_SECONDS
from reconciler.ports import ClaimLostError
from reconciler.settled import LOOK_AGAIN_SECONDS
from sharedvip.annotations import INTENDED_ADDRESS, LOAD_BALANCER_IP, SHARED_VIP
from sharedvip.ledger import GRACE
from sharedvip.model import GroupName
from tests.builders import GROUP, KEY, service
from tests.reconciler.controller import START
from tests.reconciler.fake_kubernetes import FakeKubernetes
from tests.reconciler.options import detailed
from tests.reconciler.test_ledger_keeper import API, WEB, Janitor

MORE = service("more", "8443/TCP")
HERE, THERE = "10.0.0.1", "10.0.0.2"
FULL = Invalid(
    422,
    "Invalid",
    message="SharedVIP is invalid",
    causes=(Cause("spec.claims", "FieldValueTooMany", "Too many: 1030: must have at most 1024 items"),),
)
QUOTA = Forbidden(403, "Forbidden", message="exceeded quota: few")


def refusing(error: ClusterError) -> Janitor:
    """``api`` is a member; ``more`` and ``web`` come past admission, and the second cannot be claimed for."""
    kubernetes = FakeKubernetes(no_to={"claim web": error})
    kubernetes.admit(API, at=START)
    kubernetes.apply(WEB, MORE)
    return Janitor(kubernetes)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        pytest.param(
            FULL,
            f"spec.ports: cannot be recorded for shared VIP '{KEY}': Too many: 1030: must have at most 1024 items; "
            "must be changed to a value that fits [duplicate-port]",
            id="no room",
        ),
        pytest.param(
            QUOTA,
            f"metadata.annotations[{SHARED_VIP}]: cannot be recorded for shared VIP '{KEY}': exceeded quota: few; it "
            "is tried again by itself",
            id="a quota",
        ),
    ],
)
def test_who_cannot_be_recorded_is_told_and_the_others_wait_for_it(error: ClusterError, said: str) -> None:
    """All together or not at all, as with any other reason; the group's own pass goes on."""
    janitor = refusing(error)

    settled = janitor.settle()

    assert settled.ledger == janitor.kubernetes.ledgers[GROUP]
    assert settled.refused[WEB.name] == said
    assert settled.refused[MORE.name].startswith("waits for Service 'web': Services that came past admission join")
    assert (janitor.claimed(), settled.wake_seconds) == (["api 443/TCP"], LOOK_AGAIN_SECONDS)
    assert janitor.kubernetes.writes == ["claim more", "leave more"]


def test_a_refusal_stands_until_it_is_time_to_look_again() -> None:
    """What is written brings the next pass: without an end to that, twenty a second for ever.

    Told in the Service's status, too: tried again for that, by a ledger that is just written, it would be "waiting".
    """
    janitor = refusing(FULL)
    stored = janitor.kubernetes.stored
    stored.update({name: detailed(one) for name, one in stored.items()})
    first = janitor.settle()
    tries = len(janitor.kubernetes.writes)
    said = Shown(is_ready=False, reason="Conflict", message="cannot be recorded", entries=())
    stored.update({name: replace(one, has_ready_condition=True, shown=said) for name, one in stored.items()})

    janitor.now += timedelta(seconds=10)
    again = janitor.settle()
    assert (again.refused, again.wake_seconds) == (first.refused, LOOK_AGAIN_SECONDS - 10)
    assert len(janitor.kubernetes.writes) == tries

    janitor.now += timedelta(seconds=20)
    assert janitor.settle().refused == first.refused
    assert len(janitor.kubernetes.writes) == 2 * tries


def test_a_refusal_ends_with_its_reason() -> None:
    """Another set of newcomers, or another ledger, is another question."""
    janitor = refusing(FULL)
    janitor.settle()
    janitor.kubernetes.delete(WEB.name)

    assert janitor.settle().refused == {}
    assert janitor.claimed() == ["api 443/TCP", "more 8443/TCP"]


def test_a_group_of_one_that_cannot_be_recorded_is_none() -> None:
    """The ledger that was made for it is empty, and goes as any empty one; nor is it made again at once."""
    janitor = Janitor(FakeKubernetes(no_to={"claim web": FULL}))
    janitor.kubernetes.apply(WEB)

    settled = janitor.settle()

    assert list(settled.refused) == [WEB.name]
    assert settled.ledger is not None
    assert settled.ledger.claims == ()
    del janitor.kubernetes.ledgers[GROUP]
    assert janitor.settle().refused == settled.refused
    assert janitor.kubernetes.ledgers == {}


def test_who_changed_past_admission_with_all_its_peers_is_told_what_is_recorded() -> None:
    """The rules compare what is stored, and find nothing: the ledger has the old address, and keeps it."""
    kubernetes = FakeKubernetes()
    old = [replace(one, load_balancer_ip=HERE) for one in (API, WEB)]
    kubernetes.admit(*old, at=START)
    kubernetes.apply(*(replace(one, load_balancer_ip=THERE) for one in old))

    janitor = Janitor(kubernetes)
    assert janitor.settle().refused == {}, "that value may be new itself"
    janitor.now += 2 * GRACE
    settled = janitor.settle()

    assert settled.refused[API.name] == (
        f"spec.loadBalancerIP: cannot be recorded for shared VIP '{KEY}': Service 'web' is recorded with another value"
        "; set what its SharedVIP shows (kubectl get svip), or use another sharing key [static-address-mismatch]"
    )
    assert settled.wake_seconds == LOOK_AGAIN_SECONDS
    assert kubernetes.ledgers[GROUP].shared.static_address == HERE


def test_whoever_had_something_before_gets_it_back_last() -> None:
    """It cannot say its old address again while a newcomer's claim says the new one."""
    kubernetes = FakeKubernetes(addresses={THERE: GroupName("other", "key")})
    member, newcomer = replace(API, load_balancer_ip=HERE), replace(WEB, load_balancer_ip=THERE)
    kubernetes.admit(member, at=START)
    kubernetes.apply(replace(member, load_balancer_ip=THERE), newcomer)

    settled = Janitor(kubernetes).settle()

    assert set(settled.refused) == {API.name, WEB.name}
    assert kubernetes.ledgers[GROUP].shared.static_address == HERE
    assert [claim.service for claim in kubernetes.ledgers[GROUP].claims] == ["api"]


@pytest.mark.parametrize("subject", ["claim web", f"lock {HERE}"])
def test_whom_nobody_could_ask_for_holds_nothing(subject: str) -> None:
    """Neither a claim without its lock, nor half of the newcomers."""
    janitor = Janitor(FakeKubernetes(no_to={subject: Unreachable("it sleeps")}))
    janitor.kubernetes.apply(replace(WEB, load_balancer_ip=HERE), replace(MORE, load_balancer_ip=HERE))

    with pytest.raises(Unreachable):
        janitor.settle()

    assert janitor.claimed() == []


@pytest.mark.parametrize("asked", ["lock", "look at"])
def test_a_lock_that_may_not_be_made_or_read_lets_nobody_in(asked: str) -> None:
    """All of them share that address; the group's own pass goes on."""
    janitor = Janitor(
        FakeKubernetes(no_to={f"{asked} {HERE}": Forbidden(403, "Forbidden", message="no addresses here")})
    )
    janitor.kubernetes.apply(replace(WEB, load_balancer_ip=HERE), replace(MORE, load_balancer_ip=HERE))

    settled = janitor.settle()

    assert {name.name: "no addresses here" in said for name, said in settled.refused.items()} == {
        "web": True,
        "more": True,
    }
    assert janitor.claimed() == []


def test_the_field_that_names_the_address_is_told() -> None:
    """It may be an annotation."""
    kubernetes = FakeKubernetes(addresses={HERE: GroupName("other", "key")})
    kubernetes.apply(replace(WEB, address_annotation=HERE))

    (said,) = Janitor(kubernetes).settle().refused.values()

    assert said.startswith(f"metadata.annotations[{LOAD_BALANCER_IP}]: {HERE} is already held in another namespace")


def test_whose_address_is_anothers_claims_nothing() -> None:
    """Not for a moment: an update of it that is asked for meanwhile would be accepted by that claim."""
    unasked = Unreachable("nobody is to ask")
    kubernetes = FakeKubernetes(addresses={HERE: GroupName("other", "key")}, no_to={"claim web": unasked})
    kubernetes.apply(replace(WEB, load_balancer_ip=HERE))

    settled = Janitor(kubernetes).settle()

    assert "is already held in another namespace" in settled.refused[WEB.name]
    assert (settled.ledger, kubernetes.ledgers) == (None, {})


def test_the_address_that_is_anothers_is_the_one_that_is_named() -> None:
    """Of a group in a move it may be the one that it moves to, and who says neither would have shared them."""
    kubernetes = FakeKubernetes(addresses={HERE: GROUP, THERE: GroupName("other", "key")})
    member = replace(API, load_balancer_ip=HERE, intended_address=THERE)
    kubernetes.admit(member, at=START)
    kubernetes.apply(*(replace(member, name=one.name, uid=one.uid, ports=one.ports) for one in (WEB, MORE)))
    ledger = kubernetes.ledgers[GROUP]
    kubernetes.ledgers[GROUP] = replace(ledger, has_finalizer=True)

    refused = Janitor(kubernetes).settle().refused

    for newcomer in (WEB, MORE):
        assert refused[newcomer.name].startswith(
            f"metadata.annotations[{INTENDED_ADDRESS}]: {THERE} is already held in another namespace"
        )


def test_an_address_that_may_not_be_locked_leaves_none_of_the_others_unlocked() -> None:
    """A hand deleted all three locks, and somebody's policy is against one of them."""
    kubernetes = FakeKubernetes(no_to={f"lock {HERE}": Forbidden(403, "Forbidden", message="not that one")})
    groups = [GroupName("shop", name) for name in ("a", "b")]
    for group, address in zip(groups, (HERE, THERE), strict=True):
        kubernetes.admit(service(group.key, key=group.key, namespace="shop", load_balancer_ip=address), at=START)

    asyncio.run(Janitor(kubernetes).keeper.refresh())

    assert kubernetes.addresses == {THERE: groups[1]}


@pytest.mark.parametrize("error", [FULL, Unreachable("it sleeps")])
def test_a_lock_that_may_not_go_keeps_no_group(error: ClusterError) -> None:
    """A hand has taken our label off it, and our own policy is against that we touch it."""
    kubernetes = FakeKubernetes(no_to={f"unlock {HERE}": error})
    kubernetes.admit(replace(WEB, load_balancer_ip=HERE), at=START)
    kubernetes.addresses[HERE] = GROUP
    keeper = Janitor(kubernetes).keeper
    keeper.observe(GROUP)
    kubernetes.delete(WEB.name)
    kubernetes.ledgers.clear()
    release = keeper.release_addresses(GROUP, None)

    if isinstance(error, Unreachable):
        with pytest.raises(Unreachable):
            asyncio.run(release)
    else:
        assert asyncio.run(release) is not None, "it comes again"


def test_who_is_outrun_tries_again_soon_and_not_at_once() -> None:
    """Somebody claims between our look and our write."""
    janitor = refusing(ClaimLostError("80/TCP is held by another manager"))

    assert (janitor.settle().refused, janitor.settle().wake_seconds) == ({}, CLAIM_AGAIN_SECONDS)
    assert janitor.claimed() == ["api 443/TCP"]
    assert janitor.kubernetes.writes == ["claim more", "leave more"]
