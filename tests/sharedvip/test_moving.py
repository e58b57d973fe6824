"""What each member of a moving group claims, where it is known to go, and when the group has come."""

from dataclasses import replace
from datetime import timedelta

import pytest

from sharedvip.ledger import GRACE, Claim, Heading, Ledger, group_of, grow, is_accepted, member_of
from sharedvip.model import ServiceView, SharedValues
from sharedvip.moving import claimed_values, progress, with_heading
from tests.builders import GROUP, listener, service
from tests.strategies import START

OLD, NEW, THIRD = "10.0.0.1", "10.0.0.2", "10.0.0.3"
LATER = START + timedelta(seconds=10)
AFTER = START + GRACE + timedelta(seconds=1)


def at(name: str, address: str, *, intended: str = "") -> ServiceView:
    """A member on a port of its own."""
    ports = {"web": "80/TCP", "api": "443/TCP"}
    return service(name, ports[name], load_balancer_ip=address, intended_address=intended)


def ledger(*, intended: str = "", static: str = OLD, **headings: Heading | None) -> Ledger:
    """Of 'web' and 'api', built by us."""
    claims = (
        Claim(listener("80/TCP"), "web", "uid-of-web", START, headings.get("web")),
        Claim(listener("443/TCP"), "api", "uid-of-api", START, headings.get("api")),
    )
    return Ledger(GROUP, SharedValues(static, intended_address=intended), claims, has_finalizer=True)


@pytest.mark.parametrize(
    ("candidate", "of", "is_update", "expected"),
    [
        pytest.param(at("web", OLD), ledger(), True, (OLD, ""), id="nobody moves"),
        pytest.param(at("web", OLD, intended=NEW), ledger(), True, (OLD, NEW), id="who opens a move stays"),
        pytest.param(at("web", NEW, intended=NEW), ledger(), True, (OLD, NEW), id="who opens one and goes ahead too"),
        pytest.param(at("web", NEW), ledger(intended=NEW), True, (OLD, NEW), id="who goes along keeps the move alive"),
        pytest.param(at("web", OLD), ledger(intended=NEW), True, (OLD, NEW), id="an update ends no move"),
        pytest.param(at("web", OLD), ledger(intended=NEW), False, (OLD, ""), id="a newcomer has no part in it"),
        pytest.param(at("web", NEW), ledger(intended=NEW), False, (OLD, NEW), id="unless it carries the new address"),
        pytest.param(at("web", OLD, intended=OLD), ledger(), True, (OLD, ""), id="the address it has is no move"),
        pytest.param(
            at("web", NEW, intended=NEW), ledger(static=NEW, intended=NEW), True, (NEW, ""), id="nor after the move"
        ),
        pytest.param(at("web", NEW), Ledger(GROUP), True, (NEW, ""), id="who is alone goes where it wants"),
    ],
)
def test_what_a_candidate_claims_to_share(
    candidate: ServiceView, of: Ledger, *, is_update: bool, expected: tuple[str, str]
) -> None:
    """The static address, and the intended one."""
    group = group_of(GROUP, ledger=of, services=(), candidate=candidate)
    values = claimed_values(candidate, group=group, is_update=is_update)

    assert (values.static_address, values.intended_address) == expected


@pytest.mark.parametrize(
    ("stored", "of", "expected"),
    [
        pytest.param(at("web", NEW), ledger(intended=NEW), True, id="who carries the new address is accepted"),
        pytest.param(at("web", OLD), ledger(intended=NEW), True, id="and who carries the old one"),
        pytest.param(at("web", THIRD), ledger(intended=NEW), False, id="but not a third"),
        pytest.param(at("web", NEW), ledger(), False, id="nor the new one where nobody moves"),
        pytest.param(at("web", OLD, intended=NEW), ledger(), False, id="nor a wish that the ledger does not know"),
        pytest.param(at("web", OLD, intended=THIRD), ledger(intended=NEW), False, id="nor another wish"),
        pytest.param(at("web", NEW), ledger(static=NEW, intended=NEW), True, id="between the writes of the end too"),
    ],
)
def test_who_is_accepted_in_a_move(stored: ServiceView, of: Ledger, *, expected: bool) -> None:
    """By what the ledger says of both addresses."""
    assert is_accepted(of, stored) is expected


def heading(candidate: ServiceView, of: Ledger, old: ServiceView | None) -> Heading | None:
    """Of the candidate's claims after its request at ``LATER``."""
    group = group_of(GROUP, ledger=of, services=(), candidate=candidate)
    shared = claimed_values(candidate, group=group, is_update=old is not None)
    claims = with_heading(grow(of, candidate, old=old, now=LATER), candidate, old=old, shared=shared, now=LATER)
    (found,) = {claim.heading for claim in claims}
    return found


@pytest.mark.parametrize(
    ("old", "new", "of", "expected"),
    [
        pytest.param(at("web", OLD), at("web", OLD), ledger(), None, id="where nobody moves there is none"),
        pytest.param(at("web", OLD), at("web", OLD, intended=NEW), ledger(), (NEW, LATER), id="who wants to go"),
        pytest.param(at("web", OLD), at("web", NEW), ledger(intended=NEW), (NEW, LATER), id="who goes"),
        pytest.param(at("web", NEW), at("web", OLD), ledger(intended=NEW), (OLD, LATER), id="who goes back"),
        pytest.param(None, at("web", NEW), ledger(intended=NEW), (NEW, LATER), id="who comes and carries it"),
        pytest.param(at("web", OLD), at("web", OLD), ledger(intended=NEW), None, id="who has no part in it"),
        pytest.param(
            at("web", NEW),
            at("web", NEW),
            ledger(intended=NEW, web=Heading(OLD, START)),
            (OLD, START),
            id="a request that does not turn it leaves what is known of one that may",
        ),
        pytest.param(
            at("web", NEW),
            at("web", NEW, intended=NEW),
            ledger(intended=NEW, web=Heading(OLD, START)),
            (OLD, LATER),
            id="also where it adds the annotation",
        ),
        pytest.param(
            at("web", NEW, intended=NEW),
            at("web", NEW),
            ledger(intended=NEW, web=Heading(NEW, START)),
            (NEW, START),
            id="who takes the annotation away wants nothing new",
        ),
    ],
)
def test_where_a_member_is_known_to_go(
    old: ServiceView | None, new: ServiceView, of: Ledger, expected: tuple[str, object] | None
) -> None:
    """As of now only where the request turns it."""
    assert heading(new, of, old) == (None if expected is None else Heading(*expected))  # pyright: ignore[reportArgumentType] - a time


@pytest.mark.parametrize(
    ("stored", "of", "said"),
    [
        pytest.param(
            [at("web", NEW), at("api", OLD)],
            ledger(intended=NEW),
            "1 of 2 Services carry 10.0.0.2; waits for 'api'",
            id="one is missing",
        ),
        pytest.param(
            [at("web", NEW)],
            ledger(intended=NEW),
            "1 of 2 Services carry 10.0.0.2; waits for 'api'",
            id="one is admitted and not stored yet",
        ),
        pytest.param(
            [at("web", NEW), replace(at("api", NEW), uid="another")],
            ledger(intended=NEW),
            "1 of 2 Services carry 10.0.0.2; waits for 'api'",
            id="a namesake is somebody else",
        ),
        pytest.param(
            [at("web", NEW), at("api", NEW)], ledger(intended=NEW), "2 of 2 Services carry 10.0.0.2", id="all have come"
        ),
        pytest.param(
            [at("web", NEW), replace(at("api", OLD), is_deleting=True)],
            ledger(intended=NEW),
            "1 of 1 Services carry 10.0.0.2",
            id="who is being deleted keeps nobody",
        ),
        pytest.param(
            [at("web", NEW), at("api", NEW)],
            ledger(intended=NEW, api=Heading(OLD, START)),
            "2 of 2 Services carry 10.0.0.2; makes sure that 'api' stays so",
            id="one may be on its way back",
        ),
        pytest.param(
            [at("web", NEW), at("api", NEW)],
            ledger(intended=NEW, api=Heading(NEW, START)),
            "2 of 2 Services carry 10.0.0.2",
            id="one has just come",
        ),
    ],
)
def test_how_far_a_move_has_come(stored: list[ServiceView], of: Ledger, said: str) -> None:
    """In words, as the condition Moving shows them; complete where nothing is missing."""
    found = progress(of, stored, now=LATER)

    assert (str(found), found.is_complete) == (said, ";" not in said)


def test_after_the_grace_nobody_is_on_the_way_back() -> None:
    """What was admitted before is stored, or never will be."""
    of = ledger(intended=NEW, api=Heading(OLD, START))
    stored = [at("web", NEW), at("api", NEW)]

    assert progress(of, stored, now=LATER).looks_again_at == START + GRACE
    assert progress(of, stored, now=AFTER).is_complete


@pytest.mark.parametrize(
    ("stored", "of", "expected"),
    [
        pytest.param([at("web", OLD), at("api", OLD)], ledger(intended=NEW), False, id="nobody says anything"),
        pytest.param([at("web", OLD, intended=NEW)], ledger(intended=NEW), True, id="one intends it"),
        pytest.param([at("api", NEW)], ledger(intended=NEW), True, id="one carries it"),
        pytest.param([at("api", OLD)], ledger(intended=NEW, web=Heading(NEW, START)), True, id="one is on its way"),
        pytest.param([at("api", OLD)], ledger(intended=NEW, web=Heading(OLD, START)), False, id="one went back"),
        pytest.param(
            [replace(at("web", NEW), is_deleting=True)],
            ledger(intended=NEW),
            False,
            id="who wanted it is being deleted",
        ),
    ],
)
def test_whether_anybody_wants_a_move(stored: list[ServiceView], of: Ledger, *, expected: bool) -> None:
    """A move that nobody wants is given up."""
    assert progress(of, stored, now=LATER).is_wanted is expected


def test_a_stored_wish_keeps_a_move_alive_that_the_ledger_has_lost() -> None:
    """A hand took the intended address out: who carries it already would be in conflict."""
    web = at("web", OLD, intended=NEW)
    found = group_of(GROUP, ledger=ledger(), services=[web], candidate=at("api", NEW))

    assert (found.static_address, found.intended_address) == (OLD, NEW)
    assert member_of(found.peers[0]) == member_of(web)
    not_ours = replace(ledger(), has_finalizer=False)
    assert group_of(GROUP, ledger=not_ours, services=[web], candidate=at("api", NEW)).intended_address == ""


@pytest.mark.parametrize(
    ("version", "expected"),
    [pytest.param("7", True, id="over the version it has"), pytest.param("6", False, id="over another one")],
)
def test_who_is_to_join_with_the_new_address_keeps_a_move_alive(version: str, *, expected: bool) -> None:
    """Also where it was asked about once more since, and is to join with the old one: either may be stored."""
    plain = replace(at("api", ""), sharing_key=None, resource_version="7")
    of = ledger(intended=NEW, api=Heading(OLD, START))
    joins = tuple(claim._replace(replaces=version) if claim.service == "api" else claim for claim in of.claims)

    assert progress(replace(of, claims=joins), [at("web", OLD), plain], now=LATER).is_wanted is expected
