"""Which locks a request looks at, and whose claim it minds, beside others that are on their way; on views alone."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from sharedvip.ledger import GRACE, Claim, Ledger, grow
from sharedvip.model import Policy, ServiceView, SharedValues
from sharedvip.moving import with_heading
from sharedvip.parse import shared_values
from sharedvip.turning import asked_again
from tests.builders import GROUP, service
from tests.strategies import START
from webhook.claiming import addresses_to_lock
from webhook.view import Asked, View

A, C, D = "100.64.196.1", "100.64.196.3", "100.64.196.4"
OLD = replace(service("web", load_balancer_ip=A), resource_version="7")
PLAIN = replace(OLD, sharing_key=None)


def view(ledger: Ledger, services: Sequence[ServiceView]) -> View:
    """A moment after the first request."""
    return View(ledger, tuple(services), (), Policy(), START + timedelta(seconds=1))


def claims(candidate: ServiceView, old: ServiceView, before: Ledger) -> tuple[Claim, ...]:
    """Of an update."""
    grown = grow(before, candidate, old=old, now=START)
    headed = with_heading(grown, candidate, old=old, shared=shared_values(candidate), now=START)
    return asked_again(headed, candidate, old=old, now=START)


@pytest.mark.parametrize(
    ("old", "before"),
    [
        pytest.param(OLD, grow(None, OLD, old=None, now=START - 2 * GRACE), id="a member"),
        pytest.param(PLAIN, (), id="one that joins"),
    ],
)
def test_the_second_of_two_for_one_address_looks_at_its_lock_too(old: ServiceView, before: tuple[Claim, ...]) -> None:
    """The first has claimed it, and may just find that it is another's, or have died before it looked."""
    base = Ledger(GROUP, shared_values(old) if before else SharedValues(), before, has_finalizer=True)
    first = replace(OLD, load_balancer_ip=C, intended_address=D)
    ledger = replace(base, shared=shared_values(first), claims=claims(first, old, base))

    asked = Asked(replace(OLD, load_balancer_ip=C), old)
    seen = view(ledger, [old])
    assert seen.denials(asked) == ()
    assert not seen.is_overtaken(asked)
    assert addresses_to_lock(asked, seen, seen.shared(asked)) == [C]


def test_who_adds_a_port_meanwhile_looks_at_the_address_it_has() -> None:
    """The claim of it may be one that is about to be given back: who made it came past admission, as this one did."""
    base = Ledger(GROUP)
    more = replace(OLD, ports=service("web", "80/TCP", "443/TCP").ports)
    ledger = replace(base, shared=shared_values(OLD), claims=claims(more, OLD, base))

    asked = Asked(replace(OLD, ports=service("web", "80/TCP", "53/UDP").ports), OLD)
    assert addresses_to_lock(asked, view(ledger, [OLD]), shared_values(OLD)) == [A]
    later = replace(view(ledger, [OLD]), at=START + 2 * GRACE)
    assert addresses_to_lock(asked, later, shared_values(OLD)) == []


def test_so_does_who_was_let_in_a_moment_ago() -> None:
    """By a create, or by the janitor, which claims for what came past admission and looks at the lock then."""
    ledger = Ledger(GROUP, shared_values(OLD), grow(None, OLD, old=None, now=START))
    asked = Asked(replace(OLD, ports=service("web", "80/TCP", "53/UDP").ports), OLD)

    assert addresses_to_lock(asked, view(ledger, [OLD]), shared_values(OLD)) == [A]
    later = replace(view(ledger, [OLD]), at=START + 2 * GRACE)
    assert addresses_to_lock(asked, later, shared_values(OLD)) == []


def test_so_does_who_has_it_for_long() -> None:
    """The one that is on its way may have brought its group there: then its member is accepted by that claim alone."""
    base = Ledger(GROUP, shared_values(OLD), grow(None, OLD, old=None, now=START - 2 * GRACE))
    more = replace(OLD, ports=service("web", "80/TCP", "443/TCP").ports)
    ledger = replace(base, claims=claims(more, OLD, base))

    asked = Asked(replace(OLD, ports=service("web", "80/TCP", "53/UDP").ports), OLD)
    assert addresses_to_lock(asked, view(ledger, [OLD]), shared_values(OLD)) == [A]
    assert addresses_to_lock(asked, view(base, [OLD]), shared_values(OLD)) == []


def test_nobody_looks_at_the_lock_of_an_address_that_others_ask_for() -> None:
    """A member was to begin a move, and may just find that the address is another group's: what is that to a port?"""
    api = replace(service("api", "443/TCP", load_balancer_ip=A), uid="api", resource_version="5")
    members = (claim for one in (OLD, api) for claim in grow(None, one, old=None, now=START - 2 * GRACE))
    base = Ledger(GROUP, shared_values(OLD), tuple(sorted(members)), has_finalizer=True, vip=A)
    moves = replace(api, load_balancer_ip=C, intended_address=C)
    begun = claims(moves, api, base)
    ledger = replace(
        base,
        shared=SharedValues(A, intended_address=C),
        claims=tuple(sorted((*(c for c in base.claims if c.service == "web"), *begun))),
    )

    asked = Asked(replace(OLD, ports=service("web", "80/TCP", "53/UDP").ports), OLD)
    seen = view(ledger, [OLD, api])
    assert (seen.denials(asked), seen.shared(asked).intended_address) == ((), C)
    assert addresses_to_lock(asked, seen, seen.shared(asked)) == []
