"""A lone Service's change of what its group shares, while it may or may not be stored yet."""

from dataclasses import replace
from datetime import timedelta

import pytest

from sharedvip.ledger import GRACE, Ledger, group_of, grow, member_of, reserve
from sharedvip.model import ServiceView, SharedValues
from sharedvip.parse import shared_values
from sharedvip.turning import asked_again, change_under_way, is_outdated, is_overtaken, values_to_claim
from tests.builders import GROUP, service
from tests.strategies import START

A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"
OLD = replace(service("web", "80/TCP", load_balancer_ip=A), uid="u", resource_version="7")
MOVED = replace(OLD, load_balancer_ip=B)
MOVING = replace(OLD, intended_address=B)


def admitted(candidate: ServiceView, *, old: ServiceView = OLD) -> Ledger:
    """The ledger after an update of the only member was admitted."""
    first = Ledger(GROUP, shared_values(old), grow(None, old, old=None, now=START - GRACE * 2))
    claims = asked_again(grow(first, candidate, old=old, now=START), candidate, old=old, now=START)
    return replace(first, shared=shared_values(candidate), claims=claims)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(MOVED, id="another address"),
        pytest.param(replace(OLD, load_balancer_ip=""), id="no address"),
        pytest.param(replace(OLD, l4_rule="fast"), id="another L4Rule"),
        pytest.param(replace(OLD, intended_address=B), id="another intended address"),
    ],
)
def test_what_was_admitted_is_under_way_until_it_is_stored_or_the_grace_is_over(changed: ServiceView) -> None:
    """Whoever counts the time counts from the latest request."""
    ledger = admitted(changed)

    assert change_under_way(ledger, OLD, now=START + GRACE) == shared_values(changed)
    assert change_under_way(ledger, OLD, now=START + GRACE + timedelta(seconds=1)) is None
    assert change_under_way(ledger, replace(changed, resource_version="8"), now=START) is None
    assert change_under_way(ledger, replace(OLD, resource_version="8"), now=START) is None


def test_what_changes_nothing_is_not_under_way() -> None:
    """More ports are no matter of the group's."""
    assert change_under_way(admitted(service("web", "80/TCP", "443/TCP", load_balancer_ip=A)), OLD, now=START) is None
    assert change_under_way(None, OLD, now=START) is None
    assert change_under_way(admitted(MOVED), None, now=START) is None


def test_of_several_nobody_turns() -> None:
    """What they share is owned by all of them."""
    ledger = admitted(MOVED)
    other = grow(None, replace(service("api", "443/TCP"), uid="v"), old=None, now=START)

    assert change_under_way(replace(ledger, claims=(*ledger.claims, *other)), OLD, now=START) is None


def wanted(candidate: ServiceView, *, ledger: Ledger, old: ServiceView = OLD) -> tuple[SharedValues, bool]:
    """What the next update is to claim, and whether it is in the way of the one before."""
    group = group_of(GROUP, ledger=ledger, services=(old,), candidate=candidate)
    under_way = change_under_way(ledger, old, now=START)
    values = values_to_claim(candidate, old=old, group=group, under_way=under_way)
    return values, is_overtaken(values, candidate=candidate, old=old, under_way=under_way)


@pytest.mark.parametrize(
    ("candidate", "address", "overtaken"),
    [
        pytest.param(OLD, B, False, id="nothing changed"),
        pytest.param(MOVED, B, False, id="the same again"),
        pytest.param(replace(OLD, load_balancer_ip=C), C, True, id="something else"),
        pytest.param(replace(OLD, load_balancer_ip=""), "", True, id="none"),
        pytest.param(replace(MOVED, l4_rule="fast"), B, True, id="the same and more"),
    ],
)
def test_another_update_takes_nothing_out_of_the_ledger(
    candidate: ServiceView, address: str, *, overtaken: bool
) -> None:
    """While the Service is stored with one address, and the ledger says another."""
    values, is_in_the_way = wanted(candidate, ledger=admitted(MOVED))

    assert (values.static_address, is_in_the_way) == (address, overtaken)


@pytest.mark.parametrize(
    ("candidate", "shared", "overtaken"),
    [
        pytest.param(MOVING, SharedValues(A, intended_address=B), False, id="nothing changed"),
        pytest.param(OLD, SharedValues(A, intended_address=B), False, id="stays"),
        pytest.param(MOVED, SharedValues(B), False, id="goes"),
        pytest.param(replace(OLD, intended_address=C), SharedValues(A, intended_address=C), True, id="elsewhere"),
    ],
)
def test_who_was_left_alone_in_a_move_is_waited_for_too(
    candidate: ServiceView, shared: SharedValues, *, overtaken: bool
) -> None:
    """It has asked for the new address while others were there: found by ``test_move_machine``."""
    claims = asked_again(grow(None, MOVED, old=MOVING, now=START), MOVED, old=MOVING, now=START)
    ledger = Ledger(GROUP, SharedValues(A, intended_address=B), claims)

    assert wanted(candidate, ledger=ledger, old=MOVING) == (shared, overtaken)


def test_what_is_asked_for_again_is_as_of_now() -> None:
    """Over the version that the Service has by now; when the port was claimed stays, as a licence may count on it."""
    later = START + timedelta(seconds=60)
    again = asked_again(admitted(MOVED).claims, MOVED, old=replace(OLD, resource_version="9"), now=later)

    assert [(claim.claimed_at, claim.asked_at, claim.replaces) for claim in again] == [(START - 2 * GRACE, later, "9")]
    assert [member_of(OLD)] == [(claim.service, claim.uid) for claim in again]


@pytest.mark.parametrize(
    ("old", "age", "outdated"),
    [
        pytest.param(OLD, timedelta(), False, id="over the same version"),
        pytest.param(replace(OLD, resource_version="6"), timedelta(), True, id="over another"),
        pytest.param(replace(OLD, resource_version="6"), GRACE * 2, False, id="when the other is over"),
        pytest.param(replace(OLD, resource_version="6", uid="v"), timedelta(), False, id="of a namesake"),
    ],
)
def test_only_the_service_tells_which_of_two_versions_is_stored(
    old: ServiceView, age: timedelta, *, outdated: bool
) -> None:
    """A create replaces none."""
    assert is_outdated(admitted(MOVED), old, now=START + age) is outdated
    assert not is_outdated(replace(admitted(MOVED), claims=grow(None, OLD, old=None, now=START)), old, now=START)
    assert not is_outdated(None, old, now=START)


def test_what_is_reserved_tells_of_its_request_too() -> None:
    """A request over another version may be on its way, and must not be written over."""
    more = service("web", "80/TCP", "443/TCP")
    ledger = Ledger(GROUP).with_held(reserve(None, replace(OLD, ports=more.ports), old=OLD, now=START))

    assert not is_outdated(ledger, OLD, now=START)
    assert is_outdated(ledger, replace(OLD, resource_version="6"), now=START + GRACE)
    assert not is_outdated(ledger, replace(OLD, resource_version="6"), now=START + GRACE + timedelta(seconds=1))


@pytest.mark.parametrize(
    "old",
    [
        pytest.param(replace(OLD, sharing_key=None), id="shares nothing"),
        pytest.param(replace(OLD, sharing_key="another"), id="in another group"),
        pytest.param(replace(OLD, type="ClusterIP"), id="of another type"),
    ],
)
def test_of_two_ways_into_a_group_the_first_stays(old: ServiceView) -> None:
    """Either may be stored, and the group has one address."""
    claims = asked_again(grow(None, MOVED, old=old, now=START), MOVED, old=old, now=START)
    ledger = Ledger(GROUP, shared_values(MOVED), claims)

    assert wanted(MOVED, ledger=ledger, old=old) == (SharedValues(B), False)
    assert wanted(OLD, ledger=ledger, old=old) == (SharedValues(A), True)


def test_who_joins_may_not_go_where_another_way_in_leads() -> None:
    """In the group it would leave what it is stored with; here it would take what the other way in brings."""
    plain, joins = replace(OLD, sharing_key=None), replace(OLD, intended_address=B)
    claims = asked_again(grow(None, joins, old=plain, now=START), joins, old=plain, now=START)

    assert wanted(MOVED, ledger=Ledger(GROUP, shared_values(joins), claims), old=plain) == (SharedValues(B), True)


def test_an_update_of_ports_alone_leaves_the_others_as_they_were() -> None:
    """And a create has nothing to replace."""
    claims = grow(None, OLD, old=None, now=START)

    more = replace(OLD, ports=service("web", "80/TCP", "443/TCP").ports)
    assert asked_again(claims, more, old=OLD, now=START + GRACE) == claims
    assert asked_again(claims, OLD, old=None, now=START + GRACE) == claims
