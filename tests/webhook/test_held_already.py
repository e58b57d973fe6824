"""A Service whose address only a lock tells to be another's, on the real API server: looked at before it claims."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest

from cluster.api import KubernetesApi
from cluster.ip_addresses import AddressLocks
from cluster.shared_vip_documents import SharedVipStatus
from sharedvip.annotations import INTENDED_ADDRESS
from sharedvip.ledger import GRACE, grow, member_of
from sharedvip.model import AddressHolder, ServiceView, SharedValues
from sharedvip.parse import shared_values
from tests.builders import KEY, service
from tests.cluster.connection import Connection
from tests.webhook.replicas import DEADLINE_SECONDS, Scene, WaitingLocks, messages, now, replica, some_address, tell
from webhook.answer import Answer, Verdict

pytestmark = pytest.mark.e2e

ELSEWHERE: Final = "elsewhere"


async def on_a_strangers_address(scene: Scene) -> ServiceView:
    """A Service past admission, alone in its group; no cache shows the group that has the lock."""
    address = some_address()
    await AddressLocks(scene.api).take(address, scene.group(ELSEWHERE))
    late = await scene.stored("late", "80/TCP", loadBalancerIP=address)
    for by in range(len(scene.replicas)):
        await scene.seen("late", by=by)
    return late


async def claim(scene: Scene, view: ServiceView, *, age: timedelta = timedelta(), **said: Any) -> None:  # noqa: ANN401 - a claim's fields
    """All that a Service asks for, by somebody else, so long ago; ``said``: what else its claims say."""
    claims = tuple(one._replace(**said) for one in grow(None, view, old=None, now=now() - age))
    await scene.store.claim(scene.group(), member_of(view), shared=shared_values(view), claims=claims)
    await scene.until(lambda: scene.cached_claims() == claims)


async def held(scene: Scene) -> tuple[list[str], list[str]]:
    """The listeners that are claimed, and those that are reserved."""
    ledger = await scene.ledger()
    assert ledger is not None
    return [str(one.listener) for one in ledger.claims], [str(one.listener) for one in ledger.reserved]


def is_in_conflict(answer: Answer) -> bool:
    """Whether it was let through with its address as it is, and told so."""
    said = [one for one in answer.warnings if "still in conflict, spec.loadBalancerIP" in one]
    return answer.verdict is Verdict.ALLOWED and bool(said)


def test_what_somebody_is_about_to_give_back_accepts_nobody(connection: Connection) -> None:
    """The lock may have become another's since he looked; his claim is his to give back."""

    async def story(scene: Scene) -> None:
        late = await on_a_strangers_address(scene)
        await claim(scene, late)

        assert is_in_conflict(await scene.validate(scene.change(late, "80/TCP", "443/TCP")))
        assert await held(scene) == (["80/TCP"], ["443/TCP"])

    tell(connection, story)


def test_nobody_claims_meanwhile(connection: Connection) -> None:
    """A claim, until it is given back, is one that the reconciler builds by, and other updates are accepted by."""

    async def whole(api: KubernetesApi) -> None:
        locks = WaitingLocks(api)
        async with replica(api, locks=locks) as one:
            scene = Scene(api, connection.namespace, [one])
            late = await on_a_strangers_address(scene)
            setting = asyncio.create_task(scene.validate(scene.change(late, "80/TCP", infra_setting="fast")))
            await asyncio.wait_for(locks.is_met.wait(), DEADLINE_SECONDS)

            assert await scene.ledger() is None
            locks.may_go_on.set()
            assert is_in_conflict(await setting)
            assert await scene.ledger() is None

    connection.tell(whole)


class LateLook(AddressLocks):
    """At first it has nothing to tell; then another request for the Service may add a port."""

    scene: Scene
    adding = ""
    looks = 0

    async def held_by_another(self, *args: Any, **words: Any) -> AddressHolder | None:  # noqa: ANN401 - as it is called
        """As ``AddressLocks``."""
        self.looks += 1
        return await super().held_by_another(*args, **words) if self.looks > 1 else None

    async def take(self, *args: Any, **words: Any) -> AddressHolder | None:  # noqa: ANN401 - as it is called
        """As ``AddressLocks``."""
        if self.adding:
            late = await self.scene.live("late")
            assert is_in_conflict(await self.scene.validate(self.scene.change(late, "80/TCP", self.adding), by=1))
        return await super().take(*args, **words)


@pytest.mark.parametrize(
    "before",
    [
        pytest.param((), id="first"),
        pytest.param(("80/TCP",), id="after the janitor"),
        pytest.param(("80/TCP", "8443/TCP"), id="after another request"),
    ],
)
@pytest.mark.parametrize("port", ["53/UDP", "443/TCP"])
def test_who_is_overtaken_at_the_lock_gives_back_and_looks_again(
    connection: Connection, port: str, before: tuple[str, ...]
) -> None:
    """Between the look and the claim it became another's; what another request has reserved stays, and no more."""

    async def whole(api: KubernetesApi) -> None:
        locks = LateLook(api)
        async with replica(api, locks=locks) as one, replica(api) as other:
            scene = locks.scene = Scene(api, connection.namespace, [one, other])
            locks.adding, late = port, await on_a_strangers_address(scene)
            if before:
                await claim(scene, replace(late, ports=service("late", *before).ports))

            assert is_in_conflict(await scene.validate(scene.change(late, "80/TCP", "443/TCP")))
            reserved = {port, "443/TCP", *before} - {"80/TCP"}
            assert await held(scene) == ([], sorted(reserved, key=lambda one: int(one.partition("/")[0])))

    connection.tell(whole)


async def _has_a_setting_and_is_served(scene: Scene, late: ServiceView) -> SharedValues:
    """By an update that is on its way, so that it is not accepted as it is stored."""
    asked = replace(late, infra_setting="fast")
    await claim(scene, asked, replaces=late.resource_version)
    await lives(scene, late.load_balancer_ip)
    return shared_values(asked)


async def _had_another_address(scene: Scene, late: ServiceView) -> SharedValues:
    """A moment ago, when it was created; its own was changed past admission."""
    made = replace(late, load_balancer_ip=some_address())
    await claim(scene, made)
    return shared_values(made)


async def _is_a_member_for_long(scene: Scene, late: ServiceView) -> SharedValues:
    """Of a group that has lost its lock; it was asked for a moment ago, so that it is looked at."""
    await claim(scene, late, age=2 * GRACE, asked_at=now())
    return shared_values(late)


@pytest.mark.parametrize("stage", [_has_a_setting_and_is_served, _had_another_address, _is_a_member_for_long])
def test_what_is_no_part_of_it_is_given_back_whole(
    connection: Connection, stage: Callable[[Scene, ServiceView], Awaitable[SharedValues]]
) -> None:
    """Who is served, has another address, or has been in for long, does not lose that with what was in vain."""

    async def whole(api: KubernetesApi) -> None:
        locks = LateLook(api)
        async with replica(api, locks=locks) as one:
            scene = locks.scene = Scene(api, connection.namespace, [one])
            late = await on_a_strangers_address(scene)
            shared = await stage(scene, late)

            assert is_in_conflict(await scene.validate(scene.change(late, "80/TCP", "443/TCP")))
            ledger = await scene.ledger()
            assert ledger is not None
            assert (ledger.shared, locks.looks) == (shared, 2)
            assert await held(scene) == (["80/TCP"], ["443/TCP"])

    connection.tell(whole)


def test_who_meets_it_leaves_an_update_to_another_address_alone(connection: Connection) -> None:
    """That one was admitted meanwhile, with an address that is its own, and may be stored after this one's answer."""

    async def whole(api: KubernetesApi) -> None:
        locks = WaitingLocks(api)
        async with replica(api) as one, replica(api, locks=locks) as slow:
            scene = Scene(api, connection.namespace, [one, slow])
            late, free = await on_a_strangers_address(scene), some_address()
            adds = asyncio.create_task(scene.validate(scene.change(late, "80/TCP", "443/TCP"), by=1))
            await asyncio.wait_for(locks.is_met.wait(), DEADLINE_SECONDS)
            moved = await scene.validate(scene.change(late, "80/TCP", load_balancer_ip=free))
            locks.may_go_on.set()

            assert messages(moved) == ""
            assert is_in_conflict(await adds)
            ledger = await scene.ledger()
            assert ledger is not None
            assert (ledger.shared.static_address, await scene.lock_of(free)) == (free, KEY)
            assert await held(scene) == (["80/TCP"], ["443/TCP"])

    connection.tell(whole)


def test_a_member_that_is_served_keeps_what_it_has(connection: Connection) -> None:
    """Its address was changed past admission: it lives on the one before, and what it adds waits."""

    async def story(scene: Scene) -> None:
        served = await scene.settled("late", "80/TCP", loadBalancerIP=some_address())
        stranger = some_address()
        await AddressLocks(scene.api).take(stranger, scene.group(ELSEWHERE))
        patch = f'{{"spec":{{"loadBalancerIP":"{stranger}"}}}}'
        await connection.kubectl_async("patch", "service", "late", "--type=merge", f"-p={patch}")
        late = await scene.live("late")
        await scene.until(lambda: late in scene.replicas[0].services.by_address(stranger))

        assert is_in_conflict(await scene.validate(scene.change(late, "80/TCP", "443/TCP")))
        ledger = await scene.ledger()
        assert ledger is not None
        assert ledger.shared == shared_values(served)
        assert await held(scene) == (["80/TCP"], ["443/TCP"])

    tell(connection, story)


async def lives(scene: Scene, vip: str) -> None:
    """The reconciler says where the group is served."""
    ledger = await scene.ledger()
    assert ledger is not None
    status = SharedVipStatus(is_ready=True, reason="Ready", message="", vip=vip)
    await scene.store.report(ledger.name, status, now=now())
    await scene.until(lambda: (known := scene.replicas[0].ledgers.get(scene.group())) is not None and known.vip == vip)


@pytest.mark.parametrize("is_served", [False, True])
def test_so_does_one_whose_lock_a_hand_gave_away(connection: Connection, *, is_served: bool) -> None:
    """What it has claimed for long is nobody's to give back, nor what it claimed a moment ago; served, it gets more."""

    async def story(scene: Scene) -> None:
        late = await on_a_strangers_address(scene)
        await claim(scene, late, age=2 * GRACE)
        if is_served:
            await lives(scene, late.load_balancer_ip)
        assert messages(await scene.validate(scene.change(late, "80/TCP", "443/TCP"))) == ""

        again = await scene.validate(scene.change(late, "80/TCP", "443/TCP"))
        assert (messages(again), is_in_conflict(again)) == ("", not is_served)
        assert await held(scene) == (["80/TCP", "443/TCP"], [])
        ports = '{"spec":{"ports":[{"port":80,"name":"a"},{"port":443,"name":"b"}]}}'
        await connection.kubectl_async("patch", "service", "late", "--type=merge", f"-p={ports}")

        other = await scene.validate(scene.change(await scene.live("late"), "80/TCP", "53/UDP"))
        assert (messages(other), is_in_conflict(other)) == ("", not is_served)
        claimed, reserved = ["80/TCP", "443/TCP"], ["53/UDP"]
        assert await held(scene) == ((["53/UDP", *claimed], []) if is_served else (claimed, reserved))

    tell(connection, story)


def test_who_is_served_on_an_address_does_not_have_it_for_that(connection: Connection) -> None:
    """A group without a static address asks for the one that it was given: by then it may be locked for another."""

    async def story(scene: Scene) -> None:
        given, web = some_address(), await scene.settled("web", "80/TCP")
        await scene.seen("web")
        await lives(scene, given)
        await AddressLocks(scene.api).take(given, scene.group(ELSEWHERE))

        refused = await scene.validate(scene.change(web, "80/TCP", load_balancer_ip=given))

        assert refused.rules == ("static-address-taken",)

    tell(connection, story)


async def is_built(scene: Scene) -> None:
    """By our reconciler: the group may be moved."""
    ledger = await scene.ledger()
    assert ledger is not None
    await scene.store.put_finalizer(ledger)
    group = scene.group()
    await scene.until(lambda: (known := scene.replicas[0].ledgers.get(group)) is not None and known.has_finalizer)


def test_where_it_is_bound_for_a_strangers_address_no_other_is_locked(connection: Connection) -> None:
    """What it has is looked at first, also where it only intends it: a new one would be locked for nothing."""

    async def story(scene: Scene) -> None:
        stranger, fresh = some_address(), some_address()
        await AddressLocks(scene.api).take(stranger, scene.group(ELSEWHERE))
        await scene.settled("late", "80/TCP", loadBalancerIP=some_address())
        await is_built(scene)
        await connection.kubectl_async("annotate", "service", "late", f"{INTENDED_ADDRESS}={stranger}")
        asked = scene.change(await scene.live("late"), "80/TCP", load_balancer_ip=fresh, intended_address=stranger)

        answer = await scene.validate(asked)

        assert answer.verdict is Verdict.ALLOWED
        assert any(f"still in conflict, metadata.annotations[{INTENDED_ADDRESS}]" in one for one in answer.warnings)
        assert await scene.lock_of(fresh) is None

    tell(connection, story)


def test_what_is_new_about_it_must_be_nobodys(connection: Connection) -> None:
    """Its own address stays in conflict as it was; the one that it is to move to was not there before."""

    async def story(scene: Scene) -> None:
        late, other = await on_a_strangers_address(scene), some_address()
        await claim(scene, late)
        await is_built(scene)
        moving = scene.change(late, "80/TCP", intended_address=other)
        assert is_in_conflict(await scene.validate(moving))

        await AddressLocks(scene.api).take(other, scene.group(ELSEWHERE))
        refused = await scene.validate(moving)

        assert refused.rules == ("static-address-taken",)
        assert other in messages(refused)

    tell(connection, story)


def test_who_has_not_stored_yet_what_it_locked_may_give_it_up(connection: Connection) -> None:
    """The warning says that it is on its way, as a refusal would."""

    async def story(scene: Scene) -> None:
        late = await on_a_strangers_address(scene)
        scene.replicas[0].freeze()
        ghost = scene.new("ghost", "80/TCP", key=ELSEWHERE, load_balancer_ip=late.load_balancer_ip).candidate
        claims = grow(None, ghost, old=None, now=now())
        await scene.store.claim(scene.group(ELSEWHERE), member_of(ghost), shared=shared_values(ghost), claims=claims)

        answer = await scene.validate(scene.change(late, "80/TCP", "443/TCP"))

        assert is_in_conflict(answer)
        assert any("is being claimed by shared VIP 'elsewhere' right now" in one for one in answer.warnings)

    tell(connection, story)
