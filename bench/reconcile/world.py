"""Writes the population as admission and controllers write it, and watches the statuses come; it judges nothing."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, TypeVar

import msgspec

from bench.reconcile.population import (
    LABEL,
    PART_OF,
    BenchGroup,
    JsonObject,
    Member,
    Rollout,
    render_service,
    render_slices,
    restart,
)
from cluster.api import KubernetesApi
from cluster.metadata import ObjectMeta
from cluster.shared_vips import SharedVipStore
from sharedvip.ledger import grow, member_of
from sharedvip.parse import ServiceObject, parse_service, shared_values

WRITERS: Final = 16
_PATIENCE_SECONDS: Final = 60.0
_SERVICE: Final = msgspec.json.Decoder(ServiceObject)

Item = TypeVar("Item")


class _Condition(msgspec.Struct):
    type: str
    status: str


class _Status(msgspec.Struct):
    conditions: list[_Condition] | None = None


class _Object(msgspec.Struct):
    metadata: ObjectMeta
    status: _Status = msgspec.field(default_factory=_Status)


class _Event(msgspec.Struct):
    type: str
    object: _Object


_EVENT: Final = msgspec.json.Decoder(_Event)


class World:
    """The cluster as administrators, controllers and admission write it."""

    def __init__(self, api: KubernetesApi, *, admission: KubernetesApi) -> None:
        """Use an administrator's connection, and for claims one that may write a ledger."""
        self.api = api
        self._store = SharedVipStore(admission)

    async def create(self, groups: Iterable[BenchGroup], *, is_claimed: bool) -> None:
        """Create the groups with their slices; claimed as admission does it, else as if they had come past it."""
        await _in_parallel(lambda group: self._create(group, is_claimed=is_claimed), groups)

    async def restart(self, rollout: Rollout, groups: Iterable[BenchGroup]) -> int:
        """Write a rolling restart, the Services side by side; how many writes."""
        services = [(group, member) for group in groups for member in group.members]
        return sum(await asyncio.gather(*(self._restart(rollout, *service) for service in services)))

    async def _create(self, group: BenchGroup, *, is_claimed: bool) -> None:
        for member in group.members:
            path = f"/api/v1/namespaces/{group.name.namespace}/services"
            stored = await self._post(path, render_service(group, member))
            if is_claimed:
                service = parse_service(_SERVICE.decode(stored))
                claims = grow(None, service, old=None, now=datetime.now(UTC))
                await self._store.claim(
                    group.name, member_of(service), shared=shared_values(service), claims=claims, timeout_seconds=60
                )
            for each in render_slices(group, member):
                await self._post(_slices(group), each)

    async def _restart(self, rollout: Rollout, group: BenchGroup, member: Member) -> int:
        written = 0
        for each in restart(rollout, group, member):
            path = f"{_slices(group)}/{each['metadata']['name']}"
            body = msgspec.json.encode(each)
            await self.api.request("PUT", path, body=body, timeout_seconds=_PATIENCE_SECONDS)
            written += 1
        return written

    async def _post(self, path: str, body: JsonObject) -> bytes:
        return await self.api.request("POST", path, body=msgspec.json.encode(body), timeout_seconds=_PATIENCE_SECONDS)


class StatusWatch:
    """When which object of the population was first told to be served; one watch for Services, one for groups."""

    def __init__(self, api: KubernetesApi) -> None:
        """Watch nothing before ``start``."""
        self._api = api
        self._tasks: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()
        self.services: dict[tuple[str, str], float] = {}
        """By namespace and name: seconds on the monotonic clock."""
        self.groups: dict[tuple[str, str], float] = {}

    def start(self) -> None:
        """Follow from now on."""
        labelled = {"labelSelector": f"{LABEL}={PART_OF}"}
        for path, query, found in (
            ("/api/v1/services", labelled, self.services),
            ("/apis/sharedvip.dev/v1alpha1/sharedvips", {}, self.groups),
        ):
            self._tasks.append(asyncio.create_task(self._follow(path, query, found)))

    async def stop(self) -> None:
        """Follow no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def all_served(self, *, services: int, groups: int, seconds: float, meanwhile: Callable[[], None]) -> float:
        """Wait until so many are; when the last was told.

        Raises:
            TimeoutError: Not within the time.
        """
        deadline = time.monotonic() + seconds
        while len(self.services) < services or len(self.groups) < groups:
            meanwhile()
            for task in (task for task in self._tasks if task.done()):
                task.result()
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{len(self.services)} of {services} Services and {len(self.groups)} of {groups} groups are served "
                    f"after {seconds:g} s"
                )
            self._changed.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), 1.0)
        return max((*self.services.values(), *self.groups.values()))

    async def _follow(self, path: str, query: dict[str, str], found: dict[tuple[str, str], float]) -> None:
        # From "any" on: what is there comes first, as ADDED; then what changes.
        whole = {**query, "watch": "1", "resourceVersion": "0", "timeoutSeconds": "3000"}
        async for line in self._api.lines(path, query=whole, idle_seconds=3000):
            seen = _EVENT.decode(line).object
            if any(one.status == "True" and one.type.endswith("Ready") for one in seen.status.conditions or ()):
                found.setdefault((seen.metadata.namespace, seen.metadata.name), time.monotonic())
                self._changed.set()


def _slices(group: BenchGroup) -> str:
    return f"/apis/discovery.k8s.io/v1/namespaces/{group.name.namespace}/endpointslices"


async def _in_parallel(work: Callable[[Item], Awaitable[None]], items: Iterable[Item]) -> None:
    todo = iter(items)

    async def writer() -> None:
        for item in todo:
            await work(item)

    await asyncio.gather(*(writer() for _ in range(WRITERS)))
