"""The rule ``static-address-invalid``, case by case."""

import pytest

from sharedvip.model import ServiceView
from sharedvip.rules.static_address_invalid import check
from tests.builders import lines, service, situation

ANNOTATION = "metadata.annotations[ako.vmware.com/load-balancer-ip]"


def not_an_address(field: str, shown: str) -> str:
    """The refusal of a text that is no address."""
    return (
        f"{field}: {shown} is not an IP address that a VIP can have; "
        "set an IPv4 or IPv6 address, or leave it out [static-address-invalid]"
    )


@pytest.mark.parametrize(
    ("candidate", "expected"),
    [
        pytest.param(service(), [], id="no address is allowed"),
        pytest.param(service(load_balancer_ip="100.64.196.75"), [], id="an IPv4 address is allowed"),
        pytest.param(service(address_annotation="2001:DB8::1"), [], id="an IPv6 address in any spelling is allowed"),
        pytest.param(
            service(load_balancer_ip="foo"),
            [not_an_address("spec.loadBalancerIP", "'foo'")],
            id="a text that is no address is refused",
        ),
        pytest.param(
            service(address_annotation="100.64.196"),
            [not_an_address(ANNOTATION, "'100.64.196'")],
            id="a cut address in the annotation is refused, and the annotation named",
        ),
        pytest.param(
            service(load_balancer_ip="foo", address_annotation="bar"),
            [not_an_address("spec.loadBalancerIP", "'foo'"), not_an_address(ANNOTATION, "'bar'")],
            id="two texts that are no addresses are both refused",
        ),
        pytest.param(
            service(load_balancer_ip="10.0.0.1", address_annotation="bar"),
            [not_an_address(ANNOTATION, "'bar'")],
            id="a second text is refused even where it does not count",
        ),
        pytest.param(
            service(load_balancer_ip="foo", address_annotation="10.0.0.1"),
            [not_an_address("spec.loadBalancerIP", "'foo'")],
            id="beside a text that is no address, an address is not said to differ",
        ),
        pytest.param(
            service(load_balancer_ip="10.0.0.1\n"),
            [not_an_address("spec.loadBalancerIP", "'10.0.0.1\\n'")],
            id="a line break is shown escaped",
        ),
        pytest.param(
            service(load_balancer_ip="fe80::1%eth0"),
            [not_an_address("spec.loadBalancerIP", "'fe80::1%eth0'")],
            id="an address with a zone is refused",
        ),
        pytest.param(
            service(load_balancer_ip="10.0.0.1", address_annotation="10.0.0.2"),
            [
                (
                    f"{ANNOTATION}: 10.0.0.2 differs from the 10.0.0.1 in spec.loadBalancerIP; "
                    "set 10.0.0.1, or remove one of the two [static-address-invalid]"
                )
            ],
            id="two fields with different addresses are refused",
        ),
        pytest.param(
            service(load_balancer_ip="2001:db8::1", address_annotation="2001:DB8:0::1"),
            [],
            id="two fields with two spellings of one address are allowed",
        ),
        pytest.param(
            service(load_balancer_ip="2001:db8::1", ip_families=("IPv4",)),
            [
                (
                    "spec.loadBalancerIP: 2001:db8::1 is IPv6, but spec.ipFamilies has only IPv4; "
                    "set an address of IPv4, or add IPv6 to spec.ipFamilies [static-address-invalid]"
                )
            ],
            id="a family that the Service lacks is refused",
        ),
        pytest.param(
            service(address_annotation="10.0.0.1", ip_families=("IPv6",)),
            [
                (
                    f"{ANNOTATION}: 10.0.0.1 is IPv4, but spec.ipFamilies has only IPv6; "
                    "set an address of IPv6, or add IPv4 to spec.ipFamilies [static-address-invalid]"
                )
            ],
            id="likewise in the annotation",
        ),
        pytest.param(
            service(load_balancer_ip="10.0.0.1", ip_families=("IPv6", "IPv4")),
            [],
            id="a dual-stack Service may have either",
        ),
        pytest.param(
            service(load_balancer_ip="2001:db8::1"), [], id="where no families are told (a manifest) either is allowed"
        ),
        pytest.param(
            service(load_balancer_ip="foo", type="ClusterIP"), [], id="it does not matter for a Service without a VIP"
        ),
    ],
)
def test_a_static_address_is_one_fitting_address(candidate: ServiceView, expected: list[str]) -> None:
    """The API server takes any text for an address; a VIP does not."""
    assert expected == lines(check(candidate, situation()))


def test_each_fault_is_a_violation_of_its_own() -> None:
    """No old fault excuses another one: texts, fields, pairs and families are told apart."""
    candidates = (
        service(load_balancer_ip="foo", address_annotation="foo"),
        service(load_balancer_ip="bar"),
        service(load_balancer_ip="10.0.0.1", address_annotation="10.0.0.2"),
        service(load_balancer_ip="10.0.0.1", address_annotation="10.0.0.3"),
        service(load_balancer_ip="10.0.0.1", ip_families=("IPv6",)),
    )
    subjects = [denial.subject for candidate in candidates for denial in check(candidate, situation())]

    assert len(subjects) == len(set(subjects)) == 6
