"""Who is refused after it has claimed, on the real API server: it gives back what it had not, and no more."""

from typing import Any

import pytest

from cluster.api import KubernetesApi
from cluster.errors import Unreachable
from cluster.ip_addresses import AddressLocks
from sharedvip.ledger import member_of
from sharedvip.model import AddressHolder, GroupName
from tests.builders import listeners
from tests.cluster.connection import Connection
from tests.webhook.replicas import Scene, messages, replica, some_address, tell
from tests.webhook.samples import writes

pytestmark = pytest.mark.e2e


def test_an_update_that_meets_anothers_lock_gives_back_what_it_had_not(connection: Connection) -> None:
    """Its old claims and its old address stay."""

    async def story(scene: Scene) -> None:
        mine, theirs = some_address(), some_address()
        await AddressLocks(scene.api).take(theirs, GroupName(scene.namespace, "other"))
        old = await scene.settled("web", "80/TCP", loadBalancerIP=mine)
        before = writes("give-back")

        answer = await scene.validate(scene.change(old, "80/TCP", "443/TCP", load_balancer_ip=theirs))

        assert writes("give-back") == before + 1
        ledger = await scene.ledger()
        assert answer.rules == ("static-address-taken",)
        assert ledger is not None
        assert ledger.shared.static_address == mine
        assert await scene.claims() == [("web", "80/TCP")]

    tell(connection, story)


def test_giving_back_leaves_what_another_update_has_claimed_since(connection: Connection) -> None:
    """Else that one would be stored, and its listener nobody's."""

    class MeetsAnother(AddressLocks):
        """In the middle of the request, another one for the same Service is admitted."""

        scene: Scene

        async def take(self, address: str, group: GroupName, **given: Any) -> AddressHolder | None:  # noqa: ANN401 - whatever it takes
            """Somebody else holds it."""
            del address, given
            ledger, web = await self.scene.ledger(), await self.scene.live("web")
            assert ledger is not None
            more = [claim._replace(listener=one) for claim in ledger.claims[:1] for one in listeners("8080/TCP")]
            await self.scene.store.claim(group, member_of(web), shared=ledger.shared, claims=[*ledger.claims, *more])
            return AddressHolder("elsewhere", key="other")

    async def whole(api: KubernetesApi) -> None:
        locks = MeetsAnother(api)
        async with replica(api, locks=locks) as one:
            scene = locks.scene = Scene(api, connection.namespace, [one])
            old = await scene.settled("web", "80/TCP", loadBalancerIP=some_address())

            answer = await scene.validate(scene.change(old, "80/TCP", "443/TCP", load_balancer_ip=some_address()))

            assert answer.rules == ("static-address-taken",)
            assert ("web", "8080/TCP") in await scene.claims()

    connection.tell(whole)


@pytest.mark.parametrize("is_locked", [False, True])
def test_who_is_told_nothing_leaves_no_claim_behind(connection: Connection, *, is_locked: bool) -> None:
    """It comes again at once, with another uid, and would meet its own claim for the grace; its lock is its group's."""

    class AwayOnce(AddressLocks):
        is_away = True

        async def take(self, address: str, group: GroupName, **given: Any) -> AddressHolder | None:  # noqa: ANN401 - likewise
            """As ``AddressLocks``, but for the first time."""
            if self.is_away:
                self.is_away = False
                if is_locked:
                    await super().take(address, group, **given)
                raise Unreachable("it restarts")
            return await super().take(address, group, **given)

    async def whole(api: KubernetesApi) -> None:
        async with replica(api, locks=AwayOnce(api)) as one:
            scene, address = Scene(api, connection.namespace, [one]), some_address()
            with pytest.raises(Unreachable):
                await scene.validate(scene.new("web", "80/TCP", load_balancer_ip=address))
            assert await scene.claims() == []
            assert messages(await scene.validate(scene.new("web", "80/TCP", load_balancer_ip=address))) == ""

    connection.tell(whole)
