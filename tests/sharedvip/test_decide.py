"""Deciding: which violations there are, which of them are new, and which changes matter at all."""

from dataclasses import replace

import pytest

from sharedvip.decide import can_join, decide, existing_denials, new_denials, relevant_change
from sharedvip.model import AddressHolder, ServiceView, Situation
from tests.builders import lines, peer, service, situation

CLASHING = situation(peer("a", "80/TCP", "81/TCP", static_address="10.0.0.1"))
OTHER_GROUP = AddressHolder("default", key="other-key")


def rules(candidate: ServiceView, met: Situation) -> list[str]:
    """The rules that a candidate breaks, in the order reported."""
    return [denial.rule for denial in decide(candidate, met)]


def new(candidate: ServiceView, *, old: ServiceView | None, met: Situation = CLASHING) -> list[tuple[str, str]]:
    """The rule and subject of each new violation."""
    return [(d.rule, d.subject) for d in new_denials(candidate, old=old, situation=met)]


# --- all violations


def test_a_good_service_has_no_violation() -> None:
    """The seed's second Service joins the first."""
    assert decide(service("lb2", "80/UDP"), situation(peer("lb1", "80/TCP"))) == ()


def test_all_violations_are_reported_at_once_in_one_order() -> None:
    """Who reads the refusal can fix everything in one go."""
    met = situation(
        peer("a", "80/TCP", static_address="10.0.0.1", infra_setting="gold"), vip="10.0.0.1", holders=[OTHER_GROUP]
    )
    candidate = service(
        "web", "80/TCP", load_balancer_ip="10.0.0.2", ip_families=("IPv6",), load_balancer_class="example.com/lb"
    )

    assert rules(candidate, met) == [
        "duplicate-port",
        "static-address-invalid",
        "static-address-mismatch",
        "static-address-taken",
        "class-mismatch",
        "infra-mismatch",
    ]


def test_who_cannot_join_is_not_told_of_holders() -> None:
    """Neither of its address nor of the one that it intends: what it breaks is known without anybody else."""
    met = replace(situation(), address_holders=(OTHER_GROUP,), intended_holders=(OTHER_GROUP,))
    candidate = service(type="ClusterIP", load_balancer_ip="10.0.0.1", intended_address="10.0.0.2")

    assert "static-address-taken" not in rules(candidate, met)


@pytest.mark.parametrize(
    "candidate",
    [
        pytest.param(service("web", "80/TCP", "80/TCP", key=None, load_balancer_ip="foo"), id="without the annotation"),
        pytest.param(
            service("web", "80/TCP", load_balancer_ip="foo", is_deleting=True), id="while it is being deleted"
        ),
    ],
)
def test_a_service_out_of_our_hands_has_no_violation(candidate: ServiceView) -> None:
    """Finalizers must come off, and what asks for nothing is not refused."""
    assert decide(candidate, CLASHING) == ()


@pytest.mark.parametrize(
    ("candidate", "expected"),
    [
        pytest.param(service("web", "80/TCP", type="ClusterIP"), ["not-load-balancer"], id="another type"),
        pytest.param(service("web", "80/TCP", key="a/b"), ["invalid-key"], id="a key that is none"),
        pytest.param(
            service(
                "web", "80/TCP", "80/TCP", key="", type="NodePort", load_balancer_class="x", load_balancer_ip="foo"
            ),
            ["not-load-balancer", "invalid-key", "duplicate-port"],
            id="both, with a double port inside: what is wrong with any group is told too",
        ),
        pytest.param(
            service("web", "80/TCP", key="a/b", load_balancer_ip="foo", load_balancer_class="x"),
            ["invalid-key", "static-address-invalid", "class-mismatch"],
            id="a LoadBalancer with a bad key is told what no other key would mend",
        ),
        pytest.param(
            service("web", "80/TCP", key="a/b", load_balancer_ip="10.0.0.9"),
            ["invalid-key"],
            id="who holds an address elsewhere is unknown without a group",
        ),
    ],
)
def test_who_cannot_be_in_a_group_is_not_compared_with_it(candidate: ServiceView, expected: list[str]) -> None:
    """There is no group of that name, or no place in it, so its peers are in nobody's way."""
    met = situation(peer("a", "80/TCP", static_address="10.0.0.1"), vip="10.0.0.1", holders=[OTHER_GROUP])

    assert rules(candidate, met) == expected


@pytest.mark.parametrize(
    ("candidate", "expected"),
    [
        pytest.param(service(), True, id="a LoadBalancer with a valid key can join"),
        pytest.param(service(type="NodePort"), False, id="another type cannot"),
        pytest.param(service(key=None), False, id="a Service without a key cannot"),
        pytest.param(service(key="a/b"), False, id="a Service with an invalid key cannot"),
    ],
)
def test_who_can_join_a_group(candidate: ServiceView, *, expected: bool) -> None:
    """Type and key decide whether there is a group to join."""
    assert can_join(candidate) is expected


# --- new violations


def test_for_a_create_every_violation_is_new() -> None:
    """There is nothing older to compare with."""
    candidate = service("web", "80/TCP", load_balancer_ip="10.0.0.2")

    assert new(candidate, old=None) == [("duplicate-port", "80/TCP"), ("static-address-mismatch", "10.0.0.2")]


IN_CONFLICT = service("web", "80/TCP", load_balancer_ip="10.0.0.2")


@pytest.mark.parametrize(
    ("candidate", "expected"),
    [
        pytest.param(IN_CONFLICT, [], id="nothing new is allowed although the group is in conflict"),
        pytest.param(service("web", "80/TCP", load_balancer_ip="10.0.0.1"), [], id="mending one of two is allowed"),
        pytest.param(
            service("web", "9/TCP", "80/TCP", load_balancer_ip="10.0.0.2"),
            [],
            id="an old clash at another index is old",
        ),
        pytest.param(
            service("web", "80/TCP", "81/TCP", load_balancer_ip="10.0.0.2"),
            [("duplicate-port", "81/TCP")],
            id="an old clash does not excuse a new one on another port",
        ),
        pytest.param(
            service("web", "81/TCP", load_balancer_ip="10.0.0.2"),
            [("duplicate-port", "81/TCP")],
            id="nor does mending it by clashing elsewhere",
        ),
        pytest.param(
            service("web", "80/TCP", "80/TCP", load_balancer_ip="10.0.0.2"),
            [("duplicate-port", "80/TCP twice")],
            id="an old clash does not excuse naming the port twice",
        ),
        pytest.param(
            service("web", "80/TCP", load_balancer_ip="10.0.0.3"),
            [("static-address-mismatch", "10.0.0.3")],
            id="an old wrong address does not excuse another wrong one",
        ),
        pytest.param(
            service("web", "80/TCP"),
            [("static-address-mismatch", "(unset)")],
            id="nor dropping it where the group has one",
        ),
        pytest.param(
            service("web", "80/TCP", address_annotation="10.0.0.2"), [], id="the same address in the other field is old"
        ),
        pytest.param(
            service("web", "80/TCP", load_balancer_ip="10.0.0.2", type="ClusterIP"),
            [("not-load-balancer", "type")],
            id="another type with the annotation kept is refused",
        ),
        pytest.param(service("web", "80/TCP", key=None, load_balancer_ip="10.0.0.2"), [], id="leaving is allowed"),
        pytest.param(replace(IN_CONFLICT, is_deleting=True), [], id="anything is allowed while it is being deleted"),
        pytest.param(
            replace(IN_CONFLICT, sharing_key="a/b"),
            [("invalid-key", "'a/b'")],
            id="moving to an invalid key is refused",
        ),
    ],
)
def test_an_update_is_refused_only_for_what_it_adds(candidate: ServiceView, expected: list[tuple[str, str]]) -> None:
    """The old Service clashed with 'a' on 80/TCP and had another address; 'a' holds 81/TCP too."""
    assert new(candidate, old=IN_CONFLICT) == expected


@pytest.mark.parametrize(
    "old",
    [
        pytest.param(service("web", "80/TCP", key="another-key"), id="moving from another key"),
        pytest.param(service("web", "80/TCP", key=None), id="adding the annotation"),
        pytest.param(service("web", "80/TCP", type="ClusterIP"), id="becoming a LoadBalancer"),
    ],
)
def test_who_arrives_brings_no_old_violations(old: ServiceView) -> None:
    """A new member is judged like a create, whatever it was before."""
    met = situation(peer("a", "80/TCP"))

    assert new(service("web", "80/TCP"), old=old, met=met) == [("duplicate-port", "80/TCP")]


@pytest.mark.parametrize(
    ("old", "candidate", "expected"),
    [
        pytest.param(
            service(type="NodePort"), service(type="ClusterIP"), [], id="another wrong type is the old violation"
        ),
        pytest.param(
            service(type="NodePort"), service("web", "81/TCP", type="NodePort"), [], id="as are other ports beside it"
        ),
        pytest.param(service(key="a/b"), service("web", "82/TCP", key="a/b"), [], id="an old bad key is old"),
        pytest.param(
            service(type="NodePort", key="a/b"),
            service(key="a/b"),
            [("invalid-key", "'a/b'")],
            id="a LoadBalancer arrives as a new member, its bad key with it",
        ),
    ],
)
def test_a_service_that_cannot_be_in_a_group_may_stay_so(
    old: ServiceView, candidate: ServiceView, expected: list[tuple[str, str]]
) -> None:
    """What was stored before us is not held hostage."""
    assert new(candidate, old=old) == expected


def test_an_address_that_was_taken_before_does_not_excuse_taking_another() -> None:
    """The holders told are those of the new address; the old one's violation had another subject."""
    met = situation(holders=[OTHER_GROUP])
    old, candidate = service(load_balancer_ip="10.0.0.1"), service(load_balancer_ip="10.0.0.2")

    assert new(candidate, old=old, met=met) == [("static-address-taken", "10.0.0.2")]
    assert new(old, old=old, met=met) == []


def test_what_an_update_leaves_is_known_for_a_warning() -> None:
    """New and existing violations together are all, and no violation is both."""
    candidate = service("web", "80/TCP", "81/TCP", load_balancer_ip="10.0.0.2")

    fresh = new_denials(candidate, old=IN_CONFLICT, situation=CLASHING)
    left = existing_denials(candidate, old=IN_CONFLICT, situation=CLASHING)

    assert [d.subject for d in left] == ["80/TCP", "10.0.0.2"]
    assert sorted(lines((*fresh, *left))) == sorted(lines(decide(candidate, CLASHING)))


def test_a_create_leaves_nothing_as_it_was() -> None:
    """There was nothing before."""
    assert existing_denials(IN_CONFLICT, old=None, situation=CLASHING) == ()


# --- relevant changes

FULL = service("web", "80/TCP", "443/TCP", load_balancer_ip="2001:db8::1", address_annotation="2001:db8::1")


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        pytest.param(FULL, False, id="nothing"),
        pytest.param(replace(FULL, type="ClusterIP"), True, id="the type"),
        pytest.param(replace(FULL, sharing_key="other"), True, id="the key"),
        pytest.param(replace(FULL, sharing_key=None), True, id="the annotation's removal"),
        pytest.param(replace(FULL, load_balancer_class="x"), True, id="the class"),
        pytest.param(replace(FULL, load_balancer_ip="2001:db8::2"), True, id="the address"),
        pytest.param(replace(FULL, address_annotation="2001:db8::2"), True, id="the address annotation"),
        pytest.param(replace(FULL, ip_families=("IPv4",)), True, id="the families, which the address must fit"),
        pytest.param(replace(FULL, infra_setting="x"), True, id="the AviInfraSetting"),
        pytest.param(replace(FULL, l4_rule="x"), True, id="the L4Rule"),
        pytest.param(service("web", "80/TCP", load_balancer_ip="2001:db8::1"), True, id="a port less"),
        pytest.param(replace(FULL, ports=service("web", "80/UDP", "443/TCP").ports), True, id="a protocol"),
        pytest.param(
            replace(FULL, ports=service("web", "443/TCP", "80/TCP").ports), False, id="the order of the ports"
        ),
        pytest.param(replace(FULL, load_balancer_ip="2001:DB8::1"), False, id="the address's spelling"),
        pytest.param(replace(FULL, sharing_label="x"), False, id="a label"),
        pytest.param(replace(FULL, vips=("10.0.0.1",), has_ready_condition=True), False, id="the status"),
        pytest.param(replace(FULL, session_affinity="ClientIP"), False, id="a setting that no rule looks at"),
    ],
)
def test_which_changes_a_rule_could_notice(after: ServiceView, *, expected: bool) -> None:
    """Scale, status, finalizer and label changes of members cost one comparison."""
    assert relevant_change(FULL, after) is expected
