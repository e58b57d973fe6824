"""The Services that matter to us, as last observed, and one Service as it is now; it never judges them.

Kept are those with the annotation, those of type LoadBalancer (they may hold an address) and those with our condition.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import replace
from urllib.parse import quote

import msgspec
import structlog

from cluster.api import KubernetesApi
from cluster.errors import ClusterError, NotFound
from cluster.index import Index
from cluster.metadata import ANY_OBJECT, WATCH_EVENT
from cluster.reflector import Reflector, error_of
from sharedvip.addresses import canonical
from sharedvip.identity import is_label
from sharedvip.model import GroupName, ServiceName, ServiceView
from sharedvip.parse import ServiceObject, parse_service, static_address

PATH = "/api/v1/services"
TOMBSTONE_SECONDS = 120.0
"""How long a gone Service is remembered: well beyond the ledger's grace, and then nobody asks."""

_LISTEN_SECONDS = 0.3
"""What the API server knows it tells in some milliseconds."""

OnServiceChange = Callable[[ServiceView | None, ServiceView | None], None]

_DECODER = msgspec.json.Decoder(ServiceObject)

_log = structlog.get_logger()


async def read_service(
    api: KubernetesApi, name: ServiceName, *, is_exact: bool = True, timeout_seconds: float = 5.0
) -> ServiceView | None:
    """One Service as it is now; None where there is none.

    Of a name that no Service can have, nobody is asked: ``web/x``, which a hand wrote into a ledger, is to the API
    server the subresource ``x`` of ``web``, and its 403 would hold up the group for as long as the claim is there.

    Args:
        api: The connection.
        name: Whose.
        is_exact: False: as the API server's own cache has it, milliseconds late; then etcd is not asked.
        timeout_seconds: For the request.

    Raises:
        ClusterError: The API server could not be asked.
    """
    if not all(map(is_label, name)):
        return None
    path = f"/api/v1/namespaces/{quote(name.namespace, safe='')}/services/{quote(name.name, safe='')}"
    try:
        query = {} if is_exact else {"resourceVersion": "0"}
        found = _DECODER.decode(await api.request("GET", path, query=query, timeout_seconds=timeout_seconds))
    except NotFound:
        return None
    return replace(parse_service(found), resource_version=found.get("metadata", {}).get("resourceVersion", ""))


async def deleted_since(
    api: KubernetesApi, namespace: str, uids: AbstractSet[str], *, since: str, seconds: float
) -> frozenset[str]:
    """Which of those Services were deleted since a version, by the API server's own history; it may not know of all.

    Args:
        api: The connection.
        namespace: Theirs.
        uids: Of the incarnations that are meant.
        since: A ``resourceVersion`` of Services; what is older than the API server remembers says nothing.
        seconds: To listen for.
    """
    query = {"watch": "1", "resourceVersion": since}
    path = f"/api/v1/namespaces/{quote(namespace, safe='')}/services"
    found = set[str]()
    try:
        async with (
            asyncio.timeout(seconds),
            contextlib.aclosing(api.lines(path, query=query, idle_seconds=seconds)) as lines,
        ):
            async for line in lines:
                event = WATCH_EVENT.decode(line)
                if event.type == "ERROR":
                    raise error_of(event)
                if event.type == "DELETED":
                    found |= uids & {ANY_OBJECT.decode(event.object).metadata.uid}
                if found == uids:
                    break
    except TimeoutError:
        pass  # the API server never says that this was all
    except (ClusterError, msgspec.DecodeError) as error:
        _log.info("services.history_unknown", namespace=namespace, since=since, error=str(error))
    return frozenset(found)


class ServiceCache:
    """All Services of interest, indexed by group and address."""

    def __init__(self, api: KubernetesApi, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Read nothing before ``run``."""
        self._api = api
        self.reflector = Reflector(api, PATH, raw=ServiceObject, select=_select, on_change=self._on_change, clock=clock)
        self._clock = clock
        self._subscribers: list[OnServiceChange] = []
        self._by_group: Index[GroupName, ServiceName, ServiceView] = Index()
        self._by_address: Index[str, ServiceName, ServiceView] = Index()
        self._leavers: dict[ServiceName, ServiceView] = {}
        self._uids: set[str] = set()
        self._gone: dict[str, float] = {}

    async def run(self) -> None:
        """Keep in step until cancelled."""
        await self.reflector.run()

    def subscribe(self, on_change: OnServiceChange) -> None:
        """Have every change told, after the indexes know it."""
        self._subscribers.append(on_change)

    def get(self, name: ServiceName) -> ServiceView | None:
        """One Service."""
        return self.reflector.get(name.namespace, name.name)

    def members(self, group: GroupName) -> tuple[ServiceView, ...]:
        """The Services that carry the group's key, of whatever type, by name; the same tuple until one changes."""
        return self._by_group.sorted(group)

    def by_address(self, address: str) -> tuple[ServiceView, ...]:
        """The LoadBalancer Services that ask for an address or have it (canonical spelling), sorted by name."""
        return self._by_address.sorted(address)

    def groups(self) -> frozenset[GroupName]:
        """All groups that Services ask for."""
        return frozenset(self._by_group)

    def leavers(self) -> tuple[ServiceView, ...]:
        """The Services that carry our condition and are no members, sorted by name."""
        return _sorted(self._leavers.values())

    def was_seen(self, uid: str) -> bool:
        """Whether the Service of that uid was ever observed with the annotation: if it is gone, it was deleted."""
        return uid in self._uids or uid in self._gone

    async def have_gone_unseen(self, namespace: str, uids: Iterable[str], *, seconds: float) -> bool:
        """Whether any of the Services of those uids came and went since what is known here; from now on it was seen.

        A watch that broke with the API server is late by half a minute, and by nothing else can one that was deleted
        be told from one that is on its way.

        Args:
            namespace: Theirs.
            uids: Those that were seen already are not asked about.
            seconds: To listen for, at most.
        """
        since, unseen = self.reflector.position, frozenset(uid for uid in uids if not self.was_seen(uid))
        if not unseen or not since or not is_label(namespace):
            return False
        seconds = min(seconds, _LISTEN_SECONDS)
        gone = await deleted_since(self._api, namespace, unseen, since=since, seconds=seconds)
        for uid in gone:
            self._bury(uid)
        return bool(gone)

    def _on_change(self, old: ServiceView | None, new: ServiceView | None) -> None:
        if old is not None:
            self._forget(old)
        if new is not None:
            self._remember(new)
        for tell in self._subscribers:
            tell(old, new)

    def _remember(self, service: ServiceView) -> None:
        if service.group is not None:
            self._by_group.put(service.group, service.name, service)
            self._uids.add(service.uid)
        if service.has_ready_condition and not service.is_member:
            self._leavers[service.name] = service
        for address in _addresses(service):
            self._by_address.put(address, service.name, service)

    def _forget(self, service: ServiceView) -> None:
        if service.group is not None:
            self._by_group.drop(service.group, service.name)
            self._uids.discard(service.uid)
            self._bury(service.uid)
        self._leavers.pop(service.name, None)
        for address in _addresses(service):
            self._by_address.drop(address, service.name)

    def _bury(self, uid: str) -> None:
        now = self._clock()
        while self._gone and now - next(iter(self._gone.values())) > TOMBSTONE_SECONDS:
            del self._gone[next(iter(self._gone))]
        self._gone.pop(uid, None)
        self._gone[uid] = now


def _select(raw: ServiceObject) -> ServiceView | None:
    service = parse_service(raw)
    is_ours = service.sharing_key is not None or service.has_ready_condition
    return service if is_ours or service.type == "LoadBalancer" else None


def _addresses(service: ServiceView) -> frozenset[str]:
    if service.type != "LoadBalancer":
        return frozenset()
    return frozenset({static_address(service), *map(canonical, service.vips)} - {""})


def _sorted(services: Iterable[ServiceView]) -> tuple[ServiceView, ...]:
    return tuple(sorted(services, key=lambda service: service.name))
