"""Where a group is built on Avi: settings, overruled by an AviInfraSetting and a Namespace; it never looks one up."""

from collections.abc import Iterable
from dataclasses import dataclass

from cluster.ako_resources import InfraSetting, Network
from reconciler.networks import NodeNetwork, VipNetwork
from reconciler.settings import ReconcilerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """All that is decided outside of the group itself."""

    tenant: str
    cloud: str
    se_group: str
    vrf: str = ""
    """"" where a T1 stands in its place, or the Controller chooses."""
    t1_lr: str = ""
    vip_networks: tuple[VipNetwork, ...] = ()
    node_networks: tuple[NodeNetwork, ...] = ()
    enable_rhi: bool = False
    bgp_peer_labels: tuple[str, ...] = ()
    has_public_ip: bool = False

    @property
    def families(self) -> tuple[str, ...]:
        """What a VIP has here: ``IPv4``, ``IPv6`` or both."""
        return self.vip_networks[0].families if self.vip_networks else ("IPv4",)


def placement(settings: ReconcilerSettings, infra: InfraSetting | None = None, *, tenant: str = "") -> Placement:
    """Where a group is built.

    Args:
        settings: The operator's, for all that nobody overrules.
        infra: The AviInfraSetting that the group's Services or its Namespace name.
        tenant: The Namespace's, "" for the settings'.
    """
    infra = infra or InfraSetting("")
    t1_lr = infra.t1_lr or settings.avi_nsxt_t1_lr
    enable_rhi = settings.avi_enable_rhi if infra.enable_rhi is None else infra.enable_rhi
    return Placement(
        tenant=tenant or settings.avi_tenant,
        cloud=settings.avi_cloud,
        se_group=infra.se_group or settings.avi_se_group,
        vrf="" if t1_lr else settings.avi_vrf,
        t1_lr=t1_lr,
        vip_networks=tuple(_vip_networks(infra.vip_networks)) or settings.avi_vip_networks,
        node_networks=tuple(_node_networks(infra.node_networks)) or settings.node_networks,
        enable_rhi=enable_rhi,
        # Labels of a route that is not announced are refused by the Controller (ako.md 8).
        bgp_peer_labels=(infra.bgp_peer_labels or settings.peer_labels) if enable_rhi else (),
        has_public_ip=infra.enable_public_ip,
    )


def _vip_networks(networks: Iterable[Network]) -> Iterable[VipNetwork]:
    return (VipNetwork(each.name, each.cidr, each.cidr_v6, each.uuid) for each in networks)


def _node_networks(networks: Iterable[Network]) -> Iterable[NodeNetwork]:
    return (NodeNetwork(each.name, each.cidrs, each.uuid) for each in networks)
