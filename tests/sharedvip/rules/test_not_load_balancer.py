"""The rule ``not-load-balancer``, case by case."""

import pytest

from sharedvip.model import ServiceView
from sharedvip.rules.not_load_balancer import check
from tests.builders import lines, service, situation

NODE_PORT = (
    "spec.type: 'NodePort' may not share a VIP, but annotation 'ako.vmware.com/enable-shared-vip' asks for it; "
    "set 'LoadBalancer', or remove the annotation [not-load-balancer]"
)
CLUSTER_IP = NODE_PORT.replace("NodePort", "ClusterIP")


@pytest.mark.parametrize(
    ("candidate", "expected"),
    [
        pytest.param(service(type="LoadBalancer"), [], id="the annotation on a LoadBalancer is allowed"),
        pytest.param(service(type="NodePort"), [NODE_PORT], id="the annotation on another type is refused"),
        pytest.param(service(type="ClusterIP"), [CLUSTER_IP], id="the annotation on the default type is refused"),
        pytest.param(service(type="ClusterIP", key=""), [CLUSTER_IP], id="an empty annotation asks for a VIP too"),
        pytest.param(service(type="ClusterIP", key=None), [], id="another type without the annotation is allowed"),
    ],
)
def test_only_a_load_balancer_may_ask(candidate: ServiceView, expected: list[str]) -> None:
    """The annotation and the type belong together."""
    assert expected == lines(check(candidate, situation()))


def test_every_other_type_is_the_same_violation() -> None:
    """An update from NodePort to ClusterIP violates nothing that it did not violate before."""
    [before], [after] = (check(service(type=kind), situation()) for kind in ("NodePort", "ClusterIP"))

    assert before.subject == after.subject
