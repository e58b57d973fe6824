"""How often ``sharedvip audit`` looks before it tells of something, and what it does with a list that breaks off."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from cli.audit import Report, audit, list_all
from cluster.errors import Gone
from cluster.shared_vip_documents import FINALIZER
from sharedvip.annotations import INTENDED_ADDRESS
from tests.builders import KEY, service_object
from tests.cluster.scripted import ScriptedApi, in_no_time, page

OLD, NEW = "10.0.0.1", "10.0.0.2"


def stored(name: str, port: str, address: str, *, intended: str = "") -> Mapping[str, Any]:
    """A member as the API server lists it."""
    notes = {INTENDED_ADDRESS: intended} if intended else {}
    made = service_object(name, port, annotations=notes, spec={"loadBalancerIP": address})
    return {**made, "metadata": {**made["metadata"], "uid": name}}  # pyright: ignore[reportTypedDictNotRequiredAccess] - builders always set it


def shared_vip(**spec: str) -> Mapping[str, Any]:
    """The ``SharedVIP`` of "web" and "api" on the old address."""
    at = "2026-01-01T00:00:00.000000Z"
    claims = [
        {"port": port, "protocol": "TCP", "service": name, "uid": name, "claimedAt": at}
        for name, port in (("web", 80), ("api", 443))
    ]
    metadata = {"name": KEY, "namespace": "default", "finalizers": [FINALIZER]}
    return {
        "metadata": metadata,
        "spec": {"key": KEY, "staticAddress": OLD, "claims": claims, **spec},
        "status": {"vip": OLD},
    }


def look_at(script: ScriptedApi, *, with_ledger: bool = False) -> Report:
    """What an audit finds in what the script tells, in no time."""
    found: list[Report] = []

    async def story() -> None:
        found.append(await audit(script.api, with_ledger=with_ledger))

    in_no_time(story)
    return found[0]


def test_a_group_that_begins_to_move_is_in_no_conflict() -> None:
    """Its ledger was read a moment before "web" went ahead: both Services looked wrong, and were told as conflicts."""
    services = page(stored("web", "80", NEW, intended=NEW), stored("api", "443", OLD))
    before, after = page(shared_vip()), page(shared_vip(intendedAddress=NEW))

    assert len(look_at(ScriptedApi([before, services, before, services])).findings) == 2
    assert look_at(ScriptedApi([before, services, after, services])).findings == ()


def test_a_conflict_stands_whoever_is_the_other() -> None:
    """Between the two looks its message changes, and it does not go away; told are the later words."""
    first = page(stored("web", "80", ""), stored("gone", "80", ""))
    second = page(stored("web", "80", ""), stored("late", "80", ""))

    (found,) = look_at(ScriptedApi([page(), first, page(), second])).findings

    assert (found.name, "by Service 'late'" in found.message) == ("web", True)


def test_a_difference_that_stands_is_looked_at_three_times() -> None:
    """Each look lists the whole cluster: there were ten."""
    script = ScriptedApi([page(), page(), page(stored("web", "80", ""))] * 3)

    assert [one.rule for one in look_at(script, with_ledger=True).findings] == ["service-without-claim"]
    assert len(script.lists) == 9


def test_a_position_that_is_forgotten_is_begun_anew() -> None:
    """410 in the middle of a list: from its start, three times at most."""
    gone = Gone(410, "Expired", message="too old")
    script = ScriptedApi([page("a", more="x"), gone, page("a", more="y"), page("b")])
    hopeless = ScriptedApi([gone, gone, gone])

    assert asyncio.run(list_all(script.api, "/api/v1/services", str)) == ["a", "b"]
    assert [one.get("continue") for one in script.lists] == [None, "x", None, "y"]
    with pytest.raises(Gone):
        asyncio.run(list_all(hopeless.api, "/api/v1/services", str))
