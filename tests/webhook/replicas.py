"""Webhook replicas inside the test's process, on the real API server: the words of ``test_claiming``'s stories."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Unpack, cast
from urllib.parse import quote

import msgspec

from cluster.api import KubernetesApi
from cluster.errors import NotFound
from cluster.ip_addresses import AddressLocks
from cluster.services import ServiceCache, read_service
from cluster.shared_vip_cache import SharedVipCache
from cluster.shared_vips import SharedVipStore
from sharedvip.ledger import Claim, Ledger, grow, member_of
from sharedvip.model import AddressHolder, GroupName, Policy, ServiceName, ServiceView
from sharedvip.parse import shared_values
from tests.builders import KEY, ServiceFields, service, service_object
from tests.cluster.connection import Connection
from webhook.admission import Admission
from webhook.answer import Answer
from webhook.claiming import Claiming
from webhook.view import Asked
from webhook.world import World

DEADLINE_SECONDS = 20.0
_LOOK_AGAIN_SECONDS = 0.02


def now() -> datetime:
    """UTC."""
    return datetime.now(UTC)


def some_address() -> str:
    """An address that no other test uses, and no cluster IP is."""
    return f"172.{16 + secrets.randbelow(16)}.{secrets.randbelow(256)}.{1 + secrets.randbelow(254)}"


@dataclass(frozen=True)
class Replica:
    """One replica, with caches of its own."""

    services: ServiceCache
    ledgers: SharedVipCache
    admission: Admission
    watches: tuple[asyncio.Task[None], ...]

    def freeze(self) -> None:
        """From now on its caches are late."""
        for watch in self.watches:
            watch.cancel()


@asynccontextmanager
async def replica(
    api: KubernetesApi, *, live: KubernetesApi | None = None, locks: AddressLocks | None = None
) -> AsyncGenerator[Replica]:
    """A replica that has synced and follows; ``live`` is where it looks and writes, if not where it watches."""
    services, ledgers, live = ServiceCache(api), SharedVipCache(api), live or api
    world = World(live, services=services, ledgers=ledgers, policy=Policy(), now=now)
    claiming = Claiming(world, store=SharedVipStore(live), locks=locks or AddressLocks(live), now=now)
    watches = (asyncio.create_task(services.run()), asyncio.create_task(ledgers.run()))
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await services.reflector.synced()
            await ledgers.reflector.synced()
        yield Replica(services, ledgers, Admission(world, claiming), watches)
    finally:
        for watch in watches:
            watch.cancel()
        await asyncio.gather(*watches, return_exceptions=True)


class Scene:
    """A namespace, and who asks there.

    Args:
        api: As the administrator.
        namespace: The test's own.
        replicas: Which decide.
    """

    def __init__(self, api: KubernetesApi, namespace: str, replicas: list[Replica]) -> None:
        self.api = api
        self.namespace = namespace
        self.replicas = replicas
        self.store = SharedVipStore(api)

    def group(self, key: str = KEY) -> GroupName:
        """A group of the namespace."""
        return GroupName(self.namespace, key)

    def new(
        self, name: str, *ports: str, key: str | None = KEY, dry_run: bool = False, **fields: Unpack[ServiceFields]
    ) -> Asked:
        """A create, with a uid of its own as the API server gives it."""
        view = service(name, *ports, key=key, namespace=self.namespace, **fields)
        return Asked(replace(view, uid=secrets.token_hex(8)), None, is_dry_run=dry_run)

    def change(self, old: ServiceView, *ports: str, dry_run: bool = False, **fields: Unpack[ServiceFields]) -> Asked:
        """An update of a stored Service."""
        view = replace(service(old.name.name, *ports), name=old.name, sharing_key=old.sharing_key, uid=old.uid)
        kept = replace(view, load_balancer_ip=old.load_balancer_ip, ip_families=old.ip_families)
        return Asked(replace(kept, **fields), old, is_dry_run=dry_run)

    async def validate(self, asked: Asked, *, by: int = 0) -> Answer:
        """Ask a replica."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await self.replicas[by % len(self.replicas)].admission.validate(asked)

    async def race(self, *asked: Asked) -> list[Answer]:
        """All at once, in turn over the replicas."""
        return await asyncio.gather(*(self.validate(one, by=number) for number, one in enumerate(asked)))

    async def stored(self, name: str, *ports: str, key: str | None = KEY, **spec: object) -> ServiceView:
        """A Service that came past admission: stored, and in no ledger; every replica has seen it."""
        made = service_object(name, *ports, key=key, namespace=self.namespace, spec=spec)
        await self.api.request("POST", self._services, body=msgspec.json.encode(made))
        return await self.live(name)

    async def settled(
        self, name: str, *ports: str, key: str = KEY, age: timedelta = timedelta(), **spec: object
    ) -> ServiceView:
        """A member: stored, and claimed so long ago."""
        view = await self.stored(name, *ports, key=key, **spec)
        await self.store.claim(
            self.group(key),
            member_of(view),
            shared=shared_values(view),
            claims=grow(None, view, old=None, now=now() - age),
        )
        return view

    async def live(self, name: str) -> ServiceView:
        """The Service, which must be there."""
        found = await read_service(self.api, ServiceName(self.namespace, name))
        assert found is not None
        return found

    async def delete(self, name: str) -> None:
        """A Service goes."""
        await self.api.request("DELETE", f"{self._services}/{name}")

    async def ledger(self, key: str = KEY) -> Ledger | None:
        """A group's ledger, live."""
        return await self.store.read(self.group(key))

    async def claims(self, key: str = KEY) -> list[tuple[str, str]]:
        """Who holds what."""
        ledger = await self.ledger(key)
        return [(claim.service, str(claim.listener)) for claim in ledger.claims] if ledger else []

    async def lock_of(self, address: str) -> str | None:
        """The name of the ``SharedVIP`` that holds an address; the key of one that has taken it over."""
        path = f"/apis/networking.k8s.io/v1/ipaddresses/{quote(address)}"
        found = await self._get_or_none(path)
        if found is None:
            return None
        heir = found["metadata"].get("annotations", {}).get("sharedvip.dev/heir", "")
        return cast("str", heir.partition("/")[2] or found["spec"]["parentRef"]["name"])

    async def seen(self, name: str, *, by: int = 0) -> None:
        """Wait until a replica's cache shows a Service."""
        cache = self.replicas[by].services
        await self.until(lambda: cache.get(ServiceName(self.namespace, name)) is not None)

    async def gone(self, name: str, *, by: int = 0) -> None:
        """Wait until a replica's cache shows that a Service went."""
        cache = self.replicas[by].services
        await self.until(lambda: cache.get(ServiceName(self.namespace, name)) is None)

    def cached_claims(self, *, by: int = 0) -> tuple[Claim, ...]:
        """What a replica's cache shows of the group's ledger."""
        ledger = self.replicas[by].ledgers.get(self.group())
        return ledger.claims if ledger else ()

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not is_so():  # noqa: ASYNC110 - a cache tells nobody but its subscribers
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    @property
    def _services(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/services"

    async def _get_or_none(self, path: str) -> dict[str, Any] | None:
        try:
            return msgspec.json.decode(await self.api.request("GET", path))
        except NotFound:
            return None


def tell(connection: Connection, story: Callable[[Scene], Awaitable[None]], *, replicas: int = 1) -> None:
    """Run a story with so many replicas."""

    async def whole(api: KubernetesApi) -> None:
        async with AsyncExitStack() as stack:
            made = [await stack.enter_async_context(replica(api)) for _ in range(replicas)]
            await story(Scene(api, connection.namespace, made))

    connection.tell(whole)


def messages(answer: Answer) -> str:
    """The refusal as users read it; "" for a yes."""
    return "\n".join(map(str, answer.denials))


class WaitingLocks(AddressLocks):
    """Looks at a lock, and goes on when it may."""

    def __init__(self, api: KubernetesApi) -> None:
        super().__init__(api)
        self.is_met = asyncio.Event()
        self.may_go_on = asyncio.Event()

    async def held_by_another(self, *args: Any, **words: Any) -> AddressHolder | None:  # noqa: ANN401 - as it is called
        """As ``AddressLocks``."""
        holder = await super().held_by_another(*args, **words)
        self.is_met.set()
        await self.may_go_on.wait()
        return holder
