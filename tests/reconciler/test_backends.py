"""Servers in each service type: endpoints, node ports, ports that NodePortLocal opened; and through the real avisdk."""

from collections.abc import Collection, Generator
from dataclasses import replace

import pytest

from cluster.nodes import EXCLUDED, LocalPort, Node
from reconciler.backends import Backends, pool_servers, server_families
from reconciler.graph import text_in
from reconciler.networks import Selector
from reconciler.settings import IpFamily, ServiceType
from sharedvip.model import ServicePort, ServiceView
from tests.builders import listener, service
from tests.reconciler.controller import Avi
from tests.reconciler.options import FakeSurroundings, Scene, controller, detailed, play
from tests.reconciler.world import Endpoint, Port, Slice

WEB = detailed(service("web", "80/TCP"), node_ports=(31658,))
NODES = tuple(Node(f"node-{n}", {"IPv4": f"10.10.0.{n}", "IPv6": f"2001:db8::{n}"}) for n in (1, 2, 3))


@pytest.fixture(scope="module")
def avi(tmp_path_factory: pytest.TempPathFactory) -> Generator[Avi]:
    """A Controller."""
    with controller(tmp_path_factory.mktemp("backends")) as simulated:
        yield simulated


def _told(
    view: ServiceView,
    *slices: Slice,
    kind: ServiceType = "NodePort",
    nodes: Collection[Node] = NODES,
    families: tuple[str, ...] = ("IPv4",),
    opened: dict[str, tuple[LocalPort, ...]] | None = None,
    port: ServicePort | None = None,
) -> list[tuple[str, bool]]:
    backends = Backends(slices={view.name: slices}, nodes=tuple(nodes), local_ports=opened or {})
    found = pool_servers(view, port or view.ports[0], backends, kind=kind, families=families)
    return [(text_in(server, "external_uuid"), server["enabled"] is True) for server in found]


def test_every_node_serves_a_node_port() -> None:
    """At the nodePort, once each, whatever runs there."""
    assert _told(WEB) == [(f"10.10.0.{n}:31658", True) for n in (1, 2, 3)]


def test_a_node_has_one_address_of_the_vips_family() -> None:
    """IPv6 for an IPv6 VIP; the first that a node has where both will do (``ako.md`` 1.4: never both)."""
    assert [text for text, _ in _told(WEB, families=("IPv6",))] == [f"2001:db8::{n}:31658" for n in (1, 2, 3)]
    mixed = (Node("a", {"IPv6": "2001:db8::9"}), Node("b", {"IPv4": "10.0.0.9", "IPv6": "2001:db8::8"}), Node("c", {}))
    assert [text for text, _ in _told(WEB, nodes=mixed, families=("IPv4", "IPv6"))] == [
        "10.0.0.9:31658",
        "2001:db8::9:31658",
    ]


def test_a_node_that_load_balancers_must_leave_out_is_left_out() -> None:
    """AKO sends it traffic (``ako.md`` 1.4, node state)."""
    excluded = replace(NODES[0], labels={EXCLUDED: ""})

    assert _told(WEB, nodes=(excluded, NODES[1])) == [("10.10.0.2:31658", True)]


def test_local_traffic_goes_only_where_an_endpoint_is() -> None:
    """``externalTrafficPolicy: Local``; a node whose endpoints are not ready is disabled, not removed."""
    local = replace(WEB, external_traffic_policy="Local")
    endpoints = (
        Endpoint(("10.244.0.1",), node="node-1"),
        Endpoint(("10.244.0.2",), node="node-1", is_ready=False),
        Endpoint(("10.244.0.3",), node="node-3", is_ready=False),
    )

    assert _told(local, Slice(endpoints)) == [("10.10.0.1:31658", True), ("10.10.0.3:31658", False)]


def test_the_skip_annotation_takes_endpoints_instead() -> None:
    """``skipnodeport.ako.vmware.com/enabled``."""
    skipping = detailed(service("web", "80/TCP"), skips=True, node_ports=(31658,))

    assert _told(skipping, Slice((Endpoint(("10.244.0.1",)),))) == [("10.244.0.1:8080", True)]


def test_without_a_node_port_there_is_no_server() -> None:
    """``allocateLoadBalancerNodePorts: false``."""
    assert _told(detailed(service("web", "80/TCP"))) == []
    assert _told(detailed(service("web", "80/TCP"), node_ports=(0,))) == []


def test_node_port_local_takes_what_was_opened_for_the_endpoints_port() -> None:
    """Of the same number and protocol; readiness comes from the slice."""
    opened = {
        "10.244.0.1": (
            LocalPort(8080, "TCP", "10.10.0.1", 40002),
            LocalPort(8080, "UDP", "10.10.0.1", 40003),
            LocalPort(9090, "TCP", "10.10.0.1", 40004),
        ),
        "10.244.0.2": (LocalPort(8080, "TCP", "10.10.0.2", 40002),),
    }
    pods = Slice((Endpoint(("10.244.0.1",)), Endpoint(("10.244.0.2",), is_ready=False), Endpoint(("10.244.0.3",))))

    assert _told(WEB, pods, kind="NodePortLocal", opened=opened) == [
        ("10.10.0.1:40002", True),
        ("10.10.0.2:40002", False),
    ]


def test_a_named_target_port_is_another_number_in_another_pod() -> None:
    """With NodePortLocal too."""
    opened = {f"10.244.0.{n}": (LocalPort(8000 + n, "TCP", f"10.10.0.{n}", 40000),) for n in (1, 2)}
    slices = [Slice((Endpoint((f"10.244.0.{n}",)),), (Port(port=8000 + n),)) for n in (1, 2)]

    assert [text for text, _ in _told(WEB, *slices, kind="NodePortLocal", opened=opened)] == [
        "10.10.0.1:40000",
        "10.10.0.2:40000",
    ]


def test_a_slice_port_without_a_number_means_the_services_own_target() -> None:
    """Kubernetes API reference: such a port is not restricted."""
    port = ServicePort(0, listener("80/TCP"), target_port=8443)
    pods = Slice((Endpoint(("10.0.0.1",)),), (Port(port=0),))

    assert _told(WEB, pods, kind="ClusterIP", port=port) == [("10.0.0.1:8443", True)]
    assert _told(WEB, pods, kind="ClusterIP", port=replace(port, target_port="https")) == []


def test_a_dual_stack_vip_has_the_endpoints_of_both_families() -> None:
    """IPv4 first, each family in the order of its numbers."""
    slices = (
        Slice((Endpoint(("2001:db8::1",)),), address_type="IPv6"),
        Slice((Endpoint(("10.0.0.2",)),)),
        Slice((Endpoint(("host.example.com",)),), address_type="FQDN"),
    )

    told = _told(WEB, *slices, kind="ClusterIP", families=("IPv4", "IPv6"))

    assert [text for text, _ in told] == ["10.0.0.2:8080", "2001:db8::1:8080"]


@pytest.mark.parametrize(
    ("own", "vip", "setting", "families"),
    [
        pytest.param((), ("IPv4",), "", ("IPv4",), id="the VIP's"),
        pytest.param(("IPv4", "IPv6"), ("IPv6",), "", ("IPv6",), id="the VIP's of a dual-stack Service"),
        pytest.param(("IPv6",), ("IPv4",), "", ("IPv6",), id="the Service's own where it has none of the VIP's"),
        pytest.param(("IPv6",), ("IPv4",), "V4", ("IPv4",), id="the setting's, whatever else"),
        pytest.param((), ("IPv4",), "V4_V6", ("IPv4", "IPv6"), id="both by the setting"),
    ],
)
def test_the_family_of_servers(
    own: tuple[str, ...], vip: tuple[str, ...], setting: IpFamily, families: tuple[str, ...]
) -> None:
    """Source: ``ako.md`` 1.4, ipFamilies."""
    view = service("web", ip_families=own)

    assert server_families(view, vip=vip, setting=setting) == families


def test_nodes_that_come_go_and_move_are_one_patch_per_pool(avi: Avi) -> None:
    """AKO does not follow them for a shared VIP (``ako.md`` section 7, g); nodes that are not selected do not count."""
    worker = {"role": "worker"}
    around = FakeSurroundings(machines=[replace(NODES[0], labels=worker), NODES[1]])
    dns = detailed(service("dns", "53/UDP"), node_ports=(31331,))

    async def story(scene: Scene) -> None:
        assert await scene.look() == ["POST macro"]
        assert avi.servers(scene.name("TCP~80")) == ["10.10.0.1:31658"]
        assert avi.servers(scene.name("UDP~53")) == ["10.10.0.1:31331"]
        around.machines.append(replace(NODES[2], labels=worker))
        assert await scene.look() == ["PATCH pool", "PATCH pool"]
        assert avi.servers(scene.name("TCP~80")) == ["10.10.0.1:31658", "10.10.0.3:31658"]
        around.machines[0] = replace(around.machines[0], addresses={"IPv4": "10.10.9.9"})
        assert await scene.look() == ["PATCH pool", "PATCH pool"]
        del around.machines[2]
        assert await scene.look() == ["PATCH pool", "PATCH pool"]
        assert avi.servers(scene.name("TCP~80")) == ["10.10.9.9:31658"]
        assert await scene.look() == []

    play(avi, story, WEB, dns, around=around, service_type="NodePort", node_port_selector="role=worker")


def test_who_has_no_node_port_reads_it(avi: Avi) -> None:
    """In the group's message: the pool is there, and empty."""

    async def story(scene: Scene) -> None:
        await scene.look()
        assert scene.message().endswith("; Service 'bare' has no nodePort for 80/TCP, so it has no servers")

    play(avi, story, detailed(service("bare", "80/TCP")), service_type="NodePort")


def test_a_pod_that_node_port_local_opened_becomes_a_server(avi: Avi) -> None:
    """As soon as its annotation says so."""
    around = FakeSurroundings()

    async def story(scene: Scene) -> None:
        await scene.look()
        assert avi.servers(scene.name("TCP~80")) == []
        around.opened["10.244.1.11"] = (LocalPort(8080, "TCP", "10.10.0.1", 40002),)
        assert await scene.look() == ["PATCH pool"]
        assert avi.servers(scene.name("TCP~80")) == ["10.10.0.1:40002"]

    play(avi, story, WEB, around=around, service_type="NodePortLocal")


def test_a_selector_is_a_label_with_a_value_or_with_any() -> None:
    """As kubectl writes it."""
    assert Selector("role", "worker").selects({"role": "worker"})
    assert not Selector("role", "worker").selects({"role": "master"})
    assert Selector("role").selects({"role": "master"})
    assert not Selector("role").selects({})
