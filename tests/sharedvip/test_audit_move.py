"""What an audit says of a group that moves: nothing, unless something is wrong with it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from sharedvip.audit import StoredWorld, find_conflicts, find_untruths
from sharedvip.ledger import GRACE, Claim, Heading, Ledger
from sharedvip.model import GroupName, ServiceView, SharedValues
from tests.builders import GROUP, listener, service
from tests.strategies import START

OLD, NEW, THIRD = "10.0.0.1", "10.0.0.2", "10.0.0.3"
BOTH = {OLD: GROUP, NEW: GROUP}
LONG_AFTER = START + 2 * GRACE
CLAIMS = (
    Claim(listener("80/TCP"), "web", "uid-of-web", START, Heading(NEW, START)),
    Claim(listener("443/TCP"), "api", "uid-of-api", START),
)
LEDGER = Ledger(GROUP, SharedValues(OLD, intended_address=NEW), CLAIMS, vip=OLD, has_finalizer=True)
WEB = service("web", "80/TCP", load_balancer_ip=NEW, intended_address=NEW)
API = service("api", "443/TCP", load_balancer_ip=OLD)


def found(*services: ServiceView, ledger: Ledger = LEDGER, locks: Mapping[str, GroupName] = BOTH) -> set[str]:
    """The rules and untruths that an audit tells."""
    world = StoredWorld(services, (ledger,), locks)
    return {one.rule for one in (*find_conflicts(world), *find_untruths(world, now=LONG_AFTER))}


def test_a_group_that_moves_is_neither_in_conflict_nor_has_it_a_lock_too_many() -> None:
    """Two addresses, two locks, and all is well."""
    assert found(WEB, API) == set()


def test_a_third_address_is_a_conflict_as_ever() -> None:
    """It came past admission."""
    assert "static-address-mismatch" in found(WEB, replace(API, load_balancer_ip=THIRD))


def test_two_addresses_without_a_move_are_a_conflict() -> None:
    """Nobody intends it."""
    still = replace(LEDGER, shared=SharedValues(OLD))

    assert "static-address-mismatch" in found(replace(WEB, intended_address=""), API, ledger=still)


def test_an_intended_address_without_a_lock_is_told() -> None:
    """Another group could take it; right after the opening, its lock may be on the way."""
    assert found(WEB, API, locks={OLD: GROUP}) == {"address-without-lock"}
    just = Heading(NEW, LONG_AFTER - timedelta(seconds=1))
    young = replace(LEDGER, claims=(CLAIMS[0]._replace(heading=just), CLAIMS[1]))
    assert found(WEB, API, ledger=young, locks={OLD: GROUP}) == set()


@pytest.mark.parametrize(
    ("vip", "expected"),
    [
        pytest.param(OLD, set[str](), id="while Avi has not let go"),
        pytest.param(NEW, {"lock-without-group"}, id="after that it is an orphan"),
    ],
)
def test_the_old_lock_stays_while_the_group_lives_on_its_address(vip: str, expected: set[str]) -> None:
    """The ledger has changed, the VIP not yet."""
    moved = replace(LEDGER, shared=SharedValues(NEW), vip=vip)
    services = (WEB, replace(API, load_balancer_ip=NEW))

    assert found(*services, ledger=moved) == expected
