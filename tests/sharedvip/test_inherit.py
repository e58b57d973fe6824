"""The address that a candidate gets from its group, and the patch that sets it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharedvip.annotations import LOAD_BALANCER_IP
from sharedvip.inherit import Inheritance, inherited_address, render_patch
from sharedvip.ledger import Claim, Ledger
from sharedvip.model import ServiceView, SharedValues
from sharedvip.parse import ADDRESS_ANNOTATION_FIELD, ADDRESS_FIELD, static_address
from tests.builders import GROUP, listener, service
from tests.strategies import START, ledgers, services

IN_FIELD = Inheritance(ADDRESS_FIELD, "10.0.0.1")
A = service("a", load_balancer_ip="10.0.0.1")
B_ANNOTATED = service("b", address_annotation="10.0.0.1")


def ledger_of(*names: str, address: str = "10.0.0.1") -> Ledger:
    """A ledger in which these Services share an address."""
    claims = (Claim(listener(f"{80 + i}/TCP"), name, f"uid-of-{name}", START) for i, name in enumerate(names))
    return Ledger(GROUP, SharedValues(static_address=address), tuple(claims))


def moving_ledger(*names: str) -> Ledger:
    """The same, on the way to 10.0.0.2."""
    return replace(ledger_of(*names), shared=SharedValues("10.0.0.1", intended_address="10.0.0.2"))


@pytest.mark.parametrize(
    ("candidate", "stored", "ledger", "expected"),
    [
        pytest.param(service(), [A], None, IN_FIELD, id="the group's address is inherited"),
        pytest.param(service(), [], None, None, id="the first of a group inherits nothing"),
        pytest.param(service(), [service("a")], None, None, id="a group without an address bequeaths none"),
        pytest.param(service(load_balancer_ip="10.0.0.9"), [A], None, None, id="its own address is never replaced"),
        pytest.param(service(address_annotation="10.0.0.9"), [A], None, None, id="nor one in the annotation"),
        pytest.param(service(is_deleting=True), [A], None, None, id="a Service that is being deleted is left in peace"),
        pytest.param(service(type="ClusterIP"), [A], None, None, id="another type is no member"),
        pytest.param(service(key=None), [A], None, None, id="without the annotation nothing is touched"),
        pytest.param(
            service(key="a/b"),
            [service("a", key="a/b", load_balancer_ip="10.0.0.1")],
            None,
            None,
            id="an invalid key names no group",
        ),
        pytest.param(
            service(),
            [A, service("b", load_balancer_ip="10.0.0.2")],
            None,
            None,
            id="a group with two addresses has none to bequeath",
        ),
        pytest.param(
            service(),
            [A, service("b", load_balancer_ip="10.0.0.2")],
            moving_ledger("a", "b"),
            IN_FIELD,
            id="a group that moves bequeaths the address that it is served on",
        ),
        pytest.param(
            service(),
            [service("b", load_balancer_ip="10.0.0.2")],
            moving_ledger("b"),
            IN_FIELD,
            id="also where all carry the next one",
        ),
        pytest.param(service(), [A, service("b")], None, IN_FIELD, id="a peer without an address does not object"),
        pytest.param(
            service(),
            [service("a", load_balancer_ip="foo")],
            None,
            None,
            id="a text that is no address is not spread",
        ),
        pytest.param(
            service(),
            [service("a", load_balancer_ip="10.0.0.1", key="other")],
            None,
            None,
            id="another group's address is not inherited",
        ),
        pytest.param(
            service(),
            [service("a", load_balancer_ip="10.0.0.1", namespace="other")],
            None,
            None,
            id="nor that of a group of the same key in another namespace",
        ),
        pytest.param(
            service(),
            [service("a", load_balancer_ip="10.0.0.1", type="ClusterIP")],
            None,
            None,
            id="nor that of a Service that is no member",
        ),
        pytest.param(
            service("web"),
            [service("web", load_balancer_ip="10.0.0.1")],
            None,
            None,
            id="a Service alone in its group may drop its own address",
        ),
        pytest.param(
            service("web"),
            [service("web", load_balancer_ip="10.0.0.1"), A],
            None,
            IN_FIELD,
            id="a Service among peers gets the address back that it dropped",
        ),
        pytest.param(
            service(),
            [B_ANNOTATED],
            None,
            Inheritance(ADDRESS_ANNOTATION_FIELD, "10.0.0.1"),
            id="the address goes where the group has it",
        ),
        pytest.param(service(), [B_ANNOTATED, A], None, IN_FIELD, id="where peers differ, the first by name decides"),
        pytest.param(
            service(),
            [service("a", load_balancer_ip="2001:DB8::1"), service("b", load_balancer_ip="2001:db8::1")],
            None,
            Inheritance(ADDRESS_FIELD, "2001:DB8::1"),
            id="the address is spelled as the first peer spells it",
        ),
        pytest.param(service(), [], ledger_of("a"), IN_FIELD, id="a peer that is not stored yet counts"),
        pytest.param(
            service(),
            [B_ANNOTATED],
            ledger_of("a"),
            Inheritance(ADDRESS_ANNOTATION_FIELD, "10.0.0.1"),
            id="stored peers decide about the field",
        ),
        pytest.param(service("web"), [], ledger_of("web"), None, id="what only it has claimed is not the group's"),
        pytest.param(service(), [], ledger_of(), None, id="what nobody claims any more is nobody's"),
        pytest.param(
            service(), [], ledger_of("a", address=""), None, id="a ledger without an address has none to bequeath"
        ),
        pytest.param(
            service(),
            [A],
            ledger_of("b", address="10.0.0.2"),
            None,
            id="where the ledger and the stored peers differ, there is no one address",
        ),
    ],
)
def test_what_is_inherited(
    candidate: ServiceView, stored: list[ServiceView], ledger: Ledger | None, expected: Inheritance | None
) -> None:
    """A candidate without a static address that joins a group with one gets the group's."""
    assert inherited_address(candidate, stored, ledger) == expected


def test_the_patch_of_the_field() -> None:
    """One operation, on the one field."""
    assert render_patch(IN_FIELD) == [{"op": "add", "path": "/spec/loadBalancerIP", "value": "10.0.0.1"}]


def test_the_patch_of_the_annotation_escapes_the_slash() -> None:
    """RFC 6901: a slash within a name is ``~1``."""
    assert render_patch(Inheritance(ADDRESS_ANNOTATION_FIELD, "10.0.0.1")) == [
        {"op": "add", "path": "/metadata/annotations/ako.vmware.com~1load-balancer-ip", "value": "10.0.0.1"}
    ]
    assert LOAD_BALANCER_IP == "ako.vmware.com/load-balancer-ip"


def inheriting(candidate: ServiceView, inheritance: Inheritance) -> ServiceView:
    """The candidate as the patch leaves it."""
    if inheritance.field == ADDRESS_FIELD:
        return replace(candidate, load_balancer_ip=inheritance.value)
    return replace(candidate, address_annotation=inheritance.value)


@given(services(with_name=st.just("web")), st.lists(services(), max_size=4), st.none() | ledgers())
def test_inheriting_twice_is_inheriting_once(
    candidate: ServiceView, stored: list[ServiceView], ledger: Ledger | None
) -> None:
    """Idempotent: the API server may call again, and GitOps tools see no fight."""
    inheritance = inherited_address(candidate, stored, ledger)
    if inheritance is None:
        return

    after = inheriting(candidate, inheritance)

    assert static_address(after)
    assert inherited_address(after, stored, ledger) is None


@given(st.data(), services(with_name=st.just("web")), st.lists(services(), max_size=4, unique_by=lambda s: s.name))
def test_inheritance_does_not_depend_on_the_order_of_services(
    data: st.DataObject, candidate: ServiceView, stored: list[ServiceView]
) -> None:
    """AKO's answer does."""
    shuffled = data.draw(st.permutations(stored))

    assert inherited_address(candidate, stored, None) == inherited_address(candidate, shuffled, None)
