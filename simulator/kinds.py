"""The object types: their paths, their names in error texts, their scope; it holds no object."""

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Kind:
    """One object type.

    Attributes:
        path: As in ``/api/<path>``; also the prefix of its uuids.
        class_name: As in "VsVip object not found!".
        is_cloud_scoped: Whether names are unique per tenant and cloud, and the object has a ``cloud_ref``.
        is_shared: Whether the objects of tenant ``admin`` are visible in every tenant.
    """

    path: str
    class_name: str
    is_cloud_scoped: bool = False
    is_shared: bool = False

    @property
    def words(self) -> str:
        """The class name as words, as in "Vrf context with this Name". Source: avi.md 2.5 [TF], [INF pattern]."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", self.class_name).capitalize()


KINDS: Final[dict[str, Kind]] = {
    kind.path: kind
    for kind in (
        Kind("tenant", "Tenant", is_shared=True),
        Kind("cloud", "Cloud", is_shared=True),
        Kind("vrfcontext", "VrfContext", is_cloud_scoped=True, is_shared=True),
        Kind("serviceenginegroup", "ServiceEngineGroup", is_cloud_scoped=True, is_shared=True),
        Kind("network", "Network", is_cloud_scoped=True, is_shared=True),
        Kind("ipamdnsproviderprofile", "IpamDnsProviderProfile", is_shared=True),
        Kind("networkprofile", "NetworkProfile"),
        Kind("applicationprofile", "ApplicationProfile"),
        Kind("analyticsprofile", "AnalyticsProfile"),
        Kind("healthmonitor", "HealthMonitor"),
        Kind("pool", "Pool", is_cloud_scoped=True),
        Kind("vsvip", "VsVip", is_cloud_scoped=True),
        Kind("l4policyset", "L4PolicySet"),
        Kind("virtualservice", "VirtualService", is_cloud_scoped=True),
    )
}
"""By path. Source: avi.md 2.2, 2.5; l4policyset is tenant-scoped (avi.md 3). Which kinds of ``admin`` other tenants
see, besides system defaults, is assumed: those that a virtual service cannot do without."""

KIND_BY_CLASS: Final[dict[str, Kind]] = {kind.class_name: kind for kind in KINDS.values()}

EMPTY_KINDS: Final = frozenset(
    {
        *("poolgroup", "httppolicyset", "vsdatascriptset", "sslkeyandcertificate", "pkiprofile", "stringgroup"),
        *("applicationpersistenceprofile", "vimgrnwruntime", "networksecuritypolicy", "securitypolicy", "sslprofile"),
    }
)
"""Types of which nothing is simulated but the empty list, for AKO asks at its start and for what an L4Rule names.

Source: ako.md 6.1, 8, Appendix B.
"""

REFERENCE_KINDS: Final[dict[str, str]] = {
    "tenant_ref": "tenant",
    "cloud_ref": "cloud",
    "vrf_ref": "vrfcontext",
    "vrf_context_ref": "vrfcontext",
    "se_group_ref": "serviceenginegroup",
    "se_group_template_ref": "serviceenginegroup",
    "network_ref": "network",
    "nw_ref": "network",
    "ipam_provider_ref": "ipamdnsproviderprofile",
    "dns_provider_ref": "ipamdnsproviderprofile",
    "network_profile_ref": "networkprofile",
    "override_network_profile_ref": "networkprofile",
    "application_profile_ref": "applicationprofile",
    "override_application_profile_ref": "applicationprofile",
    "analytics_profile_ref": "analyticsprofile",
    "health_monitor_ref": "healthmonitor",
    "pool_ref": "pool",
    "default_pool_ref": "pool",
    "service_pool_ref": "pool",
    "vsvip_ref": "vsvip",
    "l4_policy_set_ref": "l4policyset",
    "vs_ref": "virtualservice",
}
"""Which kind a reference field holds (a list ``<x>_refs`` like ``<x>_ref``). Source: avi.md 3 [SW]."""

UNRESOLVED: Final[dict[str, tuple[int, str]]] = {
    "vrfcontext": (400, "VrfContext object not found"),
    "network": (400, "Network object not found"),
}
"""Status and text for a reference in a body that names nothing; every other kind is 404 "<Class> object not found!".

Source: avi.md 2.5 [AKO]: pool 404, vrf and network 400. Assumed for the kinds not listed there.
"""
