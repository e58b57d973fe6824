"""What is worth a word: each warning, when it is given and when not."""

import pytest

from sharedvip.decide import decide
from sharedvip.model import ServiceView
from sharedvip.warn import warnings
from tests.builders import peer, service, situation

DEPRECATED = "deprecated by Kubernetes: spec.loadBalancerIP; use annotation 'ako.vmware.com/load-balancer-ip'"


@pytest.mark.parametrize(
    ("candidate", "expected"),
    [
        pytest.param(service(), [], id="a plain member is not worth a word"),
        pytest.param(
            service(sharing_label="web", key=None),
            [
                (
                    "no VIP is shared: 'ako.vmware.com/enable-shared-vip' is under metadata.labels; "
                    "put it under metadata.annotations"
                )
            ],
            id="a key under labels alone does nothing",
        ),
        pytest.param(
            service(sharing_label="web", key="api"),
            ["label 'ako.vmware.com/enable-shared-vip' is ignored: it says 'web', the annotation says 'api'"],
            id="a key under labels that differs is ignored",
        ),
        pytest.param(service(sharing_label="web", key="web"), [], id="a label that says the same does no harm"),
        pytest.param(
            service(address_annotation="2001:DB8::1"),
            [
                (
                    "not canonical: metadata.annotations[ako.vmware.com/load-balancer-ip] is '2001:DB8::1'; "
                    "write 2001:db8::1"
                )
            ],
            id="an address in another spelling",
        ),
        pytest.param(
            service(address_annotation="2001:db8::1"), [], id="the annotation with a canonical address is fine"
        ),
        pytest.param(
            service(load_balancer_ip="2001:db8:0::1"),
            ["not canonical: spec.loadBalancerIP is '2001:db8:0::1'; write 2001:db8::1", DEPRECATED],
            id="the deprecated field in another spelling is worth two words",
        ),
        pytest.param(service(load_balancer_ip="10.0.0.1"), [DEPRECATED], id="the deprecated field, with what to use"),
        pytest.param(
            service(load_balancer_ip="foo"), [DEPRECATED], id="a text that is no address is refused, not corrected"
        ),
        pytest.param(
            service(session_affinity="ClientIP"),
            ["without effect on a shared VIP: spec.sessionAffinity 'ClientIP'"],
            id="session affinity is not honoured",
        ),
        pytest.param(service(session_affinity="None"), [], id="no session affinity is the default"),
        pytest.param(
            service(has_source_ranges=True),
            ["without effect on a shared VIP, all sources are let in: spec.loadBalancerSourceRanges"],
            id="source ranges are not honoured, and what that means",
        ),
        pytest.param(
            service(external_traffic_policy="Local"),
            ["without effect where Avi sends straight to pods: spec.externalTrafficPolicy 'Local'"],
            id="a local traffic policy matters only with node ports",
        ),
        pytest.param(service(external_traffic_policy="Cluster"), [], id="the default traffic policy is fine"),
        pytest.param(
            service(type="ClusterIP", load_balancer_ip="10.0.0.1", session_affinity="ClientIP"),
            [],
            id="settings of a Service without a VIP are its own matter",
        ),
        pytest.param(
            service(key=None, load_balancer_ip="10.0.0.1", has_source_ranges=True),
            [],
            id="settings of a Service without the annotation are too",
        ),
        pytest.param(
            service(is_deleting=True, sharing_label="x", load_balancer_ip="10.0.0.1"),
            [],
            id="a Service that is being deleted is left in peace",
        ),
    ],
)
def test_what_is_worth_a_word(candidate: ServiceView, expected: list[str]) -> None:
    """Admitted all the same; each warning says its verdict first, within 120 characters."""
    actual = warnings(candidate)

    assert list(actual) == expected
    assert all(len(line) <= 120 for line in actual)


def test_an_existing_violation_is_told_first() -> None:
    """An update that leaves a conflict is allowed, and says so before anything else."""
    candidate = service("web", "80/TCP", load_balancer_ip="10.0.0.1")
    existing = decide(candidate, situation(peer("a", "80/TCP", static_address="10.0.0.1")))

    assert list(warnings(candidate, existing=existing)) == [
        (
            "still in conflict, spec.ports[0]: 80/TCP is already served on shared VIP 'shared-vip-key-1' by "
            "Service 'a' [duplicate-port]"
        ),
        DEPRECATED,
    ]
