"""From the ledger, the Services and their EndpointSlices to what a graph depends on; it never asks anybody."""

from collections.abc import Iterable

from reconciler.desired import Observation, Serving
from reconciler.graph import GroupGraph, objects_in
from reconciler.ports import Kubernetes, ListenerReport
from sharedvip.ledger import Ledger
from sharedvip.model import GroupName, Listener, ServiceView


def observe(group: GroupName, *, ledger: Ledger | None, kubernetes: Kubernetes, licence_tier: str) -> Observation:
    """The group as it may be built now."""
    serving = accepted_listeners(ledger, kubernetes.members(group))
    services = {each.service.name for each in serving.values()}
    return Observation(
        group=group,
        serving=serving,
        static_address=ledger.shared.static_address if ledger else "",
        slices={name: kubernetes.slices(name) for name in services},
        licence_tier=licence_tier,
    )


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
