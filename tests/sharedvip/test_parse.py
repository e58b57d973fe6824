"""Service JSON to ``ServiceView``: defaults, absent parts, and nothing else."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import pytest

from sharedvip.annotations import INTENDED_ADDRESS
from sharedvip.model import Listener, ServiceName, ServicePort, ServiceView, SharedValues
from sharedvip.parse import (
    ADDRESS_ANNOTATION_FIELD,
    ADDRESS_FIELD,
    ServiceObject,
    annotation_field,
    judged_annotations,
    judged_spec,
    parse_service,
    port_field,
    shared_values,
    static_address,
    static_address_field,
)
from tests.builders import service, service_object

FULL: dict[str, object] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {
        "name": "web",
        "namespace": "shop",
        "uid": "u1",
        "labels": {"ako.vmware.com/enable-shared-vip": "from-label"},
        "annotations": {
            "ako.vmware.com/enable-shared-vip": "k1",
            "ako.vmware.com/load-balancer-ip": "10.0.0.2",
            "aviinfrasetting.ako.vmware.com/name": "gold",
            "ako.vmware.com/l4rule": "fast",
        },
        "deletionTimestamp": "2026-11-23T00:00:00Z",
    },
    "spec": {
        "type": "LoadBalancer",
        "loadBalancerIP": "10.0.0.1",
        "loadBalancerClass": "ako.vmware.com/avi-lb",
        "ipFamilies": ["IPv4", "IPv6"],
        "sessionAffinity": "ClientIP",
        "loadBalancerSourceRanges": ["10.0.0.0/8"],
        "externalTrafficPolicy": "Local",
        "ports": [
            {"name": "http", "port": 80, "protocol": "TCP", "targetPort": "web"},
            {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 5353},
        ],
    },
    "status": {
        "loadBalancer": {"ingress": [{"ip": "10.0.0.1"}, {"hostname": "x"}, {"ip": ""}]},
        "conditions": [{"type": "Other"}, {"type": "sharedvip.dev/Ready"}],
    },
}


def parsed(document: object, namespace: str = "") -> ServiceView:
    """A document as it comes from outside."""
    return parse_service(cast("ServiceObject", document), namespace=namespace)


def test_every_field_is_read() -> None:
    """A Service that says everything we read."""
    assert parsed(FULL) == ServiceView(
        name=ServiceName("shop", "web"),
        uid="u1",
        type="LoadBalancer",
        sharing_key="k1",
        sharing_label="from-label",
        ports=(
            ServicePort(0, Listener(80, "TCP"), name="http", target_port="web"),
            ServicePort(1, Listener(53, "UDP"), name="dns", target_port=5353),
        ),
        load_balancer_ip="10.0.0.1",
        address_annotation="10.0.0.2",
        load_balancer_class="ako.vmware.com/avi-lb",
        infra_setting="gold",
        l4_rule="fast",
        ip_families=("IPv4", "IPv6"),
        session_affinity="ClientIP",
        has_source_ranges=True,
        external_traffic_policy="Local",
        is_deleting=True,
        vips=("10.0.0.1",),
        has_ready_condition=True,
    )


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({}, id="nothing at all"),
        pytest.param({"metadata": {}, "spec": {}, "status": {}}, id="empty parts"),
        pytest.param(
            {
                "metadata": {"annotations": None, "labels": None, "deletionTimestamp": None},
                "spec": {
                    "type": "",
                    "ports": None,
                    "loadBalancerIP": None,
                    "loadBalancerClass": None,
                    "ipFamilies": None,
                    "sessionAffinity": None,
                    "loadBalancerSourceRanges": None,
                    "externalTrafficPolicy": None,
                },
                "status": {"loadBalancer": {"ingress": None}, "conditions": None},
            },
            id="parts that are null",
        ),
    ],
)
def test_what_a_service_does_not_say_is_absent(document: object) -> None:
    """Absent, empty and null are the same, and the type defaults to ClusterIP."""
    assert parsed(document) == ServiceView(name=ServiceName("", ""))


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        pytest.param(
            {"port": 80}, ServicePort(0, Listener(80, "TCP"), target_port=80), id="protocol and target default"
        ),
        pytest.param(
            {"port": 80, "protocol": "", "targetPort": 0},
            ServicePort(0, Listener(80, "TCP"), target_port=80),
            id="empty ones default too",
        ),
        pytest.param(
            {"port": 80, "protocol": None, "targetPort": None, "name": None},
            ServicePort(0, Listener(80, "TCP"), target_port=80),
            id="and null ones",
        ),
        pytest.param({}, ServicePort(0, Listener(0, "TCP")), id="a port without a number is 0, for others to refuse"),
    ],
)
def test_ports_default_as_the_api_server_does(port: object, expected: ServicePort) -> None:
    """A manifest has met no API server."""
    assert parsed({"spec": {"ports": [port]}}).ports == (expected,)


def test_an_empty_key_is_an_answer() -> None:
    """Whoever wrote the annotation asked for something; no annotation asks for nothing."""
    assert parsed({"metadata": {"annotations": {"ako.vmware.com/enable-shared-vip": ""}}}).sharing_key == ""
    assert parsed({"metadata": {"annotations": {}}}).sharing_key is None


def test_a_manifest_without_a_namespace_is_in_the_one_that_is_told() -> None:
    """What it says itself comes first."""
    assert parsed({"metadata": {"name": "web"}}, "shop").name == ServiceName("shop", "web")
    assert parsed({"metadata": {"name": "web", "namespace": "own"}}, "shop").name == ServiceName("own", "web")


def test_a_generated_name_stands_in_until_there_is_one() -> None:
    """``kubectl create`` of a manifest with generateName, before the API server has named it."""
    assert parsed({"metadata": {"generateName": "web-"}}).name.name == "web-"


def test_the_builders_build_the_same_service_twice() -> None:
    """As JSON and as a value: what holds for the one in a test holds for the other."""
    document = service_object("web", "80/TCP", "53/UDP", spec={"loadBalancerIP": "10.0.0.1"})

    view = parse_service(document)

    built = service("web", "80/TCP", "53/UDP", load_balancer_ip="10.0.0.1")
    assert (view.name, view.group, view.is_member) == (built.name, built.group, built.is_member)
    assert (view.listeners, view.load_balancer_ip) == (built.listeners, built.load_balancer_ip)


def test_a_service_object_without_a_key_has_no_annotation() -> None:
    """An ordinary LoadBalancer Service."""
    assert parse_service(service_object(key=None)).group is None


@pytest.mark.parametrize(
    ("view", "address", "field"),
    [
        pytest.param(service(), "", ADDRESS_FIELD, id="none, and where it would go"),
        pytest.param(service(load_balancer_ip="10.0.0.1"), "10.0.0.1", ADDRESS_FIELD, id="the field"),
        pytest.param(service(address_annotation="10.0.0.1"), "10.0.0.1", ADDRESS_ANNOTATION_FIELD, id="the annotation"),
        pytest.param(
            service(load_balancer_ip="10.0.0.1", address_annotation="10.0.0.2"),
            "10.0.0.1",
            ADDRESS_FIELD,
            id="the field wins over the annotation",
        ),
        pytest.param(service(load_balancer_ip="2001:DB8::1"), "2001:db8::1", ADDRESS_FIELD, id="in canonical spelling"),
    ],
)
def test_the_static_address_and_where_it_is(view: ServiceView, address: str, field: str) -> None:
    """Source: AKO 2.2.1 reads the field first."""
    assert (static_address(view), static_address_field(view)) == (address, field)


def test_the_shared_values_are_what_a_group_must_agree_on() -> None:
    """Address, class and the two settings."""
    view = service(load_balancer_ip="2001:DB8::1", load_balancer_class="c", infra_setting="i", l4_rule="l")

    assert shared_values(view) == SharedValues("2001:db8::1", "c", "i", "l")


def test_fields_are_named_as_kubernetes_writes_them() -> None:
    """For messages and causes."""
    assert port_field(1) == "spec.ports[1]"
    assert annotation_field("a/b") == "metadata.annotations[a/b]"


def variations(whole: Any) -> Iterator[Any]:  # noqa: ANN401 - any JSON
    """Copies of a document, in each of which one thing, at any depth, is gone or another one."""
    for place in list(whole) if hasattr(whole, "keys") else range(len(whole)):
        held, other = whole[place], copy.copy(whole)
        del other[place]
        yield other
        is_leaf = isinstance(held, str | int)
        for value in ("other" if isinstance(held, str) else 7,) if is_leaf else variations(held):
            other = copy.copy(whole)
            other[place] = value
            yield other


def without_targets(spec: object, notes: object) -> ServiceView:
    """What is read, as if all its ports led to the same place."""
    view = parsed({"metadata": {"annotations": notes}, "spec": spec})
    return replace(view, ports=tuple(replace(port, target_port=0) for port in view.ports))


SPEC, NOTES = cast("Any", FULL["spec"]), {**cast("Any", FULL["metadata"])["annotations"], INTENDED_ADDRESS: "10.0.0.3"}


@pytest.mark.parametrize("spec", [SPEC, *variations(SPEC)])
def test_all_of_a_spec_that_an_answer_may_depend_on_is_judged(spec: Any) -> None:  # noqa: ANN401 - likewise
    """Where the same is judged, all that is read but the targets is the same."""
    is_same = judged_spec(spec) == judged_spec(SPEC)
    assert not is_same or without_targets(spec, NOTES) == without_targets(SPEC, NOTES)


@pytest.mark.parametrize("notes", list(variations(NOTES)))
def test_all_notes_that_an_answer_may_depend_on_are_judged(notes: dict[str, str]) -> None:
    """Each of them is read; others are not."""
    assert judged_annotations(notes) != judged_annotations(NOTES)
    assert judged_annotations({**notes, "kubectl.kubernetes.io/last-applied-configuration": "{}"}) == (
        judged_annotations(notes)
    )


def test_what_only_the_pool_knows_is_not_judged() -> None:
    """A selector, where a port leads to, which node it is on."""
    ports = [{**port, "targetPort": 9000, "nodePort": 31000} for port in SPEC["ports"]]
    other: Any = {**SPEC, "ports": ports, "selector": {"app": "green"}}
    assert judged_spec(other) == judged_spec(SPEC)
