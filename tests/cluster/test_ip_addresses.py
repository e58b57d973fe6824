"""Locks on addresses, on the real API server: one holder in the whole cluster, and nobody else's touched."""

import asyncio
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address

import pytest

from cluster.api import KubernetesApi
from cluster.errors import Invalid, Unreachable
from cluster.ip_address_documents import HeldAddress
from cluster.ip_addresses import AddressLocks
from cluster.leavers import BeingLeftError, Leaver
from sharedvip.leaving import KEPT
from sharedvip.ledger import GRACE
from sharedvip.model import AddressHolder
from tests.cluster.connection import Connection
from tests.cluster.ledgers import group_in

pytestmark = pytest.mark.e2e


def some_ipv4() -> str:
    """One of 131,072 that nobody else has: RFC 2544's range for tests."""
    return str(IPv4Address("198.18.0.0") + secrets.randbelow(2**17))


def some_ipv6() -> str:
    """One of RFC 3849's range for documentation."""
    return str(IPv6Address("2001:db8::") + secrets.randbelow(2**64))


async def no(leavers: tuple[Leaver, ...]) -> bool:
    """Nobody needs the lock."""
    del leavers
    return False


FAMILIES = pytest.mark.parametrize("some_address", [some_ipv4, some_ipv6], ids=["IPv4", "IPv6"])


@FAMILIES
def test_the_first_group_gets_it_and_the_second_is_told_who(
    connection: Connection, some_address: Callable[[], str]
) -> None:
    """Also under keys that are no names; taking again what one has is nothing."""
    address, first, second = some_address(), group_in(connection.namespace, "One"), group_in("elsewhere", "two")

    async def story(api: KubernetesApi) -> None:
        locks = AddressLocks(api)
        assert await locks.take(address, first) is None
        assert await locks.take(address, first) is None
        assert await locks.take(address, second) == AddressHolder(connection.namespace, key="One")
        assert HeldAddress(address, first) in await locks.list_ours()
        await locks.release(address, second, is_needed=no)
        assert await locks.take(address, second) == AddressHolder(connection.namespace, key="One")
        await locks.release(address, first, is_needed=no)
        assert await locks.take(address, second) is None
        await locks.release(address, second, is_needed=no)

        assert address not in {held.address for held in await locks.list_ours()}

    connection.tell(story)


@FAMILIES
def test_whoever_would_be_told_may_ask_before(connection: Connection, some_address: Callable[[], str]) -> None:
    """It makes nothing, and writes nothing."""
    address, group = some_address(), group_in(connection.namespace, "one")

    async def story(api: KubernetesApi) -> None:
        writes: list[str] = []
        locks = AddressLocks(api, on_write=lambda: writes.append(address))
        assert await locks.held_by_another(address, group) is None
        assert (await locks.owner(address), writes) == (None, [])
        await locks.take(address, group)
        assert await locks.held_by_another(address, group) is None
        assert await locks.held_by_another(address, group_in("elsewhere", "two")) == AddressHolder(
            connection.namespace, key="one"
        )
        await locks.release(address, group, is_needed=no)

    connection.tell(story)


@pytest.mark.parametrize("is_expected", [False, True], ids=["written first", "looked at first"])
def test_a_lock_that_is_there_is_looked_at_and_one_that_is_not_is_written(
    connection: Connection, *, is_expected: bool
) -> None:
    """Who joins a group with an address costs no second write; whatever was expected, the answer is the same."""
    address, first, second = some_ipv4(), group_in(connection.namespace, "one"), group_in(connection.namespace, "two")

    async def story(api: KubernetesApi) -> None:
        writes: list[str] = []
        locks = AddressLocks(api, on_write=lambda: writes.append("lock"))
        assert await locks.take(address, first, is_expected=is_expected) is None
        assert len(writes) == 1
        assert await locks.take(address, first, is_expected=is_expected) is None
        assert await locks.take(address, second, is_expected=is_expected) == AddressHolder(
            connection.namespace, key="one"
        )
        assert len(writes) == (1 if is_expected else 3)
        await locks.release(address, first, is_needed=no)

    connection.tell(story)


class NotLeadingError(Exception):
    """The Lease is somebody else's by now."""


def test_who_may_not_write_changes_nothing(connection: Connection) -> None:
    """A janitor that was deposed neither makes a lock, nor lets one go, nor notes anything on it."""
    address, other, group = some_ipv4(), some_ipv4(), group_in(connection.namespace)
    leaver = Leaver("web", "1", "2", datetime(2026, 1, 1, tzinfo=UTC), "first")

    def no_more() -> None:
        raise NotLeadingError

    async def story(api: KubernetesApi) -> None:
        locks, deposed = AddressLocks(api), AddressLocks(api, on_write=no_more)
        await locks.note_leaver(address, group, leaver)
        before = connection.kubectl("get", "ipaddress", address, "-o", "jsonpath={.metadata.resourceVersion}")
        for asked in (
            deposed.take(other, group),
            deposed.release(address, group, is_needed=no),
            deposed.note_leaver(address, group, leaver._replace(request="second")),
            deposed.forget_leaver(address, group, leaver),
        ):
            with pytest.raises(NotLeadingError):
                await asked
        after = connection.kubectl("get", "ipaddress", address, "-o", "jsonpath={.metadata.resourceVersion}")
        assert after == before
        assert await locks.owner(other) is None
        await locks.release(address, group, is_needed=no)

    connection.tell(story)


def test_of_many_groups_at_once_exactly_one_gets_it(connection: Connection) -> None:
    """Creating the object is the lock; all others are told the winner."""
    address = some_ipv4()
    groups = [group_in(connection.namespace, f"group-{i}") for i in range(16)]

    async def story(api: KubernetesApi) -> None:
        locks = AddressLocks(api)
        holders = await asyncio.gather(*(locks.take(address, group) for group in groups))
        winners = [group for group, holder in zip(groups, holders, strict=True) if holder is None]
        assert len(winners) == 1
        assert {holder.key for holder in holders if holder} == {winners[0].key}
        await locks.release(address, winners[0], is_needed=no)

    connection.tell(story)


def test_a_dry_run_tells_and_takes_nothing(connection: Connection) -> None:
    """The same answers as the real one."""
    address, first, second = some_ipv4(), group_in(connection.namespace, "one"), group_in(connection.namespace, "two")

    async def story(api: KubernetesApi) -> None:
        writes: list[str] = []
        locks = AddressLocks(api, on_write=lambda: writes.append("lock"))
        assert await locks.take(address, first, dry_run=True) is None
        assert writes == []
        assert await locks.take(address, second) is None
        assert writes == ["lock"]
        holder = AddressHolder(connection.namespace, key="two")
        assert await locks.take(address, first, dry_run=True) == holder
        await locks.release(address, second, is_needed=no)

    connection.tell(story)


def test_a_cluster_ip_is_taken_by_its_service(connection: Connection) -> None:
    """Kubernetes keeps cluster IPs in the same place; they are neither released nor listed by us."""
    address = connection.cluster.run_kubectl(
        "get", "service", "kubernetes", "--output=jsonpath={.spec.clusterIP}"
    ).stdout
    group = group_in(connection.namespace)

    async def story(api: KubernetesApi) -> None:
        locks = AddressLocks(api)
        holder = AddressHolder("default", service="kubernetes")
        assert await locks.take(address, group) == holder
        await locks.release(address, group, is_needed=no)
        assert await locks.take(address, group) == holder
        assert address not in {held.address for held in await locks.list_ours()}

    connection.tell(story)


def test_what_is_not_canonical_cannot_be_locked(connection: Connection) -> None:
    """Or one address could be locked twice."""

    async def story(api: KubernetesApi) -> None:
        with pytest.raises(Invalid):
            await AddressLocks(api).take("2001:DB8::1", group_in(connection.namespace))

    connection.tell(story)


def test_releasing_what_nobody_holds_is_nothing(connection: Connection) -> None:
    """A release may come twice."""

    async def story(api: KubernetesApi) -> None:
        assert await AddressLocks(api).release(some_ipv6(), group_in(connection.namespace), is_needed=no) == "not held"

    connection.tell(story)


@pytest.mark.parametrize(
    ("annotation", "is_known"),
    [
        pytest.param("sharedvip.dev/key-", False, id="taken off"),
        pytest.param("sharedvip.dev/key=Other", False, id="of another group"),
    ],
)
def test_a_key_that_was_edited_is_not_believed(connection: Connection, annotation: str, *, is_known: bool) -> None:
    """The parent decides whose lock it is; without the key nobody can tell the group, but it can still release."""
    address, group = some_ipv4(), group_in(connection.namespace, "One")

    async def story(api: KubernetesApi) -> None:
        locks = AddressLocks(api)
        await locks.take(address, group)
        await asyncio.to_thread(
            connection.cluster.run_kubectl, "annotate", "ipaddress", address, annotation, "--overwrite"
        )
        assert (address in {held.address for held in await locks.list_ours()}) is is_known
        assert await locks.take(address, group) is None
        await locks.release(address, group, is_needed=no)
        assert await locks.take(address, group_in(connection.namespace, "two"), dry_run=True) is None

    connection.tell(story)


def test_a_lock_that_is_needed_again_stays(connection: Connection) -> None:
    """Somebody claims the address while its lock is being released: the live look sees it, and nothing happened."""
    address, group = some_ipv4(), group_in(connection.namespace)

    async def yes(leavers: tuple[Leaver, ...]) -> bool:
        return not leavers

    async def story(api: KubernetesApi) -> None:
        locks = AddressLocks(api)
        await locks.take(address, group)
        assert await locks.release(address, group, is_needed=yes) == "needed"
        assert await locks.take(address, group) is None
        assert await locks.release(address, group, is_needed=no) == "unlocked"

    connection.tell(story)


def test_who_finds_a_lock_leaving_waits_and_locks_anew(connection: Connection) -> None:
    """It must not go on with a lock that is gone a moment later: found by thinking through the two steps."""
    address, group, other = some_ipv4(), group_in(connection.namespace, "one"), group_in(connection.namespace, "two")

    async def story(api: KubernetesApi) -> None:
        locks = AddressLocks(api)
        await locks.take(address, group)
        waiting: list[asyncio.Task[AddressHolder | None]] = []

        async def take_meanwhile(leavers: tuple[Leaver, ...]) -> bool:
            assert leavers == ()
            waiting.append(asyncio.create_task(locks.take(address, group)))
            done, _ = await asyncio.wait(waiting, timeout=0.2)
            assert not done, "a lock that is leaving was taken for one's own"
            return False

        assert await locks.release(address, group, is_needed=take_meanwhile) == "unlocked"
        assert await waiting[0] is None
        assert await locks.take(address, other) == AddressHolder(connection.namespace, key="one")
        await locks.release(address, group, is_needed=no)

    connection.tell(story)


def test_a_lock_that_never_leaves_is_no_answer(connection: Connection) -> None:
    """The reconciler died in between: nobody knows, until it is back."""
    address, group = some_ipv4(), group_in(connection.namespace)

    async def story(api: KubernetesApi) -> None:
        locks = AddressLocks(api)
        await locks.take(address, group)
        await asyncio.to_thread(
            connection.cluster.run_kubectl, "annotate", "ipaddress", address, "sharedvip.dev/leaving=true"
        )
        with pytest.raises(Unreachable):
            await locks.take(address, group)
        assert await locks.release(address, group, is_needed=no) == "unlocked"

    connection.tell(story)


@pytest.mark.parametrize(
    "annotation",
    [
        pytest.param("sharedvip.dev/leaver=rubbish", id="too little"),
        pytest.param("sharedvip.dev/leaver=web/1/2/soon/x", id="no time"),
        pytest.param("sharedvip.dev/leaver=a/b/c/d/e/f g/", id="too much"),
        pytest.param("sharedvip.dev/leaver-", id="taken off"),
    ],
)
def test_who_leaves_with_an_address_is_told_by_its_lock(connection: Connection, annotation: str) -> None:
    """To who minds it, until it is taken back; what a hand wrote that nobody can read is nobody."""
    address, group = some_ipv4(), group_in(connection.namespace, "one")
    leaver = Leaver("web", "1", "2", datetime(2026, 1, 1, tzinfo=UTC), "first")

    async def story(api: KubernetesApi) -> None:
        locks = AddressLocks(api)
        assert await locks.take(address, group) is None
        await locks.note_leaver(address, group, leaver)
        assert await locks.take(address, group) is None
        with pytest.raises(BeingLeftError) as told:
            await locks.take(address, group, minds_leaver=True)
        assert told.value.leavers == (leaver,)
        await asyncio.to_thread(
            connection.cluster.run_kubectl, "annotate", "ipaddress", address, annotation, "--overwrite"
        )
        assert await locks.take(address, group, minds_leaver=True) is None
        await locks.release(address, group, is_needed=no)

    connection.tell(story)


def test_each_leaver_takes_back_what_it_said_itself(connection: Connection) -> None:
    """Also of two requests for the same; nobody has the lock, so the first of them makes it. The old ones go."""
    address, group = some_ipv4(), group_in(connection.namespace)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    leavers = [Leaver("web", "1", "2", now, f"{n}") for n in range(8)]
    old = Leaver("web", "1", "1", now - GRACE - 2 * KEPT, "old")
    # Its update is stored or never comes; where it was stored, the lock is to tell of it until all have seen it.
    stored = Leaver("api", "1", "1", now - KEPT, "stored")

    async def story(api: KubernetesApi) -> None:
        locks = AddressLocks(api)
        await locks.note_leaver(address, group, old)
        await locks.note_leaver(address, group, stored)
        await asyncio.gather(*(locks.note_leaver(address, group, one) for one in leavers))
        with pytest.raises(BeingLeftError) as told:
            await locks.take(address, group, minds_leaver=True)
        assert sorted(told.value.leavers) == [stored, *leavers]

        await locks.forget_leaver(address, group, stored)
        await asyncio.gather(*(locks.forget_leaver(address, group, one) for one in leavers[1:]))
        with pytest.raises(BeingLeftError) as told:
            await locks.take(address, group, minds_leaver=True)
        assert told.value.leavers == (leavers[0],)
        await locks.forget_leaver(address, group, leavers[0])
        assert await locks.take(address, group, minds_leaver=True) is None
        await locks.release(address, group, is_needed=no)
        await locks.forget_leaver(address, group, leavers[0])

    connection.tell(story)


def test_who_unlocks_is_told_who_leaves(connection: Connection) -> None:
    """Its lock must not go while the leave may be stored: a new one would not say it."""
    address, group = some_ipv4(), group_in(connection.namespace)
    leaver = Leaver("web", "1", "2", datetime(2026, 1, 1, tzinfo=UTC), "first")
    told = list[Leaver]()

    async def is_needed(leavers: tuple[Leaver, ...]) -> bool:
        told.extend(leavers)
        return True

    async def story(api: KubernetesApi) -> None:
        locks = AddressLocks(api)
        await locks.note_leaver(address, group, leaver)
        assert await locks.release(address, group, is_needed=is_needed) == "needed"
        assert told == [leaver]
        await locks.release(address, group, is_needed=no)

    connection.tell(story)
