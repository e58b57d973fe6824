"""Who is about to leave with an address, as a lock says it: all that may yet be stored, and no more than has to be."""

from datetime import UTC, datetime, timedelta

import pytest

from cluster.leavers import Leaver, in_the_way, parse_leavers, render_leavers, services_of, still_to_be_told
from sharedvip.leaving import KEPT
from sharedvip.ledger import GRACE, Claim, Ledger
from sharedvip.model import GroupName, ServiceName
from tests.builders import listener

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def note(name: str, ago: timedelta, request: str = "r") -> Leaver:
    """Who asked to leave, some time ago."""
    return Leaver(name, "u", "7", NOW - ago, request)


def test_what_is_said_is_read() -> None:
    """But not what a hand wrote."""
    noted = (note("web", timedelta()), note("api", GRACE))
    assert parse_leavers(render_leavers(noted)) == noted
    assert parse_leavers(f"me a/b/c/yesterday/d {render_leavers(noted[:1])}") == noted[:1]
    elsewhere = (note("web", timedelta())._replace(group=GroupName("team-a", "my_Key")),)
    said = render_leavers(elsewhere)
    assert parse_leavers(f"{said}/x {said.rpartition('/')[0]} {said}") == elsewhere
    assert services_of((*noted, *elsewhere), "team-b") == [
        ServiceName("team-a", "web"),
        ServiceName("team-b", "api"),
        ServiceName("team-b", "web"),
    ]


def test_who_leaves_another_group_is_in_the_way_only_where_it_has_joined_this_one() -> None:
    """A leave may be tagged with the lock's own group: it was nobody's lock then."""
    group, other = GroupName("team-a", "key"), GroupName("team-a", "other")
    own = note("web", timedelta())
    tagged, near = own._replace(group=group), own._replace(service="near", group=other)
    far = near._replace(group=GroupName("team-b", "key"))
    claims = (Claim(listener("80/TCP"), "near", "u", NOW),)

    for claimed, expected in (((), (own, tagged)), (claims, (own, tagged, near))):
        ledger = Ledger(group, claims=claimed)
        assert in_the_way((own, tagged, near, far), ledger) == expected


@pytest.mark.parametrize(
    ("ago", "is_told"),
    [
        pytest.param(GRACE, True, id="its update may be stored yet"),
        pytest.param(GRACE + KEPT, True, id="it may have left, and not every replica has seen it"),
        pytest.param(GRACE + KEPT + timedelta(seconds=1), False, id="whoever left has been seen"),
    ],
)
def test_a_note_is_told_until_every_replica_has_seen_the_leave(ago: timedelta, *, is_told: bool) -> None:
    """The age of the last one."""
    assert still_to_be_told([note("web", ago)], now=NOW) == ((note("web", ago),) if is_told else ())


def test_a_client_that_repeats_a_leave_fills_no_annotation() -> None:
    """Each request that may be stored is one; of all those before, only whose they were is worth a word."""
    young = [note("web", timedelta(seconds=n), f"young-{n}") for n in (2, 1, 0)]
    old = [note(name, GRACE + timedelta(seconds=n), f"old-{n}") for n in range(200, 0, -1) for name in ("web", "api")]

    told = still_to_be_told([*young, *old], now=NOW)

    elsewhere = note("web", GRACE + KEPT, "other")._replace(group=GroupName("team-a", "key"))
    assert still_to_be_told([*old, elsewhere], now=NOW)[0] == elsewhere
    last = GRACE + timedelta(seconds=1)
    assert told == (note("web", last, "old-1"), note("api", last, "old-1"), *young)
