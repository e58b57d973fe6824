"""Statuses and Events: everything once, nothing twice."""

import asyncio
from dataclasses import fields, replace
from typing import Any

import pytest

from cluster.ako_resources import DetailedService
from cluster.events import LIFE_SECONDS
from cluster.service_status import Shown, entries_for
from reconciler.ports import GroupReport, Verdict
from reconciler.status import StatusKeeper
from sharedvip.model import ServiceView
from tests.builders import GROUP, service
from tests.reconciler.controller import START
from tests.reconciler.fake_kubernetes import FakeKubernetes

WEB = service("web")
READY = Verdict(is_ready=True, reason="Programmed", message="80/TCP served on 10.0.0.1")
AWAY = Verdict(is_ready=False, reason="ControllerUnreachable", message="no answer")


def _world() -> tuple[FakeKubernetes, StatusKeeper]:
    kubernetes = FakeKubernetes()
    kubernetes.apply(WEB)
    return kubernetes, StatusKeeper(kubernetes)


def test_what_is_said_already_is_not_said_again() -> None:
    """Neither status nor Event."""
    kubernetes, statuses = _world()

    async def story() -> list[bool]:
        return [await statuses.publish(kubernetes.stored[WEB.name], vip="10.0.0.1", verdict=READY) for _ in range(3)]

    assert asyncio.run(story()) == [True, False, False]
    assert kubernetes.events == [("web", "Normal", "Programmed")]


def test_a_status_that_somebody_emptied_is_written_again() -> None:
    """Quietly: it is no news."""
    kubernetes, statuses = _world()

    async def story() -> bool:
        await statuses.publish(kubernetes.stored[WEB.name], vip="10.0.0.1", verdict=READY)
        kubernetes.stored[WEB.name] = replace(WEB, has_ready_condition=True)
        return await statuses.publish(kubernetes.stored[WEB.name], vip="10.0.0.1", verdict=READY)

    assert asyncio.run(story())
    assert len(kubernetes.events) == 1


def test_only_another_reason_or_address_is_worth_an_event() -> None:
    """A message with other numbers in it is not."""
    kubernetes, statuses = _world()

    async def story() -> None:
        for verdict in (READY, replace(READY, message="80/TCP, 81/TCP served on 10.0.0.1"), AWAY, READY):
            await statuses.publish(kubernetes.stored[WEB.name], vip="10.0.0.1", verdict=verdict)

    asyncio.run(story())
    told = [("Normal", "Programmed"), ("Warning", "ControllerUnreachable"), ("Normal", "Programmed")]
    assert [event[1:] for event in kubernetes.events] == told


def test_after_a_restart_what_the_service_shows_is_no_news() -> None:
    """Or every restart would be an Event on every Service."""
    kubernetes, statuses = _world()
    kubernetes.stored[WEB.name] = replace(WEB, vips=("10.0.0.1",), has_ready_condition=True)

    asyncio.run(statuses.publish(kubernetes.stored[WEB.name], vip="10.0.0.1", verdict=READY))
    assert kubernetes.events == []


_SHOWN = Shown(True, "Programmed", "80/TCP served on 10.0.0.1", entries_for("10.0.0.1"))  # noqa: FBT003 - a field
_SAID_OTHERWISE = {
    "nothing": None,
    "another message": _SHOWN._replace(message="80/TCP, 81/TCP served on 10.0.0.1"),
    "another reason": _SHOWN._replace(reason="Guarded"),
    "not ready": _SHOWN._replace(is_ready=False),
    "another address": _SHOWN._replace(entries=entries_for("10.0.0.2")),
    "a name": _SHOWN._replace(entries=entries_for("10.0.0.1", hostname="web.example.com")),
    "a second address": _SHOWN._replace(entries=entries_for("10.0.0.1", further_vips=["2001:db8::1"])),
}


def _stored(shown: Shown | None) -> ServiceView:
    plain: dict[str, Any] = {each.name: getattr(WEB, each.name) for each in fields(WEB)}
    known: dict[str, Any] = {"has_ready_condition": shown is not None, "vips": ("10.0.0.1",) if shown else ()}
    return DetailedService(**(plain | known), shown=shown)


def test_a_new_process_writes_nothing_that_its_predecessor_said() -> None:
    """Or 1,000 groups would cost 2,000 writes at each start; from then on it is as if it had said so itself."""
    kubernetes, statuses = _world()
    kubernetes.stored[WEB.name] = _stored(_SHOWN)

    async def story() -> list[bool]:
        saying = (READY, READY, AWAY)
        stored = kubernetes.stored[WEB.name]
        return [await statuses.publish(stored, vip="10.0.0.1", verdict=verdict) for verdict in saying]

    assert asyncio.run(story()) == [False, False, True]
    assert kubernetes.events == [("web", "Warning", "ControllerUnreachable")]


@pytest.mark.parametrize("shown", _SAID_OTHERWISE.values(), ids=_SAID_OTHERWISE.keys())
def test_a_new_process_puts_right_what_is_said_otherwise(shown: Shown | None) -> None:
    """One word is enough."""
    kubernetes, statuses = _world()
    kubernetes.stored[WEB.name] = _stored(shown)

    assert asyncio.run(statuses.publish(kubernetes.stored[WEB.name], vip="10.0.0.1", verdict=READY))


def test_a_service_that_was_forgotten_is_told_anew() -> None:
    """Its uid is gone; one that stays is remembered."""
    kubernetes, statuses = _world()

    async def story() -> list[str]:
        await statuses.warn(WEB, AWAY)
        statuses.forget_services([WEB.uid])
        await statuses.warn(WEB, AWAY)
        statuses.forget_services([])
        await statuses.warn(WEB, AWAY)
        return [reason for _, _, reason in kubernetes.events]

    assert asyncio.run(story()) == ["ControllerUnreachable"] * 2


def test_who_was_warned_is_told_of_its_next_conflict_as_a_member() -> None:
    """It had another type, and an Event on that; now it is refused for a port."""
    kubernetes, statuses = _world()
    first, second = (Verdict(is_ready=False, reason="Conflict", message=message) for message in ("type", "port"))

    async def story() -> None:
        await statuses.warn(WEB, first)
        await statuses.publish(WEB, vip="", verdict=second)

    asyncio.run(story())
    assert len(kubernetes.events) == 2


def test_a_warning_is_said_again_while_it_holds() -> None:
    """The API server takes an Event away after an hour, and in guard mode it is all that users have."""
    kubernetes, passed = FakeKubernetes(), [0.0]
    statuses = StatusKeeper(kubernetes, clock=lambda: passed[0])

    def events_after(seconds: float) -> int:
        passed[0] += seconds
        asyncio.run(statuses.warn(WEB, AWAY))
        return len(kubernetes.events)

    kubernetes.untellable.add(WEB.name)
    assert events_after(0) == 0
    kubernetes.untellable.clear()
    assert [events_after(seconds) for seconds in (30, 30, LIFE_SECONDS - 60)] == [1, 1, 2]


def test_who_was_warned_and_has_its_status_taken_back_is_not_warned_again() -> None:
    """Or where another manager owns our condition, each resync would be an Event."""
    kubernetes, statuses = _world()

    async def story() -> None:
        for _ in range(2):
            await statuses.warn(WEB, AWAY)
            await statuses.withdraw(WEB)

    asyncio.run(story())
    assert len(kubernetes.events) == 1


def test_the_group_s_address_is_told_again_where_it_was_lost() -> None:
    """A hand took it out, or a leader of before wrote what was true then: admission goes by it."""
    kubernetes, statuses = _world()
    kubernetes.admit(WEB, at=START)
    report = GroupReport("10.0.0.1", "", (), ("web",), READY)

    async def story() -> list[str]:
        for vip in ("", "10.0.0.1", "10.0.0.2"):
            kubernetes.ledgers[GROUP] = replace(kubernetes.ledgers[GROUP], vip=vip)
            await statuses.report(GROUP, report)
        return kubernetes.writes

    assert asyncio.run(story()).count("report") == 2
    assert kubernetes.ledgers[GROUP].vip == "10.0.0.1"
