"""The audit: what is stored and breaks a rule, and ledgers that say something else than the Services."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharedvip.audit import Finding, StoredWorld, find_conflicts, find_untruths, groups_in
from sharedvip.ledger import GRACE, Claim, Ledger, grow, reserve
from sharedvip.model import GroupName, Policy, ServiceView
from sharedvip.parse import shared_values, static_address
from tests.builders import GROUP, KEY, listener, service
from tests.strategies import START, members, services

LATER = START + GRACE + timedelta(seconds=1)
ADDRESS = "10.0.0.1"

OTHER = GroupName("shop", "other")
WEB = service("web", "80")
API = service("api", "443")
FIXED = replace(WEB, load_balancer_ip=ADDRESS)
THIEF = service("thief", "443", key=OTHER.key, load_balancer_ip=ADDRESS)


def ledger_of(*admitted: ServiceView, vip: str = "") -> Ledger:
    """As admission left it at the start: all the Services are accepted."""
    claims = [claim for one in admitted for claim in grow(None, one, old=None, now=START)]
    return Ledger(GROUP, shared_values(admitted[0]), tuple(sorted(claims)), vip=vip)


def world(
    *stored: ServiceView,
    ledgers: Iterable[Ledger] = (),
    locks: dict[str, GroupName] | None = None,
    left: dict[str, tuple[GroupName, datetime]] | None = None,
) -> StoredWorld:
    """What the API server holds."""
    return StoredWorld(stored, tuple(ledgers), locks or {}, left or {})


def rules_of(found: Iterable[Finding]) -> list[tuple[str, str]]:
    """What is told, and of whom."""
    return [(one.name, one.rule) for one in found]


# What is stored and breaks a rule.


def test_a_conflict_in_full() -> None:
    """Both Services are told, each with the other, by name; as admission says it."""
    found = find_conflicts(world(WEB, replace(WEB, name=WEB.name._replace(name="twin"), uid="2")))

    told = "is already served on shared VIP 'shared-vip-key-1' by Service"
    remedy = "choose another port, or another protocol [duplicate-port]"
    assert [str(one) for one in found] == [
        f"Service default/twin: spec.ports[0]: 80/TCP {told} 'web'; {remedy}",
        f"Service default/web: spec.ports[0]: 80/TCP {told} 'twin'; {remedy}",
    ]
    assert {(one.kind, one.namespace, one.rule) for one in found} == {("Service", "default", "duplicate-port")}


FOREIGN = service("web", load_balancer_class="example.com/lb")


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        pytest.param([WEB, API], [], id="members that fit together"),
        pytest.param([WEB, service("twin", "80", key="other")], [], id="the same port in another group"),
        pytest.param([WEB, service("twin", "80", namespace="shop")], [], id="the same key in another namespace"),
        pytest.param([WEB, service("twin", "80", key=None)], [], id="the same port without the annotation"),
        pytest.param(
            [service("a", load_balancer_ip=ADDRESS), service("b", "443", load_balancer_ip="10.0.0.2")],
            [("a", "static-address-mismatch"), ("b", "static-address-mismatch")],
            id="two static addresses",
        ),
        pytest.param(
            [FIXED, API],
            [("api", "static-address-mismatch"), ("web", "static-address-mismatch")],
            id="an address, and none",
        ),
        pytest.param([FIXED, replace(API, address_annotation=ADDRESS)], [], id="the same address in two places"),
        pytest.param([service(type="ClusterIP")], [("web", "not-load-balancer")], id="the annotation on another type"),
        pytest.param(
            [WEB, service("odd", "80", type="ClusterIP")],
            [("odd", "not-load-balancer")],
            id="who cannot be in the group takes no port of it",
        ),
        pytest.param([service(key="a/b")], [("web", "invalid-key")], id="a key that is none"),
        pytest.param([FOREIGN], [("web", "class-mismatch")], id="a class that is not ours"),
        pytest.param(
            [FOREIGN, API],
            [("api", "class-mismatch"), ("web", "class-mismatch")],
            id="who shares with a foreign class is told too",
        ),
        pytest.param(
            [replace(WEB, is_deleting=True), service("twin", "80")],
            [("twin", "duplicate-port")],
            id="who is being deleted holds its port still, and is told nothing",
        ),
        pytest.param(
            [FIXED, service("plain", "9", key=None, load_balancer_ip=ADDRESS)],
            [("web", "static-address-taken")],
            id="an ordinary Service asks for the address",
        ),
        pytest.param(
            [FIXED, service("plain", "9", key=None, namespace="shop", vips=(ADDRESS,))],
            [("web", "static-address-taken")],
            id="an ordinary Service of another namespace has the address",
        ),
        pytest.param(
            [FIXED, service("left", "9", key=None, vips=(ADDRESS,), has_ready_condition=True)],
            [],
            id="who left a moment ago shows the group's address still",
        ),
        pytest.param(
            [FIXED, service("odd", key="other", type="ClusterIP", load_balancer_ip=ADDRESS)],
            [("odd", "not-load-balancer")],
            id="who cannot be in a group holds no address for it",
        ),
        pytest.param(
            [FIXED, service("abroad", key="other", namespace="shop", load_balancer_ip=ADDRESS)],
            [("web", "static-address-taken"), ("abroad", "static-address-taken")],
            id="two groups ask for one address",
        ),
    ],
)
def test_a_stored_world_is_judged_by_the_rules(stored: list[ServiceView], expected: list[tuple[str, str]]) -> None:
    """By namespace and name."""
    assert rules_of(find_conflicts(world(*stored))) == expected


def test_where_a_group_lives_counts() -> None:
    """A member with an address in a group that lives on an allocated one; and a group on another's address."""
    allocated = ledger_of(WEB, vip="10.0.0.9")
    other = Ledger(OTHER, vip=ADDRESS)

    lives = find_conflicts(world(WEB, replace(API, load_balancer_ip=ADDRESS), ledgers=[allocated]))
    taken = find_conflicts(world(FIXED, ledgers=[other]))

    assert ("api", "vip-in-use-elsewhere") in rules_of(lives)
    assert rules_of(taken) == [("web", "static-address-taken")]
    assert "in another namespace" in taken[0].message


def test_the_platform_engineers_class_decides() -> None:
    """Another class may be ours, and Services without one may not be."""
    ours = Policy("example.com/lb", is_default_class=False)

    assert rules_of(find_conflicts(world(FOREIGN), policy=ours)) == []
    assert rules_of(find_conflicts(world(WEB), policy=ours)) == [("web", "class-mismatch")]


def test_a_claim_that_waits_for_its_service_is_no_conflict() -> None:
    """Nobody is in the way of what is stored."""
    assert find_conflicts(world(WEB, ledgers=[ledger_of(service("twin", "80"))])) == ()


@given(st.lists(services(), max_size=6, unique_by=lambda one: one.name), st.randoms(use_true_random=False))
def test_the_order_of_services_never_matters(stored: list[ServiceView], chance: Random) -> None:
    """Neither for conflicts nor for ledgers."""
    mixed = list(stored)
    chance.shuffle(mixed)

    assert find_conflicts(world(*mixed)) == find_conflicts(world(*stored))
    assert find_untruths(world(*mixed), now=LATER) == find_untruths(world(*stored), now=LATER)


# Ledgers.


def test_a_dead_claim_in_full() -> None:
    """Its Service is gone, or never came."""
    (found,) = find_untruths(world(API, ledgers=[ledger_of(WEB, API)]), now=LATER)

    assert str(found) == (
        f"SharedVIP default/{KEY}: 80/TCP is claimed by Service 'web' of uid uid-of-web since 2026-11-23T00:00:00Z, "
        "and no such Service has it; the reconciler is to release it [claim-without-service]"
    )
    assert (found.kind, found.namespace, found.name) == ("SharedVIP", "default", KEY)


@pytest.mark.parametrize(
    ("stored", "now", "is_found"),
    [
        pytest.param([WEB], LATER, False, id="the Service has the listener"),
        pytest.param([replace(WEB, is_deleting=True)], LATER, False, id="also while it is being deleted"),
        pytest.param([], START + GRACE, False, id="the Service may come yet: the grace is not over"),
        pytest.param([], LATER, True, id="the Service is not there"),
        pytest.param([replace(WEB, uid="another")], LATER, True, id="it was made anew: another incarnation"),
        pytest.param([service("web", "81")], LATER, True, id="it has another port by now"),
        pytest.param([replace(WEB, sharing_key="other")], LATER, True, id="it is in another group by now"),
        pytest.param([replace(WEB, type="ClusterIP")], LATER, True, id="it is of another type by now"),
        pytest.param([replace(WEB, sharing_key=None)], LATER, True, id="it does not share any more"),
    ],
)
def test_a_claim_without_its_service(stored: list[ServiceView], now: datetime, is_found: bool) -> None:  # noqa: FBT001 - a table
    """Judged once the grace has passed."""
    found = find_untruths(world(*stored, ledgers=[ledger_of(WEB)]), now=now)

    assert ((KEY, "claim-without-service") in rules_of(found)) is is_found


def test_what_is_reserved_wants_its_service_too() -> None:
    """Nobody else can have that listener."""
    more = replace(API, ports=service("api", "443", "444").ports)
    ledger = ledger_of(WEB).with_held([*ledger_of(WEB).held, *reserve(None, more, old=API, now=START)])
    late = replace(API, ports=service("api", "80").ports)

    assert rules_of(find_untruths(world(WEB, late, ledgers=[ledger]), now=LATER)) == [(KEY, "claim-without-service")]
    stored = replace(API, ports=service("api", "80", "444").ports)
    assert find_untruths(world(WEB, stored, ledgers=[ledger]), now=LATER) == ()


def test_a_service_without_a_claim_in_full() -> None:
    """It came past admission, or its claim was taken away."""
    (found,) = find_untruths(world(WEB), now=START)

    assert str(found) == (
        f"Service default/web: is no member in the ledger of shared VIP '{KEY}', and no rule speaks against it; "
        "the reconciler is to let it in [service-without-claim]"
    )


@pytest.mark.parametrize(
    ("stored", "ledger", "expected"),
    [
        pytest.param([WEB, API], ledger_of(WEB, API), [], id="all are accepted"),
        pytest.param([WEB, API], ledger_of(WEB), ["api"], id="one is not"),
        pytest.param([service("web", "80", "81")], ledger_of(WEB), ["web"], id="one of its ports is not claimed"),
        pytest.param([FIXED], ledger_of(WEB), ["web"], id="the ledger has another address than its only member"),
        pytest.param([replace(API, is_deleting=True)], ledger_of(WEB), [], id="who is being deleted need not join"),
        pytest.param([service(type="ClusterIP")], None, [], id="who is no LoadBalancer cannot join"),
        pytest.param([WEB, service("odd", type="ClusterIP")], None, ["web"], id="and holds nobody up"),
        pytest.param([WEB, service("twin", "80")], None, [], id="newcomers in conflict stay out, as the rules tell"),
        pytest.param([WEB, service("twin", "80"), API], None, [], id="and those beside them wait"),
        pytest.param([FIXED, THIEF], None, [], id="two groups in no ledger with one address stay out"),
        pytest.param(
            [FIXED, replace(API, load_balancer_ip=ADDRESS), THIEF],
            ledger_of(FIXED),
            ["api"],
            id="a group that has its address by its ledger is disturbed by none in no ledger",
        ),
        pytest.param([FOREIGN], None, [], id="a foreign class stays out"),
        pytest.param([service(key="a/b")], None, [], id="a key that is none has no ledger"),
        pytest.param(
            [service("late", "80")], ledger_of(WEB), [], id="what is claimed and not stored stands in its way too"
        ),
        pytest.param(
            [WEB, API], replace(ledger_of(WEB, API), is_deleting=True), [], id="a SharedVIP on its way out holds still"
        ),
    ],
)
def test_a_service_without_its_claim(stored: list[ServiceView], ledger: Ledger | None, expected: list[str]) -> None:
    """Where nothing speaks against it."""
    found = find_untruths(world(*stored, ledgers=[ledger] if ledger else []), now=START)

    assert [one.name for one in found if one.rule == "service-without-claim"] == expected


@pytest.mark.parametrize(
    "elsewhere",
    [
        pytest.param(world(FIXED, ledgers=[Ledger(OTHER, shared_values(FIXED))]), id="claimed"),
        pytest.param(world(FIXED, locks={ADDRESS: OTHER}), id="locked"),
        pytest.param(world(FIXED, ledgers=[Ledger(OTHER, vip=ADDRESS)]), id="lived on"),
    ],
)
def test_whose_address_another_group_holds_stays_out(elsewhere: StoredWorld) -> None:
    """By its ledger or its lock, though nothing of it is stored: that need not be a conflict."""
    found = find_untruths(elsewhere, now=START)

    assert "service-without-claim" not in {one.rule for one in found}


def test_what_is_found_is_sorted() -> None:
    """By namespace, kind and name."""
    abroad = service("abroad", "80", namespace="shop")

    found = find_untruths(world(abroad, API, ledgers=[ledger_of(WEB)], locks={ADDRESS: GROUP}), now=LATER)

    assert [(one.namespace, one.kind) for one in found] == [
        ("default", "IPAddress"),
        ("default", "Service"),
        ("default", "SharedVIP"),
        ("shop", "Service"),
    ]


@given(st.lists(members(), max_size=4, unique_by=lambda one: one.name), st.sampled_from((START, LATER)))
def test_what_admission_lets_in_is_in_order(asking: list[ServiceView], now: datetime) -> None:
    """Who fits is stored and claimed, one after the other: neither a conflict nor an untruth, then and later."""
    admitted: list[ServiceView] = []
    for one in asking:
        if not any(name == one.name.name for name, _ in rules_of(find_conflicts(world(*admitted, one)))):
            admitted.append(one)
    ledgers = [ledger_of(*admitted)] if admitted else []
    address = static_address(admitted[0]) if admitted else ""
    consistent = world(*admitted, ledgers=ledgers, locks={address: GROUP} if address else {})

    assert find_conflicts(consistent) == ()
    assert find_untruths(consistent, now=now) == ()


@given(st.lists(members(), min_size=1, max_size=4, unique_by=lambda one: one.name), st.data())
def test_any_claim_too_many_is_found(stored: list[ServiceView], data: st.DataObject) -> None:
    """Whatever else is wrong."""
    extra = Claim(listener("7"), data.draw(st.sampled_from(("a", "z"))), "9", START)
    ledger = Ledger(GROUP, shared_values(stored[0]), (extra,))

    found = find_untruths(world(*stored, ledgers=[ledger]), now=LATER)

    assert (KEY, "claim-without-service") in rules_of(found)


def test_groups_are_those_that_anybody_asks_for() -> None:
    """Each once; who does not share asks for none."""
    assert groups_in([WEB, API, service("plain", key=None), service("b", key="k")]) == {
        GROUP,
        GroupName("default", "k"),
    }
