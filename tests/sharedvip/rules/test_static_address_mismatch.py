"""The rule ``static-address-mismatch``, case by case."""

from dataclasses import replace

import pytest

from sharedvip.model import ServiceView, Situation
from sharedvip.rules.static_address_mismatch import check
from tests.builders import lines, peer, service, situation

LB1 = peer("sharedvip-avisvc-lb1", static_address="100.64.196.75")
LB2 = peer("sharedvip-avisvc-lb2", static_address="100.64.196.75")
A75, B75, C76 = (
    peer(name, static_address=address)
    for name, address in (("a", "100.64.196.75"), ("b", "100.64.196.75"), ("c", "100.64.196.76"))
)
PLAIN_A, PLAIN_B = peer("a"), peer("b")
SEED = (
    "spec.loadBalancerIP: 100.64.196.76 differs from the 100.64.196.75 that Services 'sharedvip-avisvc-lb1', "
    "'sharedvip-avisvc-lb2' share under 'shared-vip-key-1'; set 100.64.196.75, or leave it out to inherit it "
    "[static-address-mismatch]"
)
AGREE_FIRST = "use another sharing key, or make the Services of the group agree first [static-address-mismatch]"
LEAVE_IT_OUT = "leave it out, or use another sharing key [static-address-mismatch]"


@pytest.mark.parametrize(
    ("candidate", "met", "expected"),
    [
        pytest.param(
            service(load_balancer_ip="10.0.0.1"), situation(), [], id="the first Service of a group may set any address"
        ),
        pytest.param(service(), situation(PLAIN_A), [], id="a group where nobody has one is allowed"),
        pytest.param(
            service(load_balancer_ip="100.64.196.75"), situation(LB1, LB2), [], id="the group's address is allowed"
        ),
        pytest.param(
            service(address_annotation="100.64.196.75"),
            situation(LB1, LB2),
            [],
            id="the group's address in the annotation is allowed",
        ),
        pytest.param(
            service(load_balancer_ip="2001:DB8:0::1"),
            situation(peer("a", static_address="2001:db8::1")),
            [],
            id="another spelling of the group's address is allowed",
        ),
        pytest.param(
            service(load_balancer_ip="100.64.196.76"),
            situation(LB1, LB2),
            [SEED],
            id="another address than the group's is refused",
        ),
        pytest.param(
            service(address_annotation="100.64.196.76"),
            situation(A75),
            [
                (
                    "metadata.annotations[ako.vmware.com/load-balancer-ip]: 100.64.196.76 differs from the "
                    "100.64.196.75 "
                    "that Service 'a' shares under 'shared-vip-key-1'; set 100.64.196.75, or leave it out to "
                    "inherit it "
                    "[static-address-mismatch]"
                )
            ],
            id="the field that holds it is named, and one Service in the singular",
        ),
        pytest.param(
            service(),
            situation(A75, B75),
            [
                (
                    "spec.loadBalancerIP: is not set, but Services 'a', 'b' share 100.64.196.75 under "
                    "'shared-vip-key-1'; "
                    "set 100.64.196.75 [static-address-mismatch]"
                )
            ],
            id="no address where the group has one is refused",
        ),
        pytest.param(
            service(load_balancer_ip="10.0.0.1"),
            situation(PLAIN_A, PLAIN_B),
            [
                (
                    "spec.loadBalancerIP: is set to 10.0.0.1, but Services 'a', 'b' share 'shared-vip-key-1' without a "
                    f"static address; {LEAVE_IT_OUT}"
                )
            ],
            id="an address where the group has none, and no VIP yet, is refused",
        ),
        pytest.param(
            service(load_balancer_ip="10.0.0.1"),
            situation(PLAIN_A, vip="10.0.0.1"),
            [
                (
                    "spec.loadBalancerIP: is set to 10.0.0.1, but Service 'a' shares 'shared-vip-key-1' without a "
                    f"static address; {LEAVE_IT_OUT}"
                )
            ],
            id="an address where the group has none is refused even if it lives on just that one",
        ),
        pytest.param(
            service(load_balancer_ip="10.0.0.1"),
            situation(PLAIN_A, vip="10.0.0.9"),
            [],
            id="where the group lives on another allocated address, vip-in-use-elsewhere speaks",
        ),
        pytest.param(
            service(load_balancer_ip="10.0.0.1"),
            situation(A75, vip="100.64.196.75"),
            [
                (
                    "spec.loadBalancerIP: 10.0.0.1 differs from the 100.64.196.75 that Service 'a' shares under "
                    "'shared-vip-key-1'; set 100.64.196.75, or leave it out to inherit it [static-address-mismatch]"
                )
            ],
            id="where the group lives on its static address, this rule speaks",
        ),
        pytest.param(
            service(load_balancer_ip="10.0.0.1"),
            situation(A75, B75, C76),
            [
                (
                    "spec.loadBalancerIP: 10.0.0.1 differs from the 100.64.196.75 that Services 'a', 'b' share "
                    "and from "
                    f"the 100.64.196.76 that Service 'c' shares under 'shared-vip-key-1'; {AGREE_FIRST}"
                )
            ],
            id="a group that disagrees is told address by address",
        ),
        pytest.param(
            service(),
            situation(A75, C76),
            [
                (
                    "spec.loadBalancerIP: is not set, but Service 'a' shares 100.64.196.75 and Service 'c' shares "
                    f"100.64.196.76 under 'shared-vip-key-1'; {AGREE_FIRST}"
                )
            ],
            id="likewise where the candidate has none",
        ),
        pytest.param(
            service(load_balancer_ip="100.64.196.76"),
            situation(A75, C76),
            [
                (
                    "spec.loadBalancerIP: 100.64.196.76 differs from the 100.64.196.75 that Service 'a' shares under "
                    f"'shared-vip-key-1'; {AGREE_FIRST}"
                )
            ],
            id="siding with one half of a group that disagrees is refused, and the other half not recommended",
        ),
        pytest.param(
            service(load_balancer_ip="100.64.196.75"),
            situation(A75, PLAIN_B),
            [],
            id="where only some peers have one, that one is the group's",
        ),
        pytest.param(
            service(load_balancer_ip="10.0.0.1"),
            situation(peer("a", static_address="foo")),
            [
                (
                    "spec.loadBalancerIP: 10.0.0.1 differs from the 'foo' that Service 'a' shares under "
                    f"'shared-vip-key-1'; {AGREE_FIRST}"
                )
            ],
            id="a peer's text that is no address is not recommended",
        ),
        pytest.param(
            service(load_balancer_ip="foo"),
            situation(A75),
            [],
            id="where the candidate's text is no address, static-address-invalid speaks",
        ),
    ],
)
def test_a_group_has_one_static_address_or_none(candidate: ServiceView, met: Situation, expected: list[str]) -> None:
    """All members carry the same address; addresses compare as addresses."""
    assert expected == lines(check(candidate, met))


def test_the_denial_tells_machines_who_is_in_the_way() -> None:
    """The subject is the candidate's address, the peers are those with another one."""
    [denial] = check(service(load_balancer_ip="100.64.196.76"), situation(A75, B75, C76))

    assert (denial.subject, denial.peers) == ("100.64.196.76", ("a", "b"))


def _moving(*, to: str = "100.64.196.79", is_member: bool = True, is_built: bool = True) -> Situation:
    """The group of 'a' as a member meets it, on its way or not."""
    met = situation(A75)
    group = replace(met.group, static_address="100.64.196.75", intended_address=to, is_built=is_built)
    return replace(met, group=group, is_member=is_member)


@pytest.mark.parametrize(
    ("candidate", "met", "remedy"),
    [
        pytest.param(service(load_balancer_ip="100.64.196.75"), _moving(), "", id="the old address is allowed"),
        pytest.param(service(load_balancer_ip="100.64.196.79"), _moving(), "", id="the intended address is allowed"),
        pytest.param(
            service(load_balancer_ip="100.64.196.79"), _moving(is_member=False), "", id="also to a newcomer is allowed"
        ),
        pytest.param(
            service(load_balancer_ip="100.64.196.76"),
            _moving(),
            "set 100.64.196.75, or 100.64.196.79, which the group is moving to",
            id="a third is refused",
        ),
        pytest.param(
            service(load_balancer_ip="100.64.196.79", intended_address="100.64.196.79"),
            _moving(to=""),
            "",
            id="a member that goes ahead and says so is allowed",
        ),
        pytest.param(
            service(load_balancer_ip="100.64.196.79", intended_address="100.64.196.79"),
            _moving(to="", is_member=False),
            "set 100.64.196.75, or leave it out to inherit it",
            id="a newcomer that goes ahead is refused",
        ),
        pytest.param(
            service(load_balancer_ip="100.64.196.79"),
            _moving(to=""),
            "set 100.64.196.75, or move the whole group with annotation 'sharedvip.dev/intended-address' beside the "
            "new address",
            id="a member that goes ahead and says nothing is refused, and told how",
        ),
        pytest.param(
            service(load_balancer_ip="100.64.196.79"),
            _moving(to="", is_built=False),
            "set 100.64.196.75, or leave it out to inherit it",
            id="where AKO builds the group it is refused, and not told what would not help",
        ),
        pytest.param(
            service(load_balancer_ip="100.64.196.76", intended_address="100.64.196.79"),
            _moving(),
            "set 100.64.196.75, or 100.64.196.79, which the group is moving to",
            id="who intends it and carries a third is refused",
        ),
    ],
)
def test_in_a_move_a_member_carries_one_of_two_addresses(candidate: ServiceView, met: Situation, remedy: str) -> None:
    """And who may begin one is told how."""
    said = [line.partition("; ")[2] for line in lines(check(candidate, met))]

    assert said == ([f"{remedy} [static-address-mismatch]"] if remedy else [])
