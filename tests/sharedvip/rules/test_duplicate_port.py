"""The rule ``duplicate-port``, case by case."""

import pytest

from sharedvip.model import ServiceView, Situation
from sharedvip.rules.duplicate_port import MOST_LISTENERS, check
from tests.builders import lines, peer, service, situation

LB1 = "sharedvip-avisvc-lb1"
SEED = (
    "spec.ports[0]: 80/TCP is already served on shared VIP 'shared-vip-key-1' by Service 'sharedvip-avisvc-lb1'; "
    "choose another port, or another protocol [duplicate-port]"
)
HUNDRED_NAMES = "'p000', 'p001', 'p002', 'p003', 'p004', 'p005', 'p006', 'p007', 'p008', 'p009' and 90 more"


@pytest.mark.parametrize(
    ("candidate", "met", "expected"),
    [
        pytest.param(service("web", "80/TCP"), situation(), [], id="the first Service of a group is allowed"),
        pytest.param(
            service("web", "80/TCP"), situation(peer(LB1, "80/TCP")), [SEED], id="a port that a peer holds is refused"
        ),
        pytest.param(
            service("web", "80/UDP"),
            situation(peer(LB1, "80/TCP")),
            [],
            id="the same port with another protocol is allowed",
        ),
        pytest.param(service("web", "81/TCP"), situation(peer(LB1, "80/TCP")), [], id="another port is allowed"),
        pytest.param(
            service("web", "80/TCP"),
            situation(peer("a", "80/TCP"), peer("b", "443/TCP"), peer("c", "80/TCP")),
            [SEED.replace(f"Service '{LB1}'", "Services 'a', 'c'")],
            id="every peer in the way is named, and no other",
        ),
        pytest.param(
            service("web", "443/TCP", "53/UDP", "80/TCP"),
            situation(peer("a", "53/UDP"), peer("b", "443/TCP")),
            [
                (
                    "spec.ports[0]: 443/TCP is already served on shared VIP 'shared-vip-key-1' by Service 'b'; "
                    "choose another port, or another protocol [duplicate-port]"
                ),
                (
                    "spec.ports[1]: 53/UDP is already served on shared VIP 'shared-vip-key-1' by Service 'a'; "
                    "choose another port, or another protocol [duplicate-port]"
                ),
            ],
            id="every port at fault is reported, in the order of the ports",
        ),
        pytest.param(
            service("web", *(f"{number}/TCP" for number in range(1, MOST_LISTENERS + 1))),
            situation(),
            [],
            id="as many ports as a group can have are allowed",
        ),
        pytest.param(
            service("web", *(f"{number}/TCP" for number in range(1, MOST_LISTENERS + 2))),
            situation(peer(LB1, "80/TCP")),
            [
                (
                    "spec.ports: 1,025 ports are too many for shared VIP 'shared-vip-key-1', which holds 1,024; use "
                    "several Services, with several sharing keys [duplicate-port]"
                )
            ],
            id="one more is refused, and none of them compared",
        ),
        pytest.param(
            service("web", "80/TCP"),
            situation(peer("a", "80/TCP", is_pending=True)),
            [
                (
                    "spec.ports[0]: 80/TCP is being claimed on shared VIP 'shared-vip-key-1' by Service 'a', which is "
                    "being created right now; try again in a moment, or choose another port [duplicate-port]"
                )
            ],
            id="a port that a newborn claims is refused, with the hint to try again",
        ),
        pytest.param(
            service("web", "80/TCP"),
            situation(peer("a", "443/TCP"), peer("a", "80/TCP", is_pending=True)),
            [
                (
                    "spec.ports[0]: 80/TCP is being claimed on shared VIP 'shared-vip-key-1' by Service 'a', which is "
                    "being changed right now; try again in a moment, or choose another port [duplicate-port]"
                )
            ],
            id="a port that a stored Service takes or gives up at this moment, too",
        ),
        pytest.param(
            service("web", "80/TCP"),
            situation(peer("a", "80/TCP", is_pending=True), peer("b", "80/TCP", is_pending=True)),
            [
                (
                    "spec.ports[0]: 80/TCP is being claimed on shared VIP 'shared-vip-key-1' by Services 'a', "
                    "'b', which "
                    "are being created right now; try again in a moment, or choose another port [duplicate-port]"
                )
            ],
            id="several newborns are all named",
        ),
        pytest.param(
            service("web", "80/TCP"),
            situation(peer("a", "80/TCP", is_pending=True), peer("b", "80/TCP")),
            [SEED.replace(f"Service '{LB1}'", "Services 'a', 'b'")],
            id="waiting does not help where one of the holders is stored",
        ),
        pytest.param(
            service("web", "80/TCP"),
            situation(peer("a", "80/TCP"), peer("a", "80/TCP", is_pending=True)),
            [SEED.replace(LB1, "a")],
            id="a Service and its predecessor of the same name are named once",
        ),
        pytest.param(
            service("web", "80/TCP", "443/TCP", "80/TCP"),
            situation(),
            [
                (
                    "spec.ports[2]: 80/TCP is already in spec.ports[0] of this Service; "
                    "choose another port, or another protocol [duplicate-port]"
                )
            ],
            id="a double inside one Service is refused at the later entry",
        ),
        pytest.param(
            service("web", "80/TCP", "80/UDP"), situation(), [], id="both protocols inside one Service are allowed"
        ),
        pytest.param(
            service("web", "80/TCP", "80/TCP"),
            situation(peer(LB1, "80/TCP")),
            [
                SEED,
                (
                    "spec.ports[1]: 80/TCP is already in spec.ports[0] of this Service; "
                    "choose another port, or another protocol [duplicate-port]"
                ),
            ],
            id="a double that a peer holds too is told once for the peer and once for the double",
        ),
        pytest.param(
            service("web", "80/TCP"),
            situation(*(peer(f"p{n:03}", "80/TCP") for n in range(100))),
            [SEED.replace(f"Service '{LB1}'", f"Services {HUNDRED_NAMES}")],
            id="of a hundred holders ten are named",
        ),
    ],
)
def test_a_listener_has_one_holder(candidate: ServiceView, met: Situation, expected: list[str]) -> None:
    """A port and protocol can be served once on a VIP."""
    assert expected == lines(check(candidate, met))


def test_the_denial_tells_machines_who_is_in_the_way() -> None:
    """Subject and peers are for the update rules and the live look: complete, even where the message is cut."""
    names = [f"p{n:02}" for n in range(11)]

    [denial] = check(service("web", "80/TCP"), situation(*(peer(name, "80/TCP") for name in names)))

    assert (denial.subject, list(denial.peers)) == ("80/TCP", names)


def test_a_double_is_another_violation_than_a_clash() -> None:
    """That a peer held the listener before must not excuse an update that names it twice."""
    clash, double = check(service("web", "80/TCP", "80/TCP"), situation(peer("a", "80/TCP")))

    assert clash.subject != double.subject
