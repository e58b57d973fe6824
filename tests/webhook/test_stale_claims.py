"""Claims whose Service is gone, made anew or never came, on the real API server: they are in nobody's way."""

from datetime import timedelta

import pytest

from sharedvip.ledger import GRACE, grow, member_of
from sharedvip.parse import shared_values
from tests.cluster.connection import Connection
from tests.webhook.replicas import Scene, messages, now, some_address, tell
from tests.webhook.samples import writes
from webhook import metrics
from webhook.answer import Verdict

pytestmark = pytest.mark.e2e

ALLOWED = Verdict.ALLOWED


def test_a_port_is_free_as_soon_as_its_service_is_gone(connection: Connection) -> None:
    """Admission releases the stale claims itself, of all members that went; it waits for no janitor."""

    async def story(scene: Scene) -> None:
        names = ("one", "two", "three")
        for number, name in enumerate(names):
            await scene.settled(name, f"{80 + number}/TCP")
            await scene.seen(name)
        for name in names:
            await scene.delete(name)
        before = writes("release")

        answer = await scene.validate(scene.new("web", "80/TCP", "81/TCP", "82/TCP"))

        assert messages(answer) == ""
        assert writes("release") >= before + len(names)
        assert await scene.claims() == [("web", "80/TCP"), ("web", "81/TCP"), ("web", "82/TCP")]

    tell(connection, story)


def test_a_group_that_is_gone_leaves_its_address_to_nobody(connection: Connection) -> None:
    """Its ledger still says it: who comes anew neither inherits it nor falls out with it."""

    async def story(scene: Scene) -> None:
        await scene.settled("old", "80/TCP", loadBalancerIP=some_address())
        await scene.seen("old")
        await scene.delete("old")
        new = scene.new("web", "443/TCP")

        mutated = await scene.replicas[0].admission.mutate(new)
        answer = await scene.validate(new)

        assert mutated.inheritance is None
        assert messages(answer) == ""
        assert await scene.claims() == [("web", "443/TCP")]

    tell(connection, story)


def test_a_service_made_anew_takes_over_from_its_predecessor(connection: Connection) -> None:
    """``kubectl replace --force``: the same name, another uid."""

    def retries() -> float:
        return sum(sample.value for sample in next(iter(metrics.RETRIES.collect())).samples)

    async def story(scene: Scene) -> None:
        await scene.settled("web", "80/TCP")
        await scene.seen("web")
        await scene.delete("web")
        before = retries()

        answer = await scene.validate(scene.new("web", "80/TCP"))

        assert messages(answer) == ""
        assert retries() > before
        assert await scene.claims() == [("web", "80/TCP")]

    tell(connection, story)


def test_an_update_of_what_was_made_anew_meanwhile_is_left_to_the_api_server(connection: Connection) -> None:
    """It will not store it, but ask again for what is there now: a refusal would lose a legitimate patch."""

    async def story(scene: Scene) -> None:
        old = await scene.settled("web", "80/TCP")
        await scene.delete("web")
        await scene.settled("web", "81/TCP")

        answer = await scene.validate(scene.change(old, "80/TCP", "81/TCP"))

        assert (answer.verdict, bool(answer.claimed)) == (ALLOWED, False)

    tell(connection, story)


def test_a_claim_whose_service_never_came_is_released_after_the_grace(connection: Connection) -> None:
    """Somebody after us refused it, and no cache ever saw it."""

    async def story(scene: Scene) -> None:
        lost = scene.new("lost", "80/TCP").candidate
        claims = grow(None, lost, old=None, now=now() - GRACE - timedelta(seconds=1))
        await scene.store.claim(scene.group(), member_of(lost), shared=shared_values(lost), claims=claims)

        answer = await scene.validate(scene.new("web", "80/TCP"))

        assert messages(answer) == ""
        assert await scene.claims() == [("web", "80/TCP")]

    tell(connection, story)
