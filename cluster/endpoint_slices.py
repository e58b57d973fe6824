"""The EndpointSlices of all Services, as last observed; it never decides which servers a pool has."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from cluster.api import KubernetesApi
from cluster.index import Index
from cluster.metadata import ObjectMeta
from cluster.reflector import Reflector
from sharedvip.model import ServiceName

PATH = "/apis/discovery.k8s.io/v1/endpointslices"
SERVICE_LABEL = "kubernetes.io/service-name"
"""Source: Kubernetes API reference, EndpointSlice."""


@dataclass(frozen=True, slots=True)
class SlicePort:
    """A port of a slice, by the name that the Service gave it; 0 where the slice names none."""

    name: str
    port: int
    protocol: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint: a pod as a rule."""

    addresses: tuple[str, ...]
    is_ready: bool
    is_terminating: bool
    node: str


@dataclass(frozen=True, slots=True)
class EndpointSlice:
    """A slice of a Service."""

    name: str
    service: ServiceName
    address_type: str
    ports: tuple[SlicePort, ...]
    endpoints: tuple[Endpoint, ...]


class _Conditions(msgspec.Struct):
    ready: bool | None = None
    terminating: bool | None = None


class _Endpoint(msgspec.Struct):
    addresses: list[str] = []
    conditions: _Conditions = msgspec.field(default_factory=_Conditions)
    node: str | None = msgspec.field(name="nodeName", default=None)


class _Port(msgspec.Struct):
    name: str | None = None
    port: int | None = None
    protocol: str | None = None


class RawSlice(msgspec.Struct, rename="camel"):
    """A slice as the API server sends it, as far as it is read."""

    metadata: ObjectMeta
    address_type: str = ""
    endpoints: list[_Endpoint] | None = None
    ports: list[_Port] | None = None


class EndpointSliceCache:
    """All slices, indexed by Service."""

    def __init__(self, api: KubernetesApi, *, on_change: Callable[[ServiceName], None]) -> None:
        """Read nothing before ``run``; ``on_change`` is told the Service whose endpoints moved."""
        self.reflector = Reflector(api, PATH, raw=RawSlice, select=parse_slice, on_change=self._on_change)
        self._tell = on_change
        self._by_service: Index[ServiceName, str, EndpointSlice] = Index()

    async def run(self) -> None:
        """Keep in step until cancelled."""
        await self.reflector.run()

    def of(self, service: ServiceName) -> tuple[EndpointSlice, ...]:
        """The Service's slices, sorted by name."""
        return tuple(sorted(self._by_service.get(service), key=lambda s: s.name))

    def _on_change(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        if old is not None:
            self._by_service.drop(old.service, old.name)
        if new is not None:
            self._by_service.put(new.service, new.name, new)
        for service in {s.service for s in (old, new) if s is not None}:
            self._tell(service)


def parse_slice(raw: RawSlice) -> EndpointSlice | None:
    """The slice; None where it is no Service's."""
    service = (raw.metadata.labels or {}).get(SERVICE_LABEL)
    if not service:
        return None
    return EndpointSlice(
        name=raw.metadata.name,
        service=ServiceName(raw.metadata.namespace, service),
        address_type=raw.address_type,
        ports=tuple(SlicePort(p.name or "", p.port or 0, p.protocol or "TCP") for p in raw.ports or ()),
        endpoints=tuple(map(_parse_endpoint, raw.endpoints or ())),
    )


def _parse_endpoint(raw: _Endpoint) -> Endpoint:
    return Endpoint(
        addresses=tuple(raw.addresses),
        is_ready=raw.conditions.ready is not False,  # Kubernetes API reference: nil means ready
        is_terminating=bool(raw.conditions.terminating),
        node=raw.node or "",
    )
