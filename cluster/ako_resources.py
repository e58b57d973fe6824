"""AKO's own words in the cluster: AviInfraSettings, L4Rules and annotations, as last observed; it never applies them.

AKO may be absent, and its kinds with it, or we may lack the right to read them: both count as "there are none", are
told once, and are tried again, so that what appears later is followed.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, TypeVar

import msgspec
import structlog

from cluster.api import KubernetesApi
from cluster.errors import Forbidden, Gone, NotFound
from cluster.metadata import ObjectMeta
from cluster.reflector import Reflector
from cluster.service_status import ServiceStatus, Shown, shown
from cluster.services import PATH as SERVICES_PATH
from cluster.services import ServiceCache
from sharedvip.annotations import INFRA_SETTING
from sharedvip.model import ServiceView
from sharedvip.parse import ServiceObject, parse_service

INFRA_PATH: Final = "/apis/ako.vmware.com/v1beta1/aviinfrasettings"
"""Cluster-scoped. Source: AKO 2.2.1 ``helm/ako/crds/ako.vmware.com_aviinfrasettings.yaml``."""
L4_RULE_PATH: Final = "/apis/ako.vmware.com/v1alpha2/l4rules"
"""Source: AKO 2.2.1 ``helm/ako/crds/ako.vmware.com_l4rules.yaml``."""
NAMESPACES_PATH: Final = "/api/v1/namespaces"

TENANT: Final = "ako.vmware.com/tenant-name"
"""On a Namespace. Source: AKO ``docs/ako_tenancy.md``."""
HOSTNAME: Final = "external-dns.alpha.kubernetes.io/hostname"
"""On a Service. Source: ``ako.md`` 1.4."""
SKIP_NODE_PORT: Final = "skipnodeport.ako.vmware.com/enabled"
"""On a Service, with any value. Source: ``ako.md`` 1.4."""

ABSENT_SECONDS: Final = 15.0
"""How long after a kind was installed it may go unnoticed."""

Raw = TypeVar("Raw")
Record = TypeVar("Record")

_log = structlog.get_logger("cluster.ako_resources")


class OptionalReflector(Reflector[Raw, Record]):
    """A reflector of a kind that may not be there, or that we may not read: then there are none."""

    is_required = False
    """Whether missing rights are worth waiting for; a missing kind never is."""
    pause_seconds = ABSENT_SECONDS
    _is_told = False

    async def _list(self) -> str:
        while True:
            try:
                position = await super()._list()
            except (NotFound, Forbidden) as error:
                if self.is_required and isinstance(error, Forbidden):
                    raise
                self._none(str(error))
                await asyncio.sleep(self.pause_seconds)
            else:
                self._is_told = False
                return position

    async def _watch(self, position: str) -> str:
        try:
            return await super()._watch(position)
        except (NotFound, Forbidden) as error:
            # The kind was removed while we watched it: only a new list can tell.
            raise Gone(error.status, error.reason, message=error.message) from error

    def _none(self, error: str) -> None:
        if not self._is_told:
            _log.info("kind.absent", resource=self._resource, error=error)
        self._is_told = True
        self._replace({})


@dataclass(frozen=True, slots=True)
class Network:
    """One of ``vipNetworks`` or ``nodeNetworks``; what is not given is empty."""

    name: str
    uuid: str = ""
    cidr: str = ""
    cidr_v6: str = ""
    cidrs: tuple[str, ...] = ()
    """Of a node network."""


@dataclass(frozen=True, slots=True)
class InfraSetting:
    """An AviInfraSetting; None where it leaves a choice to the settings."""

    name: str
    se_group: str = ""
    vip_networks: tuple[Network, ...] = ()
    node_networks: tuple[Network, ...] = ()
    enable_rhi: bool | None = None
    enable_public_ip: bool = False
    bgp_peer_labels: tuple[str, ...] = ()
    t1_lr: str = ""
    rejection: str | None = None
    """Why AKO rejects it; None where it does not, or where there is no AKO to say."""


@dataclass(frozen=True, slots=True)
class L4Rule:
    """An L4Rule: its ``spec`` as it stands, for whoever builds objects."""

    namespace: str
    name: str
    spec: Mapping[str, Any] = field(default_factory=dict[str, Any])
    rejection: str | None = None
    """As for an ``InfraSetting``."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """What a Namespace says for all its Services."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    tenant: str = ""
    infra_setting: str = ""


@dataclass(frozen=True, slots=True)
class DetailedService(ServiceView):
    """A Service with what only the Avi side of it needs."""

    hostname: str = ""
    """As annotated for external-dns; several are separated by commas."""
    skips_node_ports: bool = False
    node_ports: tuple[int, ...] = ()
    """In the order of ``spec.ports``; 0 where a port has none."""
    shown: Shown | None = None
    """What its status says of its VIP; None where we said nothing."""


class _NetworkEntry(msgspec.Struct, rename="camel"):
    network_name: str = ""
    network_uuid: str = msgspec.field(name="networkUUID", default="")
    cidr: str = ""
    v6cidr: str = ""
    cidrs: list[str] = []


class _NetworkSpec(msgspec.Struct, rename="camel"):
    vip_networks: list[_NetworkEntry] | None = None
    node_networks: list[_NetworkEntry] | None = None
    enable_rhi: bool | None = None
    enable_public_ip: bool | None = msgspec.field(name="enablePublicIP", default=None)
    bgp_peer_labels: list[str] | None = None


class _Named(msgspec.Struct):
    name: str = ""


class _Nsx(msgspec.Struct):
    t1lr: str | None = None


class _InfraSpec(msgspec.Struct, rename="camel"):
    network: _NetworkSpec = msgspec.field(default_factory=_NetworkSpec)
    se_group: _Named = msgspec.field(default_factory=_Named)
    nsx_settings: _Nsx = msgspec.field(default_factory=_Nsx)


class _Status(msgspec.Struct):
    status: str = ""
    error: str = ""


class _InfraObject(msgspec.Struct):
    metadata: ObjectMeta
    spec: _InfraSpec = msgspec.field(default_factory=_InfraSpec)
    status: _Status = msgspec.field(default_factory=_Status)


class _RuleObject(msgspec.Struct):
    metadata: ObjectMeta
    spec: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    status: _Status = msgspec.field(default_factory=_Status)


class _NamespaceObject(msgspec.Struct):
    metadata: ObjectMeta


def infra_settings(
    api: KubernetesApi, on_change: Callable[[InfraSetting | None, InfraSetting | None], None]
) -> OptionalReflector[_InfraObject, InfraSetting]:
    """All AviInfraSettings; ``get("", name)`` finds one."""
    return OptionalReflector(api, INFRA_PATH, raw=_InfraObject, select=_parse_infra, on_change=on_change)


def l4_rules(
    api: KubernetesApi, on_change: Callable[[L4Rule | None, L4Rule | None], None]
) -> OptionalReflector[_RuleObject, L4Rule]:
    """All L4Rules; ``get(namespace, name)`` finds one."""
    return OptionalReflector(api, L4_RULE_PATH, raw=_RuleObject, select=_parse_rule, on_change=on_change)


def namespaces(
    api: KubernetesApi, on_change: Callable[[Namespace | None, Namespace | None], None], *, is_required: bool
) -> OptionalReflector[_NamespaceObject, Namespace]:
    """All Namespaces; ``get("", name)`` finds one. Required: nothing is decided before they could be read."""
    reflector = OptionalReflector(
        api, NAMESPACES_PATH, raw=_NamespaceObject, select=_parse_namespace, on_change=on_change
    )
    reflector.is_required = is_required
    return reflector


class DetailedServiceCache(ServiceCache):
    """A ``ServiceCache`` whose Services are ``DetailedService``s: one watch for both."""

    def __init__(self, api: KubernetesApi) -> None:
        """Read nothing before ``run``."""
        super().__init__(api)
        self.reflector = Reflector(
            api, SERVICES_PATH, raw=msgspec.Raw, select=_parse_service, on_change=self._on_change, clock=self._clock
        )


def _parse_infra(raw: _InfraObject) -> InfraSetting:
    network = raw.spec.network
    return InfraSetting(
        name=raw.metadata.name,
        se_group=raw.spec.se_group.name,
        vip_networks=tuple(map(_parse_network, network.vip_networks or ())),
        node_networks=tuple(map(_parse_network, network.node_networks or ())),
        enable_rhi=network.enable_rhi,
        enable_public_ip=bool(network.enable_public_ip),
        bgp_peer_labels=tuple(network.bgp_peer_labels or ()),
        t1_lr=raw.spec.nsx_settings.t1lr or "",
        rejection=_rejection(raw.status),
    )


def _parse_network(raw: _NetworkEntry) -> Network:
    return Network(raw.network_name, raw.network_uuid, raw.cidr, raw.v6cidr, tuple(raw.cidrs))


def _rejection(status: _Status) -> str | None:
    # Source: AKO writes "Accepted" or "Rejected"; without AKO nobody writes anything.
    return (status.error or "without a word") if status.status == "Rejected" else None


def _parse_rule(raw: _RuleObject) -> L4Rule:
    return L4Rule(raw.metadata.namespace, raw.metadata.name, raw.spec, _rejection(raw.status))


def _parse_namespace(raw: _NamespaceObject) -> Namespace:
    notes = raw.metadata.annotations or {}
    return Namespace(raw.metadata.name, raw.metadata.labels or {}, notes.get(TENANT, ""), notes.get(INFRA_SETTING, ""))


class _PortDetails(msgspec.Struct):
    node_port: int = msgspec.field(name="nodePort", default=0)


class _SpecDetails(msgspec.Struct):
    ports: list[_PortDetails] | None = None


class _ServiceDetails(msgspec.Struct):
    metadata: ObjectMeta
    spec: _SpecDetails = msgspec.field(default_factory=_SpecDetails)
    status: ServiceStatus = msgspec.field(default_factory=ServiceStatus)


_SERVICE: Final = msgspec.json.Decoder(ServiceObject)
_DETAILS: Final = msgspec.json.Decoder(_ServiceDetails)


def _parse_service(raw: msgspec.Raw) -> ServiceView | None:
    view = parse_service(_SERVICE.decode(raw))
    is_ours = view.sharing_key is not None or view.has_ready_condition
    if not is_ours:
        # Kept only for its address (cluster/services.py).
        return view if view.type == "LoadBalancer" else None
    details = _DETAILS.decode(raw)
    notes = details.metadata.annotations or {}
    return DetailedService(
        **{each.name: getattr(view, each.name) for each in fields(view)},
        hostname=notes.get(HOSTNAME, ""),
        skips_node_ports=SKIP_NODE_PORT in notes,
        node_ports=tuple(port.node_port for port in details.spec.ports or ()),
        shown=shown(details.metadata, details.status),
    )
