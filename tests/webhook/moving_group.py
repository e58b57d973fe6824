"""A group of two on the real API server that may be moved: the words of ``test_moving`` and ``test_moving_ends``."""

from collections.abc import Awaitable, Callable

import msgspec

from cluster.api import MERGE_PATCH
from sharedvip.annotations import INTENDED_ADDRESS
from sharedvip.ledger import Ledger
from sharedvip.model import ServiceView
from tests.cluster.connection import Connection
from tests.webhook.replicas import Scene, messages, some_address, tell


class Group:
    """Members 'web' and 'api' on one address, built by our reconciler, and an address to move to.

    Args:
        scene: Where.
        web: A member.
        api: The other.
    """

    def __init__(self, scene: Scene, web: ServiceView, api: ServiceView) -> None:
        self.scene, self.web, self.api = scene, web, api
        self.old, self.new = web.load_balancer_ip, some_address()

    async def ledger(self) -> Ledger:
        """Live."""
        found = await self.scene.ledger()
        assert found is not None
        return found

    async def addresses(self) -> tuple[str, str]:
        """What the group has, and where it goes."""
        shared = (await self.ledger()).shared
        return shared.static_address, shared.intended_address

    async def goes(self, name: str, *, intended: str | None = "", **spec: str) -> None:
        """A member's update, admitted and stored; the annotation goes with None, and stays with ""."""
        old = await self.scene.live(name)
        kept = old.intended_address if intended == "" else intended or ""
        address = spec.get("loadBalancerIP", old.load_balancer_ip)
        ports = map(str, old.listeners)
        asked = self.scene.change(old, *ports, load_balancer_ip=address, intended_address=kept)
        assert messages(await self.scene.validate(asked)) == ""
        patch = {"metadata": {"annotations": {INTENDED_ADDRESS: kept or None}}, "spec": spec}
        path = f"/api/v1/namespaces/{self.scene.namespace}/services/{name}"
        await self.scene.api.request("PATCH", path, body=msgspec.json.encode(patch), content_type=MERGE_PATCH)

    async def headings(self) -> dict[str, str]:
        """Where each member goes."""
        return {c.service: c.heading.address for c in (await self.ledger()).claims if c.heading}


def with_group(connection: Connection, story: Callable[[Group], Awaitable[None]], *, replicas: int = 1) -> None:
    """Tell a story of a group that stands still."""

    async def whole(scene: Scene) -> None:
        old = some_address()
        web = await scene.settled("web", "80/TCP", loadBalancerIP=old)
        api = await scene.settled("api", "443/TCP", loadBalancerIP=old)
        ledger = await scene.ledger()
        assert ledger is not None
        await scene.store.put_finalizer(ledger)
        for number, replica in enumerate(scene.replicas):
            await scene.seen("api", by=number)
            ledgers = replica.ledgers
            await scene.until(lambda ledgers=ledgers: _is_built(ledgers.get(scene.group())))
        await story(Group(scene, web, api))

    tell(connection, whole, replicas=replicas)


def _is_built(ledger: Ledger | None) -> bool:
    return ledger is not None and ledger.has_finalizer
