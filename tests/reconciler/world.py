"""An observation of the seed's group, and what a plan does to a Controller: the vocabulary of the pure tests."""

from collections.abc import Iterable
from dataclasses import dataclass

from reconciler.desired import Observation, Serving, desired
from reconciler.graph import (
    GroupGraph,
    JsonObject,
    ObjectType,
    ObservedGroup,
    ObservedObject,
    object_in,
    objects_in,
    text_in,
)
from reconciler.names import parse_name
from reconciler.plan import Call, tree
from reconciler.settings import ReconcilerSettings, VipNetwork
from sharedvip.model import GroupName, ServiceName, ServiceView
from tests.builders import GROUP, service

SETTINGS = ReconcilerSettings(cluster_name="cluster", avi_vip_networks=(VipNetwork("net1", "100.64.196.0/24"),))


@dataclass(frozen=True)
class Port:
    """A port of an EndpointSlice."""

    name: str = ""
    port: int = 8080
    protocol: str = "TCP"


@dataclass(frozen=True)
class Endpoint:
    """An endpoint: a ready pod."""

    addresses: tuple[str, ...]
    is_ready: bool = True
    is_terminating: bool = False
    node: str = ""


@dataclass(frozen=True)
class Slice:
    """An EndpointSlice."""

    endpoints: tuple[Endpoint, ...]
    ports: tuple[Port, ...] = (Port(),)
    address_type: str = "IPv4"


_EMPTY: JsonObject = {}


def two_pods(protocol: str = "TCP") -> tuple[Slice, ...]:
    """The endpoints of ``ako.md`` 2.3."""
    endpoints = Endpoint(("10.244.1.11",), node="node-0"), Endpoint(("10.244.2.12",), node="node-1")
    return (Slice(endpoints, (Port(protocol=protocol),)),)


LB1 = service("sharedvip-avisvc-lb1", "80/TCP")
LB2 = service("sharedvip-avisvc-lb2", "80/UDP")


def observation(
    *members: ServiceView,
    slices: dict[ServiceName, tuple[Slice, ...]] | None = None,
    static_address: str = "",
    group: GroupName = GROUP,
    licence_tier: str = "ENTERPRISE",
) -> Observation:
    """A group in which these members serve all their ports, with the seed's two pods behind each."""
    serving = {port.listener: Serving(member, port) for member in members for port in member.ports}
    pods = {
        member.name: tuple(s for port in member.ports for s in two_pods(port.listener.protocol)) for member in members
    }
    return Observation(group, serving, static_address, pods if slices is None else slices, licence_tier)


def graph(*members: ServiceView, static_address: str = "", licence_tier: str = "ENTERPRISE") -> GroupGraph:
    """The graph of such a group."""
    wanted = desired(observation(*members, static_address=static_address, licence_tier=licence_tier), SETTINGS)
    assert wanted is not None
    return wanted


def after(calls: Iterable[Call], observed: ObservedGroup, *, address: str = "100.64.196.61") -> ObservedGroup:
    """What the calls leave: the smallest model of a Controller, with no word on whether it would refuse."""
    for call in calls:
        observed = _after_one(call, observed, address)
    return observed


def _after_one(call: Call, observed: ObservedGroup, address: str) -> ObservedGroup:
    if call.method == "DELETE":
        gone = tree(observed) if call.target == "macro" else {(call.target, call.name)}
        for part in [part for part in observed if (part.type, part.name) in gone]:
            observed = observed.without(part.uuid)
        return observed
    if call.target == "macro":
        for kind, body in _flat(object_in(call.body, "data")):
            observed = _stored(observed, kind, body, address)
        return observed
    old: JsonObject = next((part.body for part in observed if part.uuid == call.uuid), _EMPTY)
    body = {**old, **object_in(call.body, "replace")} if call.method == "PATCH" else call.body
    return _stored(observed, call.target, body, address)


def _stored(observed: ObservedGroup, kind: ObjectType, body: JsonObject, address: str) -> ObservedGroup:
    text = text_in(body, "name")
    name = parse_name(text)
    assert name is not None
    if kind == "vsvip":
        vips = [{"ip_address": {"addr": address, "type": "V4"}, **vip} for vip in objects_in(body, "vip")]
        body = {**body, "vip": vips}
    return observed.having(ObservedObject(kind, text, f"{kind}-{text}", body), listener=name.listener)


def _flat(data: JsonObject) -> list[tuple[ObjectType, JsonObject]]:
    policies = object_in(objects_in(data, "l4_policies")[0], "l4_policy_set_ref_data")
    rules = objects_in(object_in(policies, "l4_connection_policy"), "rules")
    pools = [object_in(object_in(object_in(rule, "action"), "select_pool"), "pool_ref_data") for rule in rules]
    bare_rules = [
        {**rule, "action": {"select_pool": _by_name(object_in(object_in(rule, "action"), "select_pool"), pool)}}
        for rule, pool in zip(rules, pools, strict=True)
    ]
    vs = {key: value for key, value in data.items() if key != "vsvip_ref_data"}
    name = text_in(vs, "name")
    return [
        ("vsvip", object_in(data, "vsvip_ref_data")),
        *(("pool", pool) for pool in pools),
        ("l4policyset", {**policies, "l4_connection_policy": {"rules": bare_rules}}),
        (
            "virtualservice",
            {
                **vs,
                "vsvip_ref": f"/api/vsvip?name={name}",
                "l4_policies": [{"index": 0, "l4_policy_set_ref": f"/api/l4policyset?name={name}"}],
            },
        ),
    ]


def _by_name(selection: JsonObject, pool: JsonObject) -> JsonObject:
    return {"action_type": selection["action_type"], "pool_ref": f"/api/pool?name={text_in(pool, 'name')}"}
