"""The cache of ledgers follows the real API server."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import yaml

from cluster.api import KubernetesApi
from cluster.shared_vip_cache import SharedVipCache
from cluster.shared_vip_documents import SharedVipStatus
from cluster.shared_vips import SharedVipStore
from sharedvip.ledger import Ledger
from tests.cluster.connection import Connection
from tests.cluster.following import becomes
from tests.cluster.ledgers import NOW, SOME_ADDRESS, Claimant, group_in, member

pytestmark = pytest.mark.e2e

DEADLINE_SECONDS = 20.0


@asynccontextmanager
async def running(cache: SharedVipCache) -> AsyncGenerator[SharedVipCache]:
    """A cache that has synced and follows."""
    task = asyncio.create_task(cache.run())
    try:
        await asyncio.wait_for(cache.reflector.synced(), DEADLINE_SECONDS)
        yield cache
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def own(cache: SharedVipCache, connection: Connection) -> tuple[Ledger, ...]:
    """The ledgers of the test's namespace."""
    return tuple(ledger for ledger in cache.all() if ledger.name.namespace == connection.namespace)


def test_it_shows_what_was_there_and_what_comes(connection: Connection) -> None:
    """By name, and as the store reads it."""

    async def story(api: KubernetesApi) -> None:
        first, second = (Claimant(SharedVipStore(api), group_in(connection.namespace, key)) for key in ("a", "B_b"))
        await first.claim(member("web"), "80/TCP", shared=SOME_ADDRESS)
        cache = SharedVipCache(api)
        assert not cache.has_synced
        async with running(cache):
            assert cache.has_synced
            assert cache.staleness_seconds() < DEADLINE_SECONDS
            assert cache.get(first.group) == await first.read()
            assert cache.get(second.group) is None
            await second.claim(member("api"), "81/TCP")
            await becomes(cache.reflector, lambda: cache.get(second.group) is not None)
            assert own(cache, connection) == (await second.read(), await first.read())

    connection.tell(story)


def test_an_address_is_found_while_it_is_claimed_or_lived_on(connection: Connection) -> None:
    """And forgotten with the last of both."""

    async def story(api: KubernetesApi) -> None:
        group = Claimant(SharedVipStore(api), group_in(connection.namespace))
        said = SharedVipStatus(is_ready=True, reason="Programmed", message="", vip="10.0.0.2")
        async with running(SharedVipCache(api)) as cache:

            def found(address: str) -> bool:
                return group.group in cache.by_address(address)

            await group.claim(member("web"), "80/TCP", shared=SOME_ADDRESS)
            await becomes(cache.reflector, lambda: found("10.0.0.1"))
            await group.store.report(group.group, said, now=NOW)
            await becomes(cache.reflector, lambda: found("10.0.0.2") and found("10.0.0.1"))
            await group.store.leave(group.group, member("web"))
            await becomes(cache.reflector, lambda: not found("10.0.0.1"))
            assert found("10.0.0.2")
            await group.store.remove(await group.read())
            await becomes(cache.reflector, lambda: not found("10.0.0.2"))

        assert cache.get(group.group) is None
        assert own(cache, connection) == ()

    connection.tell(story)


def test_changes_are_told_after_the_indexes_know_them(connection: Connection) -> None:
    """Who is told may look around at once."""

    async def story(api: KubernetesApi) -> None:
        group = Claimant(SharedVipStore(api), group_in(connection.namespace))
        told: list[tuple[Ledger | None, Ledger | None]] = []
        async with running(SharedVipCache(api)) as cache:

            def listen(old: Ledger | None, new: Ledger | None) -> None:
                if (old or new or Ledger(group.group)).name == group.group:
                    assert cache.get(group.group) == new
                    assert own(cache, connection) == (() if new is None else (new,))
                    told.append((old, new))

            cache.subscribe(listen)
            ledger = await group.claim(member("web"), "80/TCP")
            await becomes(cache.reflector, lambda: len(told) == 1)
            await group.store.remove(ledger)
            await becomes(cache.reflector, lambda: len(told) == 2)

        assert told == [(None, ledger), (ledger, None)]

    connection.tell(story)


def test_an_object_under_a_wrong_hash_is_nobodys_ledger(connection: Connection) -> None:
    """The schema cannot compute the hash; whoever writes such an object by hand changes nothing."""
    squatter = {
        "apiVersion": "sharedvip.dev/v1alpha1",
        "kind": "SharedVIP",
        "metadata": {"name": "web.0123456789abcdef"},
        "spec": {"key": "Web"},
    }
    connection.kubectl("create", "--filename=-", input=yaml.safe_dump(squatter))

    async def story(api: KubernetesApi) -> None:
        group = Claimant(SharedVipStore(api), group_in(connection.namespace, "Web"))
        async with running(SharedVipCache(api)) as cache:
            assert own(cache, connection) == ()
            ledger = await group.claim(member("web"), "80/TCP")
            await becomes(cache.reflector, lambda: own(cache, connection) == (ledger,))

    connection.tell(story)
