"""What an audit says of locks: of one that its group does not use, and of an address that none holds."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from sharedvip.audit import find_untruths
from sharedvip.leaving import KEPT
from sharedvip.ledger import GRACE, Ledger
from sharedvip.model import GroupName
from tests.builders import GROUP, KEY
from tests.sharedvip.test_audit import ADDRESS, FIXED, LATER, OTHER, WEB, ledger_of, rules_of, world
from tests.strategies import START


def test_a_lock_without_a_group_in_full() -> None:
    """It is its group's, in whose namespace it is told."""
    (found,) = find_untruths(world(locks={ADDRESS: GROUP}), now=START)

    assert str(found) == (
        f"IPAddress {ADDRESS}: is held for shared VIP '{KEY}' of namespace 'default', which does not use it; "
        "the reconciler is to release it [lock-without-group]"
    )
    assert (found.kind, found.namespace, found.name) == ("IPAddress", "default", ADDRESS)


@pytest.mark.parametrize(
    ("ledgers", "locks", "expected"),
    [
        pytest.param([ledger_of(FIXED)], {ADDRESS: GROUP}, [], id="the group has the address"),
        pytest.param([ledger_of(WEB)], {ADDRESS: GROUP}, [ADDRESS], id="the group has none"),
        pytest.param([ledger_of(WEB, vip=ADDRESS)], {ADDRESS: GROUP}, [], id="the group lives on it still"),
        pytest.param([ledger_of(FIXED)], {ADDRESS: GROUP, "10.0.0.2": GROUP}, ["10.0.0.2"], id="one too many"),
        pytest.param([ledger_of(FIXED)], {ADDRESS: OTHER}, [ADDRESS], id="another group has the address"),
    ],
)
def test_a_lock_without_its_group(ledgers: list[Ledger], locks: dict[str, GroupName], expected: list[str]) -> None:
    """Whether anybody uses it."""
    found = find_untruths(world(ledgers=ledgers, locks=locks), now=START)

    assert [one.name for one in found if one.rule == "lock-without-group"] == expected


def test_what_tells_of_who_left_may_stay_for_a_while() -> None:
    """It is nobody's: who asks for that address is judged without it."""
    left = {ADDRESS: (GROUP, START)}

    assert find_untruths(world(left=left), now=START + KEPT + GRACE) == ()
    (late,) = find_untruths(world(left=left), now=START + KEPT + GRACE + timedelta(seconds=1))
    assert rules_of([late]) == [(ADDRESS, "lock-without-group")]
    asking = replace(FIXED, sharing_key="other")
    assert rules_of(find_untruths(world(asking, left=left), now=START)) == [(FIXED.name.name, "service-without-claim")]


def test_an_address_without_a_lock_in_full() -> None:
    """Nobody holds it, or another group does: two things to do."""
    stored, ledgers = FIXED, [ledger_of(FIXED)]

    (free,) = find_untruths(world(stored, ledgers=ledgers), now=LATER)
    _, held = find_untruths(world(stored, ledgers=ledgers, locks={ADDRESS: OTHER}), now=LATER)[::-1]

    assert str(free) == (
        f"SharedVIP default/{KEY}: {ADDRESS} is shared here, and no IPAddress of ours holds it; the reconciler is to "
        f"make it again, unless an IPAddress of somebody else has that name (kubectl get ipaddress {ADDRESS}) "
        "[address-without-lock]"
    )
    assert str(held) == (
        f"SharedVIP default/{KEY}: {ADDRESS} is shared here, and its IPAddress holds it for shared VIP 'other' of "
        "namespace 'shop'; one of the two must go [address-without-lock]"
    )


def asked(ledger: Ledger, *, at: datetime) -> Ledger:
    """A member has asked for what the ledger says, with an update that found its claims there."""
    return replace(ledger, claims=tuple(c._replace(replaces="7", asked_at=at) for c in ledger.claims))


@pytest.mark.parametrize(
    ("ledger", "locks", "now", "is_found"),
    [
        pytest.param(ledger_of(FIXED), {}, LATER, True, id="nobody holds it"),
        pytest.param(ledger_of(FIXED), {ADDRESS: GROUP}, LATER, False, id="the group holds it"),
        pytest.param(ledger_of(FIXED), {}, START + GRACE, False, id="the lock is taken after the claim"),
        pytest.param(asked(ledger_of(FIXED), at=LATER), {}, LATER, False, id="also after that of an update"),
        pytest.param(asked(ledger_of(FIXED), at=LATER - GRACE * 2), {}, LATER, True, id="nobody holds it for long"),
        pytest.param(ledger_of(WEB), {}, LATER, False, id="there is no static address"),
        pytest.param(replace(ledger_of(FIXED), claims=()), {}, LATER, False, id="nobody claims anything"),
    ],
)
def test_an_address_without_its_lock(
    ledger: Ledger,
    locks: dict[str, GroupName],
    now: datetime,
    is_found: bool,  # noqa: FBT001 - a table
) -> None:
    """Judged once the oldest claim is older than the grace."""
    found = find_untruths(world(ledgers=[ledger], locks=locks), now=now)

    assert ((KEY, "address-without-lock") in rules_of(found)) is is_found
