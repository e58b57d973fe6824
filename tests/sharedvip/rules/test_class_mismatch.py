"""The rule ``class-mismatch``, case by case."""

import pytest

from sharedvip.model import Policy, ServiceView, Situation
from sharedvip.rules.class_mismatch import check
from tests.builders import lines, peer, service, situation

AVI = "ako.vmware.com/avi-lb"
ANEW = "(an existing LoadBalancer Service must be created anew for that) [class-mismatch]"
NOT_DEFAULT = Policy(is_default_class=False)
FOREIGN = f"spec.loadBalancerClass: 'example.com/lb' is not a class that Avi serves here; set '{AVI}' {ANEW}"
UNSET = f"spec.loadBalancerClass: is not set, and Avi is not the default here; set '{AVI}' {ANEW}"


@pytest.mark.parametrize(
    ("candidate", "met", "expected"),
    [
        pytest.param(service(), situation(), [], id="no class is allowed where Avi is the default"),
        pytest.param(service(load_balancer_class=AVI), situation(), [], id="our class is allowed"),
        pytest.param(
            service(load_balancer_class="example.com/lb"), situation(), [FOREIGN], id="a foreign class is refused"
        ),
        pytest.param(
            service(), situation(policy=NOT_DEFAULT), [UNSET], id="no class is refused where Avi is not the default"
        ),
        pytest.param(
            service(load_balancer_class=AVI),
            situation(policy=NOT_DEFAULT),
            [],
            id="our class is allowed where Avi is not the default",
        ),
        pytest.param(
            service(load_balancer_class="example.com/lb"),
            situation(policy=Policy(load_balancer_class="example.com/lb")),
            [],
            id="the class that the platform engineer chose is ours",
        ),
        pytest.param(
            service(load_balancer_class="example.com/lb"),
            situation(peer("a")),
            [FOREIGN.replace(f"set '{AVI}'", "leave it out")],
            id="a foreign class is told the class that fits the peers",
        ),
        pytest.param(
            service(load_balancer_class="example.com/lb"),
            situation(peer("a", load_balancer_class="example.com/other")),
            [FOREIGN],
            id="a foreign class is not told a foreign one of the peers",
        ),
        pytest.param(
            service(load_balancer_class="example.com/lb"),
            situation(peer("a"), peer("b", load_balancer_class=AVI)),
            [FOREIGN],
            id="a foreign class is told ours where the peers disagree",
        ),
        pytest.param(service(), situation(peer("a")), [], id="the peers' lack of a class is allowed"),
        pytest.param(
            service(load_balancer_class=AVI),
            situation(peer("a", load_balancer_class=AVI)),
            [],
            id="the peers' class is allowed",
        ),
        pytest.param(
            service(),
            situation(peer("a", load_balancer_class=AVI)),
            [
                (
                    f"spec.loadBalancerClass: is not set, but Service 'a' shares '{AVI}' under 'shared-vip-key-1'; "
                    f"set '{AVI}' {ANEW}"
                )
            ],
            id="no class where the peers name ours is refused: classes compare literally",
        ),
        pytest.param(
            service(load_balancer_class=AVI),
            situation(peer("a"), peer("b")),
            [
                (
                    f"spec.loadBalancerClass: is set to '{AVI}', but Services 'a', 'b' share 'shared-vip-key-1' "
                    "without "
                    f"a loadBalancerClass; leave it out {ANEW}"
                )
            ],
            id="our class where the peers have none is refused",
        ),
        pytest.param(
            service(load_balancer_class=AVI),
            situation(peer("a"), peer("b", load_balancer_class="example.com/lb")),
            [
                (
                    f"spec.loadBalancerClass: '{AVI}' differs from Service 'a' without a loadBalancerClass and "
                    "from the "
                    "'example.com/lb' that Service 'b' shares under 'shared-vip-key-1'; use another sharing "
                    "key, or make "
                    "the Services of the group agree first [class-mismatch]"
                )
            ],
            id="peers that disagree are all told",
        ),
        pytest.param(
            service(load_balancer_class=AVI),
            situation(peer("a", load_balancer_class="example.com/lb")),
            [
                (
                    f"spec.loadBalancerClass: '{AVI}' differs from the 'example.com/lb' that Service 'a' shares under "
                    "'shared-vip-key-1'; use another sharing key, or make the Services of the group agree first "
                    "[class-mismatch]"
                )
            ],
            id="the peers' foreign class is not recommended",
        ),
        pytest.param(
            service(type="ClusterIP"),
            situation(policy=NOT_DEFAULT),
            [],
            id="a type that cannot have a class is not asked for one",
        ),
    ],
)
def test_a_group_is_of_one_class_and_it_is_ours(candidate: ServiceView, met: Situation, expected: list[str]) -> None:
    """One foreign member would cost the whole group its VIP under AKO."""
    assert expected == lines(check(candidate, met))


def test_the_denial_tells_machines_who_is_in_the_way() -> None:
    """The subject is the class, and no class is one too."""
    [denial] = check(service(), situation(peer("a", load_balancer_class=AVI), peer("b")))

    assert (denial.subject, denial.peers) == ("(unset)", ("a",))


def test_each_wrong_class_is_a_violation_of_its_own() -> None:
    """An old foreign class does not excuse another foreign one."""
    [denial] = check(service(load_balancer_class="example.com/lb"), situation())

    assert denial.subject == "example.com/lb"
