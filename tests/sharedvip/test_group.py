"""The group as a candidate meets it: its peers, stored or only claimed, and where it lives."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharedvip.ledger import Ledger, group_of
from sharedvip.model import Group, Peer, ServiceView, SharedValues
from tests.builders import GROUP, listeners, service
from tests.sharedvip.ledgers import claim, ledger
from tests.strategies import ledgers, members


def met(*stored: ServiceView, book: Ledger | None = None) -> Group:
    """The seed's group as ``web`` meets it."""
    return group_of(GROUP, ledger=book, services=stored, candidate=service("web"))


def stored_peer(name: str, *ports: str, address: str = "") -> Peer:
    """A peer that the cluster shows."""
    return Peer(name, f"uid-of-{name}", tuple(sorted(listeners(*ports))), SharedValues(static_address=address))


@pytest.mark.parametrize(
    ("stored", "book", "expected"),
    [
        pytest.param([], None, (), id="an empty world has no peers"),
        pytest.param(
            [service("b", "81"), service("a", "443", load_balancer_ip="10.0.0.1")],
            None,
            (stored_peer("a", "443", address="10.0.0.1"), stored_peer("b", "81")),
            id="stored members are peers, sorted by name, each with what it shares",
        ),
        pytest.param(
            [service("a", "443")],
            ledger(claim("81", "a")),
            (stored_peer("a", "443"), Peer("a", "uid-of-a", listeners("81"), is_pending=True)),
            id="a stored peer holds what it claims beyond that, as pending",
        ),
        pytest.param(
            [service("a", "443", load_balancer_ip="10.0.0.1")],
            ledger(claim("81", "a"), claim("443", "a"), address="10.0.0.2"),
            (
                stored_peer("a", "443", address="10.0.0.1"),
                Peer("a", "uid-of-a", listeners("81"), SharedValues("10.0.0.1"), is_pending=True),
            ),
            id="a stored peer that is being changed speaks for its values itself",
        ),
        pytest.param(
            [],
            ledger(claim("81", "a"), address="10.0.0.1"),
            (Peer("a", "uid-of-a", listeners("81"), SharedValues("10.0.0.1"), is_pending=True),),
            id="who has claimed and is not stored yet is a peer with the group's values",
        ),
        pytest.param(
            [replace(service("a", "443"), uid="reborn")],
            ledger(claim("81", "a")),
            (
                Peer("a", "reborn", listeners("443")),
                Peer("a", "uid-of-a", listeners("81"), is_pending=True),
            ),
            id="a re-created peer and its predecessor's claims are two",
        ),
        pytest.param(
            [service("web", "443")],
            ledger(claim("81", "web"), claim("82", "web", uid="gone")),
            (),
            id="a namesake of the candidate is the candidate itself, before",
        ),
        pytest.param([service("a", key="other")], None, (), id="another group's members are none"),
        pytest.param([service("a", namespace="other")], None, (), id="nor another namespace's"),
        pytest.param([service("a", type="NodePort")], None, (), id="nor Services of another type"),
        pytest.param(
            [service("a", "443", is_deleting=True)],
            None,
            (stored_peer("a", "443"),),
            id="a terminating member still holds its ports",
        ),
    ],
)
def test_whom_a_candidate_meets(stored: list[ServiceView], book: Ledger | None, expected: tuple[Peer, ...]) -> None:
    """What is claimed and what is stored, without the candidate."""
    assert met(*stored, book=book).peers == expected


def test_the_group_lives_where_its_ledger_says() -> None:
    """No ledger, no VIP."""
    assert met(book=ledger(vip="10.0.0.1")).vip == "10.0.0.1"
    assert met().vip == ""
    assert met().name == GROUP


def test_where_a_group_goes_is_said_by_its_members() -> None:
    """A hand took it out of the ledger: who has claims keeps it alive, and who came past admission says nothing."""
    book = replace(ledger(claim("443", "a"), address="10.0.0.1"), has_finalizer=True)
    member = service("a", "443", load_balancer_ip="10.0.0.1", intended_address="10.0.0.2")
    stranger = service("b", "443", load_balancer_ip="10.0.0.1", intended_address="10.0.0.3")

    assert met(member, stranger, book=book).intended_address == "10.0.0.2"
    assert met(stranger, book=book).intended_address == ""


@given(st.data(), st.lists(members(), max_size=4, unique_by=lambda s: s.name), st.none() | ledgers())
def test_the_group_does_not_depend_on_the_order_of_services(
    data: st.DataObject, stored: list[ServiceView], book: Ledger | None
) -> None:
    """Nor, therefore, does any verdict."""
    assert met(*stored, book=book) == met(*data.draw(st.permutations(stored)), book=book)
