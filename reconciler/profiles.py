"""Which network profile and health monitor a listener gets; it never knows whose listener it is.

Source: ``ako.md`` 2.2, the table measured with AKO 2.2.1 (``getNetworkProfile``).
"""

from collections.abc import Iterable
from typing import Final

from sharedvip.model import Listener

APPLICATION_PROFILE: Final = "System-L4-Application"

_ENTERPRISE_TIERS: Final = frozenset({"ENTERPRISE", "ENTERPRISE_WITH_CLOUD_SERVICES"})
_UDP: Final = "System-UDP-Fast-Path"
_SCTP: Final = "System-SCTP-Proxy"


def tcp_profile(licence_tier: str) -> str:
    """A proxy where the licence has one, else the fast path."""
    return "System-TCP-Proxy" if licence_tier in _ENTERPRISE_TIERS else "System-TCP-Fast-Path"


def has_overrides(licence_tier: str) -> bool:
    """Whether one virtual service may serve several protocols: profiles per service, rules by protocol.

    Source: ``avi.md`` 3, fields marked *Ent* in 30.2.
    """
    return licence_tier in _ENTERPRISE_TIERS


def network_profile(listeners: Iterable[Listener], *, licence_tier: str) -> str:
    """The profile of the whole virtual service."""
    protocols = {listener.protocol for listener in listeners}
    if "TCP" in protocols:
        return tcp_profile(licence_tier)
    return _SCTP if protocols == {"SCTP"} else _UDP


def override(listener: Listener, *, protocols: Iterable[str]) -> str:
    """The profile of one listener where it differs from the whole's kind; "" for none."""
    if len(set(protocols)) == 1:
        return ""
    return {"UDP": _UDP, "SCTP": _SCTP}.get(listener.protocol, "")


def health_monitor(listener: Listener) -> str:
    """The Controller's own monitor for the protocol."""
    return f"System-{listener.protocol}"
