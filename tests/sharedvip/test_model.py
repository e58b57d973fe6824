"""The small values: what follows from what they hold."""

import pytest

from sharedvip.model import Denial, GroupName, Listener, ServiceView
from tests.builders import KEY, NAMESPACE, service


def test_a_listener_reads_as_kubernetes_prints_it() -> None:
    """In messages and subjects."""
    assert str(Listener(80, "TCP")) == "80/TCP"


@pytest.mark.parametrize(
    ("view", "group", "is_member"),
    [
        pytest.param(service(), GroupName(NAMESPACE, KEY), True, id="a LoadBalancer with the annotation is a member"),
        pytest.param(
            service(type="ClusterIP"), GroupName(NAMESPACE, KEY), False, id="another type asks for a group in vain"
        ),
        pytest.param(service(key=None), None, False, id="without the annotation there is no group"),
        pytest.param(service(key=""), GroupName(NAMESPACE, ""), True, id="an empty key is a wrong answer, but one"),
    ],
)
def test_the_group_that_a_service_asks_for(view: ServiceView, group: GroupName | None, *, is_member: bool) -> None:
    """Namespace and key, as in AKO; membership needs the type too."""
    assert (view.group, view.is_member) == (group, is_member)


def test_listeners_keep_the_order_and_the_doubles_of_the_ports() -> None:
    """Judging doubles is a rule's matter."""
    assert [str(one) for one in service("web", "443", "80", "443").listeners] == ["443/TCP", "80/TCP", "443/TCP"]


def test_a_denial_reads_in_the_grammar_of_the_rules() -> None:
    """Field, problem, remedy, rule: one line."""
    denial = Denial(rule="some-rule", field="spec.x", problem="is bad", remedy="do good", subject="x")

    assert str(denial) == "spec.x: is bad; do good [some-rule]"
