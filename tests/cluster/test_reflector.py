"""A copy stays in step with the API server, whatever that one does: by a script, and on a real one."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.api import KubernetesApi
from cluster.errors import Gone, Unreachable
from cluster.metadata import ObjectMeta
from cluster.reflector import IDLE_SECONDS, Reflector, back_off_seconds
from sharedvip.leaving import KEPT, LATEST_SECONDS
from tests.cluster.connection import Connection
from tests.cluster.following import becomes
from tests.cluster.scripted import Object, ScriptedApi, bookmark, event, follow, in_no_time, page, status

PATH = "/api/v1/things"
MINUTE_SECONDS = 60
"""Between two bookmarks."""
LONGEST_REQUEST_SECONDS = 30
"""What a webhook configuration may ask for at most."""


class Thing(msgspec.Struct):
    """What is decoded."""

    metadata: ObjectMeta
    value: int = 0


def thing(name: str, value: int = 0, *, version: str = "1") -> Object:
    """As the API server sends it; without a value from 0 on it is not kept."""
    return {"metadata": {"namespace": "ns", "name": name, "resourceVersion": version}, "value": value}


def kept(raw: Thing) -> int | None:
    """What the copy keeps."""
    return raw.value if raw.value >= 0 else None


def reading(
    script: ScriptedApi,
    *,
    on_change: Callable[[int | None, int | None], None] = lambda _old, _new: None,
    clock: Callable[[], float] = time.monotonic,
) -> Reflector[Thing, int]:
    """A copy of what a script says."""
    return Reflector(script.api, PATH, raw=Thing, select=kept, on_change=on_change, clock=clock)


@dataclass
class Seen:
    """What a reflector told and kept."""

    changes: list[tuple[int | None, int | None]] = field(default_factory=list[tuple[int | None, int | None]])
    records: dict[str, int] = field(default_factory=dict[str, int])
    waited_seconds: float = 0.0
    followed: list[str] = field(default_factory=list[str])
    lists: int = 0
    position: str = ""


def see(script: ScriptedApi) -> Seen:
    """Let a reflector follow a script to its end."""
    seen = Seen()

    async def story() -> None:
        reflector = reading(script, on_change=lambda old, new: seen.changes.append((old, new)))
        begun = asyncio.get_running_loop().time()
        await follow(reflector.run, script)
        seen.waited_seconds = asyncio.get_running_loop().time() - begun
        names = [name for name in "abcd" if reflector.get("ns", name) is not None]
        seen.records = {name: reflector.get("ns", name) or 0 for name in names}
        assert sorted(reflector.records()) == sorted(seen.records.values())
        assert len(reflector) == len(names)
        seen.position = reflector.position

    in_no_time(story)
    seen.followed, seen.lists = script.followed, len(script.lists)
    return seen


def test_a_list_comes_in_pages_and_the_watch_begins_where_it_ends() -> None:
    """Each page names the next; what ``select`` does not keep is nobody's business."""
    script = ScriptedApi([page(thing("a", 1), more="next"), page(thing("b", 2), thing("c", -1), version="7")])

    seen = see(script)

    assert script.lists == [{"limit": "500"}, {"limit": "500", "continue": "next"}]
    assert (seen.records, seen.followed) == ({"a": 1, "b": 2}, ["7"])
    assert seen.changes == [(None, 1), (None, 2)]


def test_a_watch_adds_changes_and_removes() -> None:
    """Told before and after; what is as before is not told."""
    lines = [
        event("ADDED", thing("b", 2, version="2")),
        event("MODIFIED", thing("a", 3, version="3")),
        event("MODIFIED", thing("a", 3, version="4")),
        event("MODIFIED", thing("b", -1, version="5")),
        event("DELETED", thing("b", -1, version="6")),
        event("DELETED", thing("a", 3, version="7")),
    ]

    seen = see(ScriptedApi([page(thing("a", 1))], [lines]))

    assert seen.changes == [(None, 1), (None, 2), (1, 3), (2, None), (3, None)]
    assert (seen.records, seen.followed, seen.position) == ({}, ["1", "7"], "7")


def test_a_bookmark_moves_the_position_and_nothing_else() -> None:
    """So that the next watch does not begin too long ago."""
    seen = see(ScriptedApi([page(thing("a", 1))], [[bookmark("42")]]))

    assert (seen.followed, seen.position, seen.changes) == (["1", "42"], "42", [(None, 1)])


def test_a_broken_watch_goes_on_where_it_was() -> None:
    """Nothing is listed again."""
    lines = [event("ADDED", thing("b", 2, version="5")), Unreachable("gone")]

    seen = see(ScriptedApi([page(thing("a", 1))], [lines]))

    assert (seen.followed, seen.lists, seen.records) == (["1", "5"], 1, {"a": 1, "b": 2})


@pytest.mark.parametrize("code", [410, 500])
def test_an_error_in_a_watch_is_a_new_list_and_its_differences(code: int) -> None:
    """What went, came and changed in the gap is told as if it had been watched."""
    first = page(thing("a", 1), thing("b", 2), thing("c", 3))
    second = page(thing("b", 2), thing("c", 4), thing("d", 5), version="9")

    seen = see(ScriptedApi([first, second], [[event("ERROR", status(code, "Expired"))]]))

    assert seen.changes[3:] == [(1, None), (3, 4), (None, 5)]
    assert (seen.records, seen.followed) == ({"b": 2, "c": 4, "d": 5}, ["1", "9"])


def test_a_list_whose_continue_token_is_too_old_begins_again() -> None:
    """And half of it is never shown."""
    gone = Gone(410, "Expired", message="too old")

    seen = see(ScriptedApi([page(thing("a", 1), more="next"), gone, page(thing("b", 2))]))

    assert (seen.changes, seen.records) == ([(None, 2)], {"b": 2})


def test_an_api_server_that_always_says_gone_is_not_asked_in_a_loop() -> None:
    """Each list reads everything."""
    gone = [event("ERROR", status(410, "Expired"))]

    seen = see(ScriptedApi([page(thing("a", 1))] * 11, [gone] * 10))

    assert seen.lists == 11
    assert seen.waited_seconds > 5


def test_an_object_that_cannot_be_read_does_not_cost_the_others() -> None:
    """In a list and in a watch; its old record stays."""
    odd = {"metadata": {"namespace": "ns", "name": "a"}, "value": "many"}

    seen = see(ScriptedApi([page(odd, thing("b", 2))], [[event("ADDED", odd), event("MODIFIED", thing("b", 3))]]))

    assert seen.records == {"b": 3}


def test_a_line_that_is_no_event_is_a_new_list() -> None:
    """From the old position the same events would come again, and bring back what has gone since."""
    lines = [event("DELETED", thing("a", version="5")), b'{"type": "ADD']

    seen = see(ScriptedApi([page(thing("a", 1)), page(version="6")], [lines]))

    assert (seen.changes, seen.followed) == ([(None, 1), (1, None)], ["1", "6"])


def test_an_unreachable_api_server_is_asked_again_and_again() -> None:
    """Later and later, and half a minute apart at most."""
    seen = see(ScriptedApi([*[Unreachable("no")] * 20, page(thing("a", 1))]))

    assert seen.records == {"a": 1}
    assert 20 < seen.waited_seconds < 600


def test_watches_that_end_without_a_word_back_off() -> None:
    """A proxy that cuts every watch must not make a busy loop; one word makes the next prompt."""
    nothing: list[bytes] = []
    silent = see(ScriptedApi([page()], [nothing] * 15))
    talking = see(ScriptedApi([page()], [[bookmark(str(n))] for n in range(15)]))

    assert silent.waited_seconds > 20
    assert talking.waited_seconds < 5


@given(st.integers(0, 10**6))
def test_no_back_off_is_too_long_or_too_large(failures: int) -> None:
    """After a day of failures the power of two would not fit into a float."""
    assert 0 <= back_off_seconds(failures) <= 30


def test_it_tells_when_it_has_synced_and_how_long_ago_it_heard() -> None:
    """By a clock that the test holds; an empty list is a list."""

    async def story() -> None:
        now = [100.0]
        script = ScriptedApi([page()], [[bookmark("2")]])
        reflector = reading(script, clock=lambda: now[0])
        assert not reflector.has_synced
        now[0] = 130.0
        assert reflector.staleness_seconds() == 30
        await follow(reflector.run, script)
        await reflector.synced()
        assert reflector.has_synced
        now[0] = 190.0
        assert reflector.staleness_seconds() == 60

    in_no_time(story)


def test_a_list_that_breaks_in_the_middle_makes_the_copy_no_younger() -> None:
    """Again and again, as under load: each first page is a word of the API server, and changes nothing."""
    ages = list[float]()

    class Telling(ScriptedApi):
        async def request(
            self, method: str, path: str, *, query: Mapping[str, str], timeout_seconds: float = 10.0
        ) -> bytes:
            ages.append(reflector.age_seconds())
            return await super().request(method, path, query=query, timeout_seconds=timeout_seconds)

    broken = [page(more="next"), Unreachable("busy")]
    script = Telling([page(), *broken, *broken, page()], [[event("ERROR", status(410, "Expired"))]])
    reflector = reading(script, clock=lambda: 10.0 * len(script.lists))
    in_no_time(lambda: follow(reflector.run, script))
    assert ages == [0, 10, 20, 30, 40, 50]
    assert reflector.age_seconds() == 10


def test_only_a_bookmark_tells_how_far_a_watch_has_come() -> None:
    """One that goes on after it broke brings what is old first."""
    ages = list[float]()
    gone_on = [event("ADDED", thing("a", 1)), Unreachable("away")]
    script = ScriptedApi([page()], [[Unreachable("away")], gone_on, [bookmark("2"), Unreachable("away")]])

    def comes(old: int | None, new: int | None) -> None:
        del old, new
        ages.append(reflector.age_seconds())

    reflector = reading(script, on_change=comes, clock=lambda: 20.0 * len(script.followed))
    in_no_time(lambda: follow(reflector.run, script))
    assert ages == [40]
    assert (script.followed[-1], reflector.age_seconds()) == ("2", 20)


def test_a_copy_of_long_ago_is_listed_anew() -> None:
    """A watch would tell in a minute only how far it has come."""
    script = ScriptedApi([page(), page()], [[event("ADDED", thing("a", 1)), Unreachable("away")]])
    reflector = reading(script, clock=lambda: (IDLE_SECONDS + 1) * len(script.followed))
    in_no_time(lambda: follow(reflector.run, script))
    assert len(script.lists) == 2


def test_a_silent_watch_is_broken_before_admission_takes_it_for_late() -> None:
    """And a lock tells of who left for longer than the latest cache and the longest request together."""
    assert IDLE_SECONDS + MINUTE_SECONDS < LATEST_SECONDS
    assert KEPT.total_seconds() > LATEST_SECONDS + LONGEST_REQUEST_SECONDS


def test_who_waits_for_a_change_is_woken() -> None:
    """By the list, and by each event."""

    async def story() -> None:
        script = ScriptedApi([page()], [[event("ADDED", thing("a", 1))]])
        reflector = reading(script)
        waiting = asyncio.create_task(becomes(reflector, lambda: len(reflector) == 1))
        told = asyncio.create_task(reflector.next_change())
        await asyncio.sleep(0)
        await follow(reflector.run, script)
        await waiting
        await told

    in_no_time(story)


@pytest.mark.e2e
def test_it_follows_a_real_api_server_over_a_restart(connection: Connection) -> None:
    """1,200 objects in three pages; one goes and one comes while the API server is away and comes back."""
    path = f"/api/v1/namespaces/{connection.namespace}/configmaps"

    async def create(api: KubernetesApi, name: str) -> None:
        body = msgspec.json.encode({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
        await api.request("POST", path, body=body)

    def named(raw: Thing) -> str | None:
        # Controllers put things of their own into a fresh namespace.
        return raw.metadata.name if raw.metadata.name.startswith("thing-") else None

    async def story(api: KubernetesApi) -> None:
        for start in range(0, 1200, 50):
            await asyncio.gather(*(create(api, f"thing-{n}") for n in range(start, start + 50)))
        reflector = Reflector(api, path, raw=Thing, select=named, on_change=lambda _old, _new: None)
        task = asyncio.create_task(reflector.run())
        async with asyncio.timeout(30):
            await reflector.synced()
        assert len(reflector) == 1200
        await asyncio.to_thread(connection.cluster.restart_apiserver)
        await api.request("DELETE", f"{path}/thing-7")
        await create(api, "thing-new")
        ns = connection.namespace
        await becomes(reflector, lambda: reflector.get(ns, "thing-new") is not None)
        await becomes(reflector, lambda: reflector.get(ns, "thing-7") is None)
        assert len(reflector) == 1200
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    connection.tell(story)
