"""Races for a port or an address, on the real API server: one gets it, and who wants another is not in the way."""

from dataclasses import replace

import pytest

from sharedvip.ledger import GRACE, Claim, Member
from sharedvip.parse import shared_values
from tests.builders import KEY, listener
from tests.cluster.connection import Connection
from tests.webhook.replicas import Scene, messages, now, some_address, tell
from webhook.answer import Verdict
from webhook.view import Asked, Look
from webhook.world import World

pytestmark = pytest.mark.e2e

WRITERS = 16
ALLOWED = Verdict.ALLOWED


def test_of_sixteen_who_want_one_port_exactly_one_gets_it(connection: Connection) -> None:
    """On two replicas at once; the others are told that it is being created right now."""

    async def story(scene: Scene) -> None:
        answers = await scene.race(*(scene.new(f"web-{number}", "80/TCP") for number in range(WRITERS)))

        verdicts = [answer.verdict for answer in answers]
        assert verdicts.count(ALLOWED) == 1
        winner = f"web-{verdicts.index(ALLOWED)}"
        assert await scene.claims() == [(winner, "80/TCP")]
        said = (
            f"spec.ports[0]: 80/TCP is being claimed on shared VIP '{KEY}' by Service '{winner}', which is being "
            "created right now; try again in a moment, or choose another port [duplicate-port]"
        )
        assert {messages(answer) for answer in answers if answer.denials} == {said}

    tell(connection, story, replicas=2)


def test_of_sixteen_who_want_different_addresses_exactly_one_gets_its(connection: Connection) -> None:
    """One group has one address."""

    async def story(scene: Scene) -> None:
        addresses = [some_address() for _ in range(WRITERS)]
        answers = await scene.race(
            *(scene.new(f"web-{n}", f"{80 + n}/TCP", load_balancer_ip=addresses[n]) for n in range(WRITERS))
        )

        verdicts = [answer.verdict for answer in answers]
        assert verdicts.count(ALLOWED) == 1
        winner = verdicts.index(ALLOWED)
        assert await scene.claims() == [(f"web-{winner}", f"{80 + winner}/TCP")]
        assert [await scene.lock_of(address) for address in addresses].count(KEY) == 1
        assert await scene.lock_of(addresses[winner]) == KEY

    tell(connection, story, replicas=2)


def test_of_sixteen_groups_that_want_one_address_exactly_one_gets_it(connection: Connection) -> None:
    """And what the losers claimed before they met the lock is given back."""

    async def story(scene: Scene) -> None:
        address, keys = some_address(), [f"key-{number}" for number in range(WRITERS)]
        answers = await scene.race(*(scene.new(f"web-{key}", key=key, load_balancer_ip=address) for key in keys))

        verdicts = [answer.verdict for answer in answers]
        assert verdicts.count(ALLOWED) == 1
        winner = keys[verdicts.index(ALLOWED)]
        assert await scene.lock_of(address) == winner
        assert [key for key in keys if await scene.claims(key)] == [winner]
        assert all("[static-address-taken]" in messages(answer) for answer in answers if answer.denials)

    tell(connection, story, replicas=2)


def test_all_who_want_different_ports_get_them(connection: Connection) -> None:
    """Nobody is refused because others write too."""

    async def story(scene: Scene) -> None:
        answers = await scene.race(*(scene.new(f"web-{n}", f"{80 + n}/TCP") for n in range(WRITERS)))

        assert [messages(answer) for answer in answers] == [""] * WRITERS
        assert await scene.claims() == [(f"web-{n}", f"{80 + n}/TCP") for n in range(WRITERS)]

    tell(connection, story, replicas=2)


def test_of_an_update_and_a_create_that_want_one_port_exactly_one_gets_it(connection: Connection) -> None:
    """An update is a claim like any other."""

    async def story(scene: Scene) -> None:
        old = await scene.settled("web", "80/TCP")
        changes = [scene.change(old, "80/TCP", "443/TCP"), *(scene.new(f"api-{n}", "443/TCP") for n in range(3))]

        answers = await scene.race(*changes)

        assert [answer.verdict for answer in answers].count(ALLOWED) == 1
        assert [listener for _, listener in await scene.claims()] == ["80/TCP", "443/TCP"]

    tell(connection, story, replicas=2)


def test_what_a_member_came_to_own_meanwhile_is_not_taken_back(connection: Connection) -> None:
    """Nobody owned what was in the way, as far as could be seen; by the time of the force it is a member's own."""

    async def story(scene: Scene) -> None:
        here, there = some_address(), some_address()
        web = await scene.settled("web", "80/TCP", loadBalancerIP=here)
        gone = Member("api", "before")
        shared = shared_values(web)
        claim = Claim(listener("443/TCP"), *gone, claimed_at=now() - 2 * GRACE)
        await scene.store.claim(scene.group(), gone, shared=shared, claims=(claim,))
        look = World.look

        async def late(self: World, asked: Asked) -> Look:
            world.undo()
            await scene.store.leave(scene.group(), gone)
            moved = scene.change(web, "80/TCP", load_balancer_ip=there)
            assert messages(await scene.validate(moved, by=1)) == ""
            return await look(self, asked)

        await scene.seen("web", by=1)
        with pytest.MonkeyPatch.context() as world:
            world.setattr(World, "look", late)
            joining = replace(scene.new("api", "443/TCP", load_balancer_ip=here), patience_seconds=0.1)
            said = messages(await scene.validate(joining))

        assert "try again" in said
        ledger = await scene.ledger()
        assert ledger is not None
        assert ledger.shared.static_address == there

    tell(connection, story, replicas=2)


def test_two_updates_of_one_service_lose_none_of_their_claims(connection: Connection) -> None:
    """Each applies old and new, with the version it read; who read too early reads again."""

    async def story(scene: Scene) -> None:
        old = await scene.settled("web", "80/TCP")

        answers = await scene.race(*(scene.change(old, "80/TCP", f"{1000 + n}/TCP") for n in range(8)))

        assert [messages(answer) for answer in answers] == [""] * 8
        assert {port for _, port in await scene.claims()} == {"80/TCP", *(f"{1000 + n}/TCP" for n in range(8))}

    tell(connection, story, replicas=2)
