"""A Service without the group's address that was to inherit it, and did not: it is told that it may."""

import pytest

from tests.builders import KEY
from tests.cluster.connection import Connection
from tests.webhook.replicas import Scene, messages, some_address, tell

pytestmark = pytest.mark.e2e


def test_who_was_to_inherit_may_try_again(connection: Connection) -> None:
    """The mutating webhook was not asked here; where it answers, nobody gets as far as this."""

    async def story(scene: Scene) -> None:
        address = some_address()
        await scene.settled("web", "80/TCP", loadBalancerIP=address)
        theirs = f"is not set, but Service 'web' shares {address} under '{KEY}'"

        assert messages(await scene.validate(scene.new("api", "443/TCP"))) == (
            f"spec.loadBalancerIP: {theirs}; set {address}, or try again in a moment to inherit it "
            "[static-address-mismatch]"
        )

    tell(connection, story)


def test_who_has_another_address_is_to_change_it(connection: Connection) -> None:
    """Trying again would not help; nor does it where something else is wrong."""

    async def story(scene: Scene) -> None:
        address = some_address()
        await scene.settled("web", "80/TCP", loadBalancerIP=address)

        for asked in (
            scene.new("api", "443/TCP", load_balancer_ip=some_address()),
            scene.new("api", "80/TCP", load_balancer_ip=address),
            scene.new("api", "443/TCP", type="ClusterIP"),
        ):
            answer = await scene.validate(asked)
            assert messages(answer) != ""
            assert "try again" not in messages(answer)

    tell(connection, story)
