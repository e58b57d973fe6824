"""The cache of Services: what it keeps, by what it is found, and whom it remembers when he is gone."""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from cluster.errors import Gone, Unreachable
from cluster.services import TOMBSTONE_SECONDS, ServiceCache, deleted_since, read_service
from sharedvip.annotations import READY_CONDITION
from sharedvip.model import GroupName, ServiceName, ServiceView
from tests.builders import GROUP, KEY, NAMESPACE, service_object
from tests.cluster.scripted import Line, Object, ScriptedApi, bookmark, event, follow, in_no_time, page, status


def stored(name: str, *ports: str, uid: str = "", key: str | None = KEY, **spec: Any) -> Object:  # noqa: ANN401 - JSON
    """A stored Service."""
    made: Object = dict(service_object(name, *ports, key=key, spec=spec))
    made["metadata"] = {**made["metadata"], "uid": uid or f"uid-of-{name}", "resourceVersion": "1"}
    return made


def with_status(of: Object, *, ip: str = "", is_ours: bool = False) -> Object:
    """The same with an address, or with our condition."""
    conditions = [{"type": READY_CONDITION, "status": "True"}] if is_ours else []
    return {**of, "status": {"loadBalancer": {"ingress": [{"ip": ip}] if ip else []}, "conditions": conditions}}


def names(services: Iterable[ServiceView]) -> list[str]:
    """Of Services."""
    return [service.name.name for service in services]


async def filled(*items: Object, events: Iterable[bytes] = (), clock: list[float] | None = None) -> ServiceCache:
    """A cache after a list and a watch."""
    now = clock or [0.0]
    script = ScriptedApi([page(*items)], [list(events)])
    cache = ServiceCache(script.api, clock=lambda: now[0])
    await follow(cache.run, script)
    return cache


def test_what_matters_is_kept() -> None:
    """Members, other LoadBalancers, and whoever carries our condition."""

    async def story() -> None:
        plain = stored("plain", key=None, type="ClusterIP")
        cache = await filled(
            stored("member"),
            stored("wrong-type", type="ClusterIP"),
            stored("balancer", key=None),
            plain,
            with_status(stored("left", key=None, type="ClusterIP"), is_ours=True),
        )

        kept = {name: cache.get(ServiceName(NAMESPACE, name)) is not None for name in ("member", "balancer", "plain")}
        assert kept == {"member": True, "balancer": True, "plain": False}
        assert names(cache.members(GROUP)) == ["member", "wrong-type"]
        assert (names(cache.leavers()), cache.groups()) == (["left"], {GROUP})

    in_no_time(story)


def test_an_address_is_found_by_whoever_asks_for_it_or_has_it() -> None:
    """In canonical spelling, of LoadBalancers only."""

    async def story() -> None:
        cache = await filled(
            stored("asks", loadBalancerIP="2001:DB8::0:1"),
            with_status(stored("has", key=None), ip="2001:db8::1"),
            stored("wrong-type", type="ClusterIP", loadBalancerIP="2001:db8::1"),
        )

        assert names(cache.by_address("2001:db8::1")) == ["asks", "has"]
        assert cache.by_address("") == ()

    in_no_time(story)


def test_a_service_moves_from_one_group_to_another() -> None:
    """And from one address to another; empty groups are none."""

    async def story() -> None:
        cache = await filled(
            stored("web", loadBalancerIP="10.0.0.1"),
            events=[event("MODIFIED", stored("web", key="other", loadBalancerIP="10.0.0.2"))],
        )

        assert (cache.members(GROUP), names(cache.members(GroupName(NAMESPACE, "other")))) == ((), ["web"])
        assert (cache.by_address("10.0.0.1"), names(cache.by_address("10.0.0.2"))) == ((), ["web"])
        assert cache.groups() == {GroupName(NAMESPACE, "other")}

    in_no_time(story)


def test_changes_are_told_after_the_indexes_know_them() -> None:
    """Before and after."""

    async def story() -> None:
        script = ScriptedApi([page(stored("web"))], [[event("DELETED", stored("web"))]])
        cache = ServiceCache(script.api)
        told: list[tuple[bool, bool, int]] = []
        cache.subscribe(lambda old, new: told.append((old is None, new is None, len(cache.members(GROUP)))))
        await follow(cache.run, script)

        assert told == [(True, False, 1), (False, True, 0)]

    in_no_time(story)


def test_who_was_seen_is_remembered_when_gone() -> None:
    """By uid, also when somebody of the same name came; who never carried the annotation was never seen."""

    async def story() -> None:
        cache = await filled(
            stored("web"),
            stored("balancer", key=None),
            events=[
                event("MODIFIED", stored("web", uid="second")),
                event("DELETED", stored("web", uid="second")),
                event("DELETED", stored("balancer", key=None)),
            ],
        )

        seen = {uid: cache.was_seen(uid) for uid in ("uid-of-web", "second", "uid-of-balancer", "stranger")}
        assert seen == {"uid-of-web": True, "second": True, "uid-of-balancer": False, "stranger": False}

    in_no_time(story)


def test_a_service_is_remembered_for_longer_than_the_grace_and_not_for_ever() -> None:
    """When the next one goes, those who are gone for two minutes are forgotten."""

    async def story() -> None:
        now = [0.0]
        script = ScriptedApi(
            [page(stored("a"), stored("b"), stored("c"))],
            [[event("DELETED", stored(name)), bookmark("1")] for name in ("a", "b", "c")],
        )
        cache = ServiceCache(script.api, clock=lambda: now[0])

        def later(old: ServiceView | None, new: ServiceView | None) -> None:
            if old is not None and new is None:
                now[0] += TOMBSTONE_SECONDS * 0.6

        cache.subscribe(later)
        await follow(cache.run, script)

        assert [cache.was_seen(f"uid-of-{name}") for name in "abc"] == [False, True, True]

    in_no_time(story)


@pytest.mark.parametrize("name", ["web/x", "..", "", "Web", "web?x=y"])
def test_of_a_name_that_no_service_can_have_nobody_is_asked(name: str) -> None:
    """The fuzzer's claim of ``web/../x`` was read as a subresource of ``web``: its 403 held up the whole group."""

    async def story() -> None:
        assert await read_service(ScriptedApi([]).api, ServiceName(NAMESPACE, name)) is None
        assert await read_service(ScriptedApi([]).api, ServiceName(name, "web")) is None

    in_no_time(story)


def _line(kind: str, uid: str) -> bytes:
    return event(kind, {"metadata": {"name": "web", "uid": uid, "resourceVersion": "7"}})


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        pytest.param([_line("DELETED", f"uid-{n}") for n in range(40)], 40, id="more than are looked at at once"),
        pytest.param([_line("MODIFIED", "uid-1"), _line("ADDED", "uid-2")], 0, id="they live"),
        pytest.param([_line("DELETED", "uid-of-another"), _line("DELETED", "uid-1")], 1, id="a namesake came and went"),
        pytest.param([_line("DELETED", "uid-1"), Unreachable("gone"), _line("DELETED", "uid-2")], 1, id="it breaks"),
        pytest.param([_line("DELETED", "uid-1"), b"{", _line("DELETED", "uid-2")], 1, id="a line is none"),
        pytest.param([event("ERROR", status(410, "Expired")), _line("DELETED", "uid-1")], 0, id="it is too long ago"),
        pytest.param([Gone(410, "Expired", message="too old")], 0, id="and was never begun"),
    ],
)
def test_whose_end_the_api_server_tells(lines: list[Line], told: int) -> None:
    """By one question, which ends by itself where that many are told, and after its time where not."""

    async def story() -> None:
        script, uids = ScriptedApi([], [lines]), frozenset(f"uid-{n}" for n in range(40))
        begun = asyncio.get_running_loop().time()
        found = await deleted_since(script.api, NAMESPACE, uids, since="5", seconds=0.3)

        assert (len(found), found <= uids, script.followed) == (told, True, ["5"])
        assert asyncio.get_running_loop().time() - begun < 0.4

    in_no_time(story)


def test_an_api_server_that_says_nothing_is_not_listened_to_for_longer() -> None:
    """A watch has no end of its own."""

    async def story() -> None:
        begun = asyncio.get_running_loop().time()
        assert await deleted_since(ScriptedApi([]).api, NAMESPACE, {"uid-1"}, since="5", seconds=0.3) == frozenset()
        assert 0.3 <= asyncio.get_running_loop().time() - begun < 1

    in_no_time(story)
