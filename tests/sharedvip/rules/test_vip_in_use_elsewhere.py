"""The rule ``vip-in-use-elsewhere``, case by case."""

import pytest

from sharedvip.model import ServiceView, Situation
from sharedvip.rules import static_address_mismatch
from sharedvip.rules.vip_in_use_elsewhere import check
from tests.builders import lines, peer, service, situation

MOVE = (
    "spec.loadBalancerIP: 100.64.196.76 would move shared VIP 'shared-vip-key-1', which Services 'a', 'b' use, away "
    "from 100.64.196.61; leave it out, or use another sharing key [vip-in-use-elsewhere]"
)
NEWCOMER = service(load_balancer_ip="100.64.196.76")


@pytest.mark.parametrize(
    ("candidate", "met", "expected"),
    [
        pytest.param(
            NEWCOMER,
            situation(peer("a"), peer("b"), vip="100.64.196.61"),
            [MOVE],
            id="an address for a group that lives on another allocated one is refused",
        ),
        pytest.param(
            NEWCOMER,
            situation(peer("a"), vip="100.64.196.61"),
            [MOVE.replace("Services 'a', 'b' use", "Service 'a' uses")],
            id="a single peer is named in the singular",
        ),
        pytest.param(service(), situation(peer("a"), vip="100.64.196.61"), [], id="joining without one is allowed"),
        pytest.param(NEWCOMER, situation(vip="100.64.196.61"), [], id="a Service alone in its group may move itself"),
        pytest.param(NEWCOMER, situation(peer("a")), [], id="a group without a VIP has nothing to move"),
        pytest.param(
            NEWCOMER,
            situation(peer("a"), vip="100.64.196.76"),
            [],
            id="the address that the group lives on moves nothing",
        ),
        pytest.param(
            service(load_balancer_ip="2001:DB8::1"),
            situation(peer("a"), vip="2001:db8::1"),
            [],
            id="another spelling of the group's VIP moves nothing",
        ),
        pytest.param(
            NEWCOMER,
            situation(peer("a", static_address="100.64.196.61"), vip="100.64.196.61"),
            [],
            id="where a peer has a static address, static-address-mismatch speaks",
        ),
        pytest.param(
            service(load_balancer_ip="foo"),
            situation(peer("a"), vip="100.64.196.61"),
            [],
            id="where the text is no address, static-address-invalid speaks",
        ),
    ],
)
def test_a_newcomer_does_not_move_a_living_group(candidate: ServiceView, met: Situation, expected: list[str]) -> None:
    """Moving live peers is never a side effect of adding one."""
    assert expected == lines(check(candidate, met))


@pytest.mark.parametrize("vip", ["", "100.64.196.61", "100.64.196.76"])
@pytest.mark.parametrize("theirs", ["", "100.64.196.61"])
def test_exactly_one_of_the_two_address_rules_speaks(theirs: str, vip: str) -> None:
    """An address that does not fit is refused once, by this rule or by static-address-mismatch."""
    met = situation(peer("a", static_address=theirs), vip=vip)

    assert len(check(NEWCOMER, met)) + len(static_address_mismatch.check(NEWCOMER, met)) == 1


def test_the_denial_tells_machines_who_is_in_the_way() -> None:
    """The subject is the address, the peers are all of the group."""
    [denial] = check(NEWCOMER, situation(peer("a"), peer("b"), vip="100.64.196.61"))

    assert (denial.subject, denial.peers) == ("100.64.196.76", ("a", "b"))
