"""A Service in conflict that adds a port, on the real API server: the port is its own, and nothing else becomes so."""

import asyncio
from typing import Final

import pytest

from cluster.api import KubernetesApi
from cluster.ip_addresses import AddressLocks
from sharedvip.ledger import member_of
from sharedvip.model import ServiceView, SharedValues
from tests.builders import KEY
from tests.cluster.connection import Connection
from tests.webhook.replicas import DEADLINE_SECONDS, Scene, WaitingLocks, messages, replica, some_address, tell
from webhook.answer import Verdict

pytestmark = pytest.mark.e2e

LATE, IN_TIME = 0, 1
"""A replica of which the cache has stopped, and one that follows."""
BEING_CHANGED: Final = (
    f"spec.ports[0]: 443/TCP is being claimed on shared VIP '{KEY}' by Service 'late', which is being changed "
    "right now; try again in a moment, or choose another port [duplicate-port]"
)


async def reserved(scene: Scene, key: str = KEY) -> list[tuple[str, str]]:
    """What is kept for Services in conflict."""
    ledger = await scene.ledger(key)
    return [(claim.service, str(claim.listener)) for claim in ledger.reserved] if ledger else []


async def in_conflict(scene: Scene, name: str = "late") -> ServiceView:
    """A Service that has the port of member ``web``, past admission."""
    if await scene.ledger() is None:
        await scene.settled("web", "80/TCP")
    late = await scene.stored(name, "80/TCP")
    for by in range(len(scene.replicas)):
        await scene.seen(name, by=by)
    return late


def test_a_rival_in_the_same_moment_is_refused(connection: Connection) -> None:
    """Also by a replica that knows nothing of it yet; what the group shares is the members' to say."""

    async def story(scene: Scene) -> None:
        late = await in_conflict(scene)
        scene.replicas[LATE].freeze()

        admitted = await scene.validate(scene.change(late, "80/TCP", "443/TCP"), by=IN_TIME)
        refused = await scene.validate(scene.new("rival", "443/TCP"), by=LATE)

        assert (admitted.verdict, admitted.claimed) == (Verdict.ALLOWED, f"{KEY}: 443/TCP")
        assert any("still in conflict" in warning for warning in admitted.warnings)
        assert messages(refused) == BEING_CHANGED
        assert await scene.claims() == [("web", "80/TCP")]
        assert await reserved(scene) == [("late", "443/TCP")]

    tell(connection, story, replicas=2)


def test_of_two_in_conflict_that_add_one_port_one_gets_it(connection: Connection) -> None:
    """Whoever asks first, on whatever replica."""

    async def story(scene: Scene) -> None:
        both = [await in_conflict(scene, name) for name in ("late", "later")]

        answers = await scene.race(*(scene.change(one, "80/TCP", "443/TCP") for one in both))

        assert sorted(answer.verdict for answer in answers) == [Verdict.ALLOWED, Verdict.DENIED]
        assert len(await reserved(scene)) == 1

    tell(connection, story, replicas=2)


def test_a_group_that_conflicts_as_a_whole_has_a_ledger_for_it(connection: Connection) -> None:
    """Which says nothing of what the group shares: nobody is a member."""

    async def story(scene: Scene) -> None:
        address = some_address()
        late = await scene.stored("late", "80/TCP", loadBalancerIP=address)
        await scene.stored("other", "80/TCP", loadBalancerIP=address)
        await scene.seen("other")

        assert messages(await scene.validate(scene.change(late, "80/TCP", "443/TCP"))) == ""
        founded = await scene.ledger()
        assert founded is not None
        assert (founded.members, founded.shared) == ((), SharedValues())
        rival = await scene.validate(scene.new("rival", "443/TCP", load_balancer_ip=address))
        fits = await scene.validate(scene.new("fits", "444/TCP", load_balancer_ip=address))

        assert messages(rival) == BEING_CHANGED
        assert messages(fits) == ""
        ledger = await scene.ledger()
        assert ledger is not None
        assert ledger.shared == SharedValues(address)
        assert (await scene.claims(), await reserved(scene)) == ([("fits", "444/TCP")], [("late", "443/TCP")])

    tell(connection, story)


def test_once_it_fits_all_is_claimed(connection: Connection) -> None:
    """Also what a request before may yet be stored with."""

    async def story(scene: Scene) -> None:
        late = await in_conflict(scene)
        await scene.validate(scene.change(late, "80/TCP", "443/TCP"))

        assert messages(await scene.validate(scene.change(late, "444/TCP"))) == ""
        assert await scene.claims() == [("web", "80/TCP"), ("late", "443/TCP"), ("late", "444/TCP")]
        assert await reserved(scene) == []

    tell(connection, story)


def test_a_second_addition_keeps_the_first(connection: Connection) -> None:
    """Which of the two will be stored is not ours to know."""

    async def story(scene: Scene) -> None:
        late = await in_conflict(scene)
        await scene.validate(scene.change(late, "80/TCP", "443/TCP"))

        assert messages(await scene.validate(scene.change(late, "80/TCP", "444/TCP"))) == ""
        assert await reserved(scene) == [("late", "443/TCP"), ("late", "444/TCP")]

    tell(connection, story)


def test_what_is_never_stored_is_free_at_once(connection: Connection) -> None:
    """The Service has another version by now: no janitor is needed."""

    async def story(scene: Scene) -> None:
        late = await in_conflict(scene)
        await scene.validate(scene.change(late, "80/TCP", "443/TCP"))
        await connection.kubectl_async("label", "service", "late", "team=a")

        assert messages(await scene.validate(scene.new("rival", "443/TCP"))) == ""
        assert await scene.claims() == [("web", "80/TCP"), ("rival", "443/TCP")]
        assert await reserved(scene) == []

    tell(connection, story)


def test_a_member_that_got_a_port_past_admission_keeps_what_it_claims(connection: Connection) -> None:
    """It has its say in what the group shares as before; what it adds is served once it fits."""

    async def story(scene: Scene) -> None:
        address = some_address()
        await scene.settled("web", "80/TCP", loadBalancerIP=address)
        await scene.settled("late", "81/TCP", loadBalancerIP=address)
        ports = '{"spec":{"ports":[{"port":81,"name":"a"},{"port":80,"name":"b"}]}}'
        await connection.kubectl_async("patch", "service", "late", "--type=merge", f"-p={ports}")
        late = await scene.live("late")

        assert messages(await scene.validate(scene.change(late, "81/TCP", "80/TCP", "443/TCP"))) == ""
        ledger = await scene.ledger()
        assert ledger is not None
        assert ledger.shared == SharedValues(address)
        assert await scene.claims() == [("web", "80/TCP"), ("late", "81/TCP")]
        assert await reserved(scene) == [("late", "443/TCP")]
        await scene.store.leave(scene.group(), ledger.members[1])
        assert ledger.members[1].service == "web"
        left = await scene.ledger()
        assert left is not None
        assert (left.shared, left.members) == (SharedValues(address), (member_of(late),))

    tell(connection, story)


def test_a_dry_run_reserves_nothing(connection: Connection) -> None:
    """And answers as the request itself would be."""

    async def story(scene: Scene) -> None:
        late = await in_conflict(scene)

        assert messages(await scene.validate(scene.change(late, "80/TCP", "443/TCP", dry_run=True))) == ""
        assert await reserved(scene) == []
        assert messages(await scene.validate(scene.new("web2", "443/TCP"))) == ""
        dry = await scene.validate(scene.change(late, "80/TCP", "443/TCP", dry_run=True))
        assert "443/TCP is being claimed" in messages(dry)

    tell(connection, story)


def test_who_is_about_to_claim_the_port_is_waited_for(connection: Connection) -> None:
    """What a member claims, nobody in conflict adds; of one that takes no part in it, nothing is asked."""

    async def story(scene: Scene) -> None:
        late = await in_conflict(scene)
        await scene.validate(scene.new("rival", "443/TCP"))

        refused = await scene.validate(scene.change(late, "80/TCP", "443/TCP"))
        fewer = await scene.validate(scene.change(late, "80/TCP"))

        assert "443/TCP is being claimed on shared VIP" in messages(refused)
        assert (fewer.verdict, fewer.claimed) == (Verdict.ALLOWED, "")
        assert await reserved(scene) == []

    tell(connection, story)


def test_so_is_who_has_the_address_of_a_stranger(connection: Connection) -> None:
    """No rule knows of the stranger, only the lock: what it claims it gives back, but not what it adds."""

    async def story(scene: Scene) -> None:
        address = some_address()
        await AddressLocks(scene.api).take(address, scene.group("elsewhere"))
        late = await scene.stored("late", "80/TCP", loadBalancerIP=address)
        await scene.seen("late")
        scene.replicas[LATE].freeze()

        admitted = await scene.validate(scene.change(late, "80/TCP", "443/TCP"), by=IN_TIME)
        same = await scene.validate(scene.change(late, "80/TCP", infra_setting="fast"), by=IN_TIME)
        refused = await scene.validate(scene.new("rival", "443/TCP", load_balancer_ip=address), by=LATE)

        assert (admitted.verdict, admitted.claimed) == (Verdict.ALLOWED, f"{KEY}: 443/TCP")
        assert (same.verdict, same.claimed) == (Verdict.ALLOWED, "")
        # No Service stands behind it, so it may be one that is being created.
        said = f"{address} is being claimed by shared VIP 'elsewhere' right now [static-address-taken]"
        for answer in (admitted, same):
            assert f"still in conflict, spec.loadBalancerIP: {said}" in answer.warnings
        assert "443/TCP is being claimed" in messages(refused)
        assert (await scene.claims(), await reserved(scene)) == ([], [("late", "443/TCP")])

    tell(connection, story, replicas=2)


def test_an_outdated_request_for_it_does_not_write_over_a_newer_one(connection: Connection) -> None:
    """It was computed from a version that is no more, and meets the lock after the newer one has."""

    async def whole(api: KubernetesApi) -> None:
        locks = WaitingLocks(api)
        async with replica(api) as one, replica(api, locks=locks) as slow:
            scene, address = Scene(api, connection.namespace, [one, slow]), some_address()
            await AddressLocks(api).take(address, scene.group("elsewhere"))
            before = await scene.stored("late", "80/TCP", loadBalancerIP=address)
            for by in (0, 1):
                await scene.seen("late", by=by)
            outdated = asyncio.create_task(scene.validate(scene.change(before, "80/TCP", "443/TCP"), by=1))
            await asyncio.wait_for(locks.is_met.wait(), DEADLINE_SECONDS)
            await connection.kubectl_async("label", "service", "late", "team=a")
            newer = await scene.validate(scene.change(await scene.live("late"), "80/TCP", "443/TCP"))
            locks.may_go_on.set()
            await outdated

            assert (newer.verdict, newer.claimed) == (Verdict.ALLOWED, f"{KEY}: 443/TCP")
            assert any("still in conflict" in warning for warning in newer.warnings)
            assert await scene.claims() == []
            ledger = await scene.ledger()
            assert ledger is not None
            claim = next(one for one in ledger.held if one.listener.port == 443)
            assert claim.replaces == (await scene.live("late")).resource_version
            refused = await scene.validate(scene.new("rival", "443/TCP", load_balancer_ip=address))
            assert "443/TCP is being claimed" in messages(refused)

    connection.tell(whole)
