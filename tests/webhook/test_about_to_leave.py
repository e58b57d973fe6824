"""Who is about to leave with an address, on the real API server: whoever asks for that meanwhile waits."""

import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest
from starlette.types import Message

from cluster.api import KubernetesApi
from cluster.ip_addresses import AddressLocks
from cluster.leavers import Leaver
from sharedvip.ledger import member_of
from sharedvip.model import GroupName
from tests.builders import KEY
from tests.cluster.connection import Connection
from tests.webhook.leavers import last, leaving, left, nobody
from tests.webhook.replicas import Scene, messages, replica, some_address, tell
from webhook.caller import CallerGoneError

pytestmark = pytest.mark.e2e

ROUNDS = 40


def test_who_asks_for_an_address_that_a_leaver_is_to_take_waits(connection: Connection) -> None:
    """The lock for its leave is its old group's, which never has the address itself: nobody is sent there."""

    async def story(scene: Scene) -> None:
        address = some_address()
        leaver = await last(scene, "web", some_address())
        assert messages(await scene.validate(leaving(leaver, load_balancer_ip=address))) == ""

        refused = messages(await scene.validate(scene.new("api", "80/TCP", key="other", load_balancer_ip=address)))
        assert f"{address} is being claimed by shared VIP '{KEY}' right now; try again in a moment" in refused

    tell(connection, story)


def test_whoever_joins_waits_for_the_last_one_that_is_about_to_leave(connection: Connection) -> None:
    """Its update is admitted, and not stored yet: with it stored, both would have the address."""

    async def story(scene: Scene) -> None:
        address = some_address()
        leaver = await last(scene, "web", address)
        assert messages(await scene.validate(leaving(leaver))) == ""

        joining = replace(scene.new("api", "443/TCP", load_balancer_ip=address), patience_seconds=0.2)
        assert "Service 'web' is being changed right now" in messages(await scene.validate(joining))
        assert await scene.claims() == [("web", "80/TCP")]
        await left(connection, "web")
        assert f"{address} is already held by Service 'web'" in messages(await scene.validate(joining))

    tell(connection, story)


def test_whoever_joins_waits_for_one_that_came_past_admission_too(connection: Connection) -> None:
    """It is in no ledger, and has no lock to say it on: admission gives it both first."""

    async def story(scene: Scene) -> None:
        address = some_address()
        leaver = await scene.stored("web", "80/TCP", loadBalancerIP=address)
        assert messages(await scene.validate(leaving(leaver))) == ""

        joining = replace(scene.new("api", "443/TCP", load_balancer_ip=address), patience_seconds=0.2)
        assert "Service 'web' is being changed right now" in messages(await scene.validate(joining))
        assert await scene.claims() == [("web", "80/TCP")]

    tell(connection, story)


def test_whoever_joins_waits_for_one_that_nothing_ever_let_in(connection: Connection) -> None:
    """It contradicts itself, so it joins no group before it leaves; the lock is made for its leave all the same."""

    async def story(scene: Scene) -> None:
        address, other = some_address(), some_address()
        both = {"ako.vmware.com/load-balancer-ip": other}
        await scene.stored("web", "80/TCP", loadBalancerIP=address)
        await connection.kubectl_async("annotate", "service", "web", *(f"{n}={v}" for n, v in both.items()))
        assert messages(await scene.validate(leaving(await scene.live("web")))) == ""
        assert await scene.claims() == []

        joining = replace(scene.new("api", "443/TCP", load_balancer_ip=address), patience_seconds=0.2)
        assert "Service 'web' is being changed right now" in messages(await scene.validate(joining))

    tell(connection, story)


def test_a_leave_over_an_old_version_takes_the_place_of_no_other(connection: Connection) -> None:
    """A slow webhook before us had kept it: the API server will not store it, but the one that was asked first."""

    async def story(scene: Scene) -> None:
        address = some_address()
        old = await last(scene, "web", address)
        await connection.kubectl_async("label", "service", "web", "a=b")
        assert messages(await scene.validate(leaving(await scene.live("web")))) == ""
        assert messages(await scene.validate(leaving(old))) == ""

        joining = replace(scene.new("api", "443/TCP", load_balancer_ip=address), patience_seconds=0.2)
        assert "Service 'web' is being changed right now" in messages(await scene.validate(joining))

    tell(connection, story)


def test_a_leave_that_was_not_stored_is_over_with_the_next_change(connection: Connection) -> None:
    """It was to replace another version: a newcomer is admitted, and then the address stays with the group."""

    async def story(scene: Scene) -> None:
        address = some_address()
        leaver = await last(scene, "web", address)
        assert messages(await scene.validate(leaving(leaver))) == ""
        await connection.kubectl_async("label", "service", "web", "a=b")

        assert messages(await scene.validate(scene.new("api", "443/TCP", load_balancer_ip=address))) == ""
        found = messages(await scene.validate(leaving(await scene.live("web"))))
        assert "is being claimed by shared VIP" in found

    tell(connection, story)


def test_a_leave_that_is_only_tried_keeps_nobody_waiting(connection: Connection) -> None:
    """A dry run."""

    async def story(scene: Scene) -> None:
        address = some_address()
        leaver = await last(scene, "web", address)

        assert messages(await scene.validate(replace(leaving(leaver), is_dry_run=True))) == ""
        assert messages(await scene.validate(scene.new("api", "443/TCP", load_balancer_ip=address))) == ""

    tell(connection, story)


@pytest.mark.parametrize("came_past_admission", [False, True])
def test_the_last_one_leaves_or_another_joins_never_both(connection: Connection, *, came_past_admission: bool) -> None:
    """At the same moment, on two replicas; and one of the two always may. Also one that is in no ledger yet."""

    async def story(scene: Scene) -> None:
        for number in range(ROUNDS):
            address, key = some_address(), f"group-{number}"
            if came_past_admission:
                leaver = await scene.stored(f"web-{number}", "80/TCP", key=key, loadBalancerIP=address)
            else:
                leaver = await scene.settled(f"web-{number}", "80/TCP", key=key, loadBalancerIP=address)
                assert await AddressLocks(scene.api).take(address, scene.group(key)) is None
            joining = scene.new(f"api-{number}", "443/TCP", key=key, load_balancer_ip=address)
            answers = await scene.race(*random.sample([leaving(leaver), joining], 2))
            assert [messages(answer) == "" for answer in answers].count(True) == 1, list(map(messages, answers))

    tell(connection, story, replicas=2)


def test_a_leave_that_is_refused_forgets_no_other(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same was asked meanwhile, and may still be stored: whoever joins goes on waiting.

    Found by ``make soak``, ``api-server-restarts``: who was refused wrote back that nobody leaves, as it had found it.
    """
    note_leaver = AddressLocks.note_leaver

    async def story(scene: Scene) -> None:
        address = some_address()
        leaver = await last(scene, "web", address)

        async def meanwhile(locks: AddressLocks, at: str, group: GroupName, who: Leaver, *, has_it: bool) -> None:
            await note_leaver(locks, at, group, who, has_it=has_it)
            patched.undo()
            assert messages(await scene.validate(leaving(leaver))) == ""
            await scene.stored("late", "444/TCP", loadBalancerIP=address)
            await scene.seen("late")

        with monkeypatch.context() as patched:
            patched.setattr(AddressLocks, "note_leaver", meanwhile)
            assert "is already held by shared VIP" in messages(await scene.validate(leaving(leaver)))

        joining = replace(scene.new("api", "443/TCP", load_balancer_ip=address), patience_seconds=0.2)
        assert "Service 'web' is being changed right now" in messages(await scene.validate(joining))

    tell(connection, story)


def test_nobody_waits_for_a_leaver_whose_caller_is_gone(connection: Connection) -> None:
    """As nothing is claimed for one."""

    async def gone() -> Message:
        return {"type": "http.disconnect"}

    async def story(scene: Scene) -> None:
        address = some_address()
        leaver = await last(scene, "web", address)
        with pytest.raises(CallerGoneError):
            await scene.validate(replace(leaving(leaver), caller=gone))

        assert messages(await scene.validate(scene.new("api", "443/TCP", load_balancer_ip=address))) == ""

    tell(connection, story)


class Meanwhile(KubernetesApi):
    """While it is asked for one Service in a look, which begins with another, something else happens."""

    first, then = "", ""
    has_begun = False
    happens: Callable[[], Awaitable[None]] | None = None

    async def request(self, method: str, path: str, **given: Any) -> bytes:  # noqa: ANN401 - whatever it takes
        """As ``KubernetesApi``."""
        self.has_begun |= method == "GET" and path.endswith(f"/services/{self.first}")
        is_it = self.has_begun and method == "GET" and path.endswith(f"/services/{self.then}")
        if self.happens is not None and is_it:
            happens, self.happens = self.happens, None
            await happens()
        return await super().request(method, path, **given)


@pytest.mark.parametrize("is_late", [False, True])
def test_who_leaves_while_a_newcomer_looks_is_seen(connection: Connection, *, is_late: bool) -> None:
    """Before the look its cache showed a member, after it a plain Service; one of the two must count.

    Also where the cache shows neither in time, and the look itself reads the plain Service.
    Found by ``make soak``, ``api-server-restarts``: the holders were of before, the members of after, so it was nobody.
    """

    async def story(api: KubernetesApi) -> None:
        live = await Meanwhile.connect(connection.cluster.kubeconfig, user_agent="sharedvip-test/1")
        async with AsyncExitStack() as stack:
            stack.push_async_callback(live.close)
            scene = Scene(api, connection.namespace, [await stack.enter_async_context(replica(api, live=live))])
            address, locks = some_address(), AddressLocks(api)
            leaver = await last(scene, "web", address)
            await scene.seen("web")
            assert messages(await scene.validate(leaving(leaver))) == ""
            if is_late:
                scene.replicas[0].freeze()

            async def it_leaves() -> None:
                await left(connection, "web")
                if not is_late:
                    await scene.until(lambda: scene.replicas[0].services.members(scene.group()) == ())
                await scene.store.leave(scene.group(), member_of(leaver))
                await locks.release(address, scene.group(), is_needed=nobody)

            live.first, live.then, live.happens = "api", "web", it_leaves
            joining = replace(scene.new("api", "443/TCP", load_balancer_ip=address), patience_seconds=0.5)
            assert messages(await scene.validate(joining)) != ""
            assert live.happens is None
            assert await scene.claims() == []

    connection.tell(story)
