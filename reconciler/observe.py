"""From the ledger, the Services and what is around them to what a graph depends on; it never asks anybody."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cluster.ako_resources import DetailedService
from reconciler.backends import Backends, has_no_node_port
from reconciler.desired import Observation, Serving
from reconciler.graph import GroupGraph, objects_in
from reconciler.host_names import host_names
from reconciler.licence import Licensed, licensed, refusal
from reconciler.ports import Kubernetes, ListenerReport
from reconciler.servers import Slice
from reconciler.settings import ReconcilerSettings
from reconciler.surroundings import Surroundings
from reconciler.wishes import wishes
from sharedvip.ledger import Ledger
from sharedvip.model import GroupName, Listener, ServiceName, ServiceView


@dataclass(frozen=True, slots=True)
class Around:
    """All that a group depends on besides its ledger and its Services."""

    surroundings: Surroundings
    settings: ReconcilerSettings
    licence_tier: str
    domains: tuple[str, ...] = ()
    """Of the cloud's DNS."""
    is_built: bool = False
    """Whether anything of the group is on Avi already."""


def observe(group: GroupName, *, ledger: Ledger | None, kubernetes: Kubernetes, around: Around) -> Observation:
    """The group as it may be built now."""
    asked = wishes(group, ledger, surroundings=around.surroundings, settings=around.settings)
    accepted = accepted_listeners(ledger, kubernetes.members(group))
    licence = licensed(accepted, ledger.claims if ledger else (), tier=around.licence_tier)
    is_waiting = bool(asked.waits_for) and not around.is_built
    serving = {} if is_waiting or not asked.is_selected else _without(accepted, licence.without)
    services = {each.service.name: each.service for each in serving.values()}.values()
    slices = {service.name: kubernetes.slices(service.name) for service in services}
    return Observation(
        group=group,
        serving=serving,
        static_address=ledger.shared.static_address if ledger else "",
        slices=slices,
        licence_tier=around.licence_tier,
        backends=_backends(slices.values(), around),
        placement=asked.placement,
        l4_rule=asked.l4_rule,
        host_names={service.name: _host_names(service, around) for service in services},
        unserved=_unserved(accepted, licence, tier=around.licence_tier),
        waits_for=asked.waits_for if is_waiting else "",
        is_selected=asked.is_selected,
        notes=(*asked.notes, *_port_notes(serving, around.settings)),
    )


def _without(accepted: Mapping[Listener, Serving], gone: frozenset[Listener]) -> dict[Listener, Serving]:
    return {listener: serving for listener, serving in accepted.items() if listener not in gone}


def _unserved(accepted: Mapping[Listener, Serving], licence: Licensed, *, tier: str) -> dict[ServiceName, str]:
    by_service: dict[ServiceName, list[Listener]] = {}
    for listener in licence.without:
        by_service.setdefault(accepted[listener].service.name, []).append(listener)
    return {name: refusal(licence, listeners, tier=tier) for name, listeners in by_service.items()}


def _backends(slices: Iterable[tuple[Slice, ...]], around: Around) -> Backends:
    selector, kind = around.settings.nodes, around.settings.service_type
    if kind == "NodePort":
        nodes = around.surroundings.nodes()
        return Backends(nodes=tuple(node for node in nodes if selector is None or selector.selects(node.labels)))
    if kind == "ClusterIP":
        return Backends()
    endpoints = (endpoint for each in slices for one in each for endpoint in one.endpoints)
    addresses = {endpoint.addresses[0] for endpoint in endpoints if endpoint.addresses}
    return Backends(local_ports={address: around.surroundings.local_ports(address) for address in addresses})


def _host_names(service: ServiceView, around: Around) -> tuple[str, ...]:
    return host_names(
        service.name,
        annotated=service.hostname if isinstance(service, DetailedService) else "",
        domains=around.domains,
        default_domain=around.settings.avi_default_domain,
        auto=around.settings.avi_auto_fqdn,
    )


def _port_notes(serving: Mapping[Listener, Serving], settings: ReconcilerSettings) -> Iterable[str]:
    if settings.service_type == "NodePort":
        for listener in sorted(serving):
            service, port = serving[listener]
            if has_no_node_port(service, port):
                yield f"Service '{service.name.name}' has no nodePort for {listener}, so it has no servers"


def accepted_listeners(ledger: Ledger | None, members: Iterable[ServiceView]) -> dict[Listener, Serving]:
    """The listeners that are claimed *and* in the cluster, each with who serves it.

    Claims, not whole Services: a member whose update slipped past admission and is in conflict keeps serving what it
    was given before. What is claimed and not there yet, or not there any more, is not built. By name, not by uid: a
    namesake that was admitted and then not stored must not unseat the living Service (``docs/adr/0001-ledger.md``).
    """
    stored = {service.name.name: service for service in members if service.is_member}
    found: dict[Listener, Serving] = {}
    for claim in ledger.claims if ledger else ():
        service = stored.get(claim.service)
        ports = (p for p in service.ports if p.listener == claim.listener) if service else iter(())
        if service is not None and (port := next(ports, None)) is not None:
            found[claim.listener] = Serving(service, port)
    return found


def listener_reports(observation: Observation, graph: GroupGraph) -> tuple[ListenerReport, ...]:
    """What each listener has behind it, sorted by listener."""
    return tuple(
        _listener_report(listener, observation.serving[listener], graph) for listener in sorted(observation.serving)
    )


def _listener_report(listener: Listener, serving: Serving, graph: GroupGraph) -> ListenerReport:
    servers = objects_in(graph.pools[listener].body, "servers")
    ready = sum(server.get("enabled") is True for server in servers)
    return ListenerReport(listener, serving.service.name.name, len(servers), ready)
