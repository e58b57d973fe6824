"""Which servers a listener's pool has where they are endpoints; it never decides what a pool is.

Source: ``ako.md`` 2.2 and section 7 (r) and (s), which are done better here: ``ready: nil`` is ready, and a named
target port is resolved in each slice.
"""

from collections.abc import Collection, Iterable
from ipaddress import ip_address
from typing import NamedTuple, Protocol

from reconciler.graph import JsonObject
from sharedvip.model import ServicePort


class SlicePort(Protocol):
    """A port of an EndpointSlice, by the name that the Service gave it."""

    @property
    def name(self) -> str: ...  # noqa: D102 - the Kubernetes field of that name
    @property
    def port(self) -> int: ...  # noqa: D102 - the Kubernetes field of that name
    @property
    def protocol(self) -> str: ...  # noqa: D102 - the Kubernetes field of that name


class SliceEndpoint(Protocol):
    """One endpoint: a pod as a rule."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """At least one; they are interchangeable, and the first is used (Kubernetes API reference)."""
        ...

    @property
    def is_ready(self) -> bool:
        """True also where ``ready`` is missing (Kubernetes API reference: nil means ready)."""
        ...

    @property
    def is_terminating(self) -> bool: ...  # noqa: D102 - the Kubernetes condition of that name
    @property
    def node(self) -> str: ...  # noqa: D102 - ``nodeName``


class Slice(Protocol):
    """An EndpointSlice of a Service, as ``cluster.endpoint_slices`` reads it."""

    @property
    def address_type(self) -> str: ...  # noqa: D102 - ``IPv4``, ``IPv6`` or ``FQDN``
    @property
    def ports(self) -> tuple[SlicePort, ...]: ...  # noqa: D102 - the Kubernetes field of that name
    @property
    def endpoints(self) -> tuple[SliceEndpoint, ...]: ...  # noqa: D102 - the Kubernetes field of that name


class Place(NamedTuple):
    """Where a server listens."""

    address: str
    port: int


class State(NamedTuple):
    """Whether it takes new connections, and the node it is on, "" where nobody tells."""

    is_enabled: bool
    node: str


class Endpoint(NamedTuple):
    """One port of one endpoint of one listener."""

    place: "Place"
    state: "State"


def endpoints(port: ServicePort, slices: Iterable[Slice], *, families: Collection[str]) -> tuple[Endpoint, ...]:
    """The endpoints behind a listener, sorted by address and port, each once.

    Not ready and terminating endpoints are there with ``enabled: false``, so that their connections may end.

    Args:
        port: The Service's port: a slice's port counts if its name and its protocol are the same.
        slices: All EndpointSlices of the Service.
        families: ``IPv4``, ``IPv6`` or both.
    """
    found: dict[Place, State] = {}
    for endpoint_slice in slices:
        if endpoint_slice.address_type in families:
            _collect(port, endpoint_slice, found)
    return tuple(Endpoint(place, found[place]) for place in sorted(found, key=order))


def servers(port: ServicePort, slices: Iterable[Slice], *, families: Collection[str]) -> tuple[JsonObject, ...]:
    """The pool's servers, one for each of the ``endpoints``."""
    return tuple(render(endpoint) for endpoint in endpoints(port, slices, families=families))


def _collect(port: ServicePort, endpoint_slice: Slice, found: dict[Place, State]) -> None:
    numbers = [
        number
        for p in endpoint_slice.ports
        if (p.name, p.protocol) == (port.name, port.listener.protocol) and (number := p.port or _number(port))
    ]
    for endpoint in endpoint_slice.endpoints:
        state = State(endpoint.is_ready and not endpoint.is_terminating, endpoint.node)
        for place in (Place(endpoint.addresses[0], number) for number in numbers if endpoint.addresses):
            # While an endpoint moves between slices it is in both: what says "ready" is the newer.
            found[place] = max(found.get(place, state), state)


def _number(port: ServicePort) -> int:
    """A slice port without a number restricts nothing: then the Service's own target counts, if it is a number."""
    return port.target_port if isinstance(port.target_port, int) else 0


def order(place: Place) -> tuple[int, int, int]:
    """IPv4 before IPv6, then as numbers: the order of servers, whatever the order of the endpoints."""
    address = ip_address(place.address)
    return address.version, int(address), place.port


def render(endpoint: Endpoint) -> JsonObject:
    """The server as the Controller takes it."""
    place, state = endpoint
    address = ip_address(place.address)
    server: dict[str, object] = {
        "ip": {"addr": place.address, "type": f"V{address.version}"},
        "port": place.port,
        "external_uuid": f"{place.address}:{place.port}",
        "enabled": state.is_enabled,
    }
    if state.node:
        server["server_node"] = state.node
    return server  # pyright: ignore[reportReturnType] - built of JSON values only
