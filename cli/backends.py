"""The endpoints behind each listener, as pools have them where Avi sends straight to pods; it never asks Avi."""

from collections.abc import Iterable, Mapping

import msgspec

from cluster.endpoint_slices import EndpointSlice
from reconciler.servers import Endpoint, endpoints
from sharedvip.model import Listener, ServiceName, ServiceView

FAMILIES = ("IPv4", "IPv6")
"""Of a Service that names none, which a stored LoadBalancer Service always does."""

Behind = Mapping[tuple[ServiceName, Listener], "tuple[EndpointLine, ...]"]


class EndpointLine(msgspec.Struct, frozen=True, rename="camel"):
    """One endpoint behind one listener; ``node`` "" where nobody tells."""

    address: str
    port: int
    is_ready: bool
    node: str = ""

    @property
    def place(self) -> str:
        """``10.0.0.1:80``, ``[2001:db8::1]:80``."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


def behind(services: Iterable[ServiceView], slices: Iterable[EndpointSlice]) -> Behind:
    """The endpoints of every listener of every Service, sorted; a listener without any has an empty entry."""
    of_service: dict[ServiceName, list[EndpointSlice]] = {}
    for one in slices:
        of_service.setdefault(one.service, []).append(one)
    return {
        (service.name, port.listener): tuple(
            map(_line, endpoints(port, of_service.get(service.name, ()), families=service.ip_families or FAMILIES))
        )
        for service in services
        for port in service.ports
    }


def _line(endpoint: Endpoint) -> EndpointLine:
    place, state = endpoint
    return EndpointLine(place.address, place.port, state.is_enabled, state.node)
