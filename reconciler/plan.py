"""From what is wanted and what is there to an ordered list of REST calls; pure, it never calls.

Call count is the cost that matters (``avi.md`` 4.1): one macro call creates or deletes a group, one PATCH moves a
pool's servers, nothing is sent for nothing. The order respects every reference, so that a plan cut short after any
call leaves something that the next plan finishes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, cast

from reconciler.compare import differing_fields
from reconciler.graph import (
    CHECKSUM_FIELD,
    AviObject,
    GroupGraph,
    Json,
    JsonObject,
    ObjectType,
    ObservedGroup,
    ObservedObject,
    object_in,
    objects_in,
    referred_name,
    tenant_of,
    text_in,
)
from sharedvip.addresses import canonical
from sharedvip.model import Listener

Method = Literal["POST", "PUT", "PATCH", "DELETE"]
Target = Literal["macro", "virtualservice", "l4policyset", "pool", "vsvip"]

MACRO_MODEL: Final = "VirtualService"


@dataclass(frozen=True, slots=True)
class Call:
    """One REST call that writes."""

    method: Method
    target: Target
    name: str
    """Of the object, or of the virtual service of a macro."""
    uuid: str = ""
    """Of the object; "" for a POST."""
    body: JsonObject = field(default_factory=dict[str, Json])
    tenant: str = ""
    """Whose object it is; "" for the client's own tenant."""

    @property
    def path(self) -> str:
        """Below ``/api/``."""
        return f"{self.target}/{self.uuid}" if self.uuid and self.target != "macro" else self.target


def plan(wanted: GroupGraph | None, observed: ObservedGroup, *, has_macro: bool = True) -> tuple[Call, ...]:
    """The calls that make a group what is wanted, in order; none when it is.

    Args:
        wanted: The graph, None for nothing.
        observed: What is there.
        has_macro: Whether the Controller takes macro calls; without them a group of n listeners takes n + 3.
    """
    if wanted is None:
        return tuple(_teardown(observed, has_macro=has_macro))
    if _has_other_address(wanted, observed) or _has_other_tenant(wanted, observed):
        # "Changing an existing VIP's ... please recreate the VIP" (avi.md 2.5): there is no other way. Nor does an
        # object ever change its tenant.
        return (*_teardown(observed, has_macro=has_macro), *_creation(wanted, has_macro=has_macro))
    if not any(True for _ in observed):
        return tuple(_creation(wanted, has_macro=has_macro))
    return tuple(_alignment(wanted, observed))


def _has_other_address(wanted: GroupGraph, observed: ObservedGroup) -> bool:
    vip = objects_in(wanted.vsvip.body, "vip")[0]
    asked = text_in(object_in(vip, "ip_address"), "addr") or text_in(object_in(vip, "ip6_address"), "addr")
    return bool(asked and observed.vips) and canonical(asked) not in map(canonical, observed.vips)


def _has_other_tenant(wanted: GroupGraph, observed: ObservedGroup) -> bool:
    return observed.tenant not in ("", tenant_of(wanted.vsvip.body))


def _teardown(observed: ObservedGroup, *, has_macro: bool) -> Iterator[Call]:
    gone: set[tuple[ObjectType, str]] = set()
    if observed.virtualservice and has_macro:
        gone = tree(observed)
        uuid, name = observed.virtualservice.uuid, observed.virtualservice.name
        body: JsonObject = {"model_name": MACRO_MODEL, "data": {"uuid": uuid}}
        yield Call("DELETE", "macro", name, uuid, body, tenant_of(observed.virtualservice.body))
    yield from (_deletion(part) for part in observed if (part.type, part.name) not in gone)


def _deletion(part: ObservedObject) -> Call:
    return Call("DELETE", part.type, part.name, part.uuid, tenant=tenant_of(part.body))


class _Ref(NamedTuple):
    type: ObjectType
    ref: str


def tree(observed: ObservedGroup) -> set[tuple[ObjectType, str]]:
    """What a macro DELETE takes along: the virtual service, what it refers to, and what that refers to."""
    vs, policies = observed.virtualservice, observed.l4policyset
    if vs is None:
        return set()
    refs: list[_Ref] = [_Ref("vsvip", text_in(vs.body, "vsvip_ref"))]
    refs += [_Ref("l4policyset", text_in(entry, "l4_policy_set_ref")) for entry in objects_in(vs.body, "l4_policies")]
    if len(refs) > 1 and policies is not None:
        rules = objects_in(object_in(policies.body, "l4_connection_policy"), "rules")
        refs += [
            _Ref("pool", text_in(object_in(object_in(rule, "action"), "select_pool"), "pool_ref")) for rule in rules
        ]
    taken: set[tuple[ObjectType, str]] = {(vs.type, vs.name)}
    return taken.union((each.type, referred_name(each.ref, observed.names)) for each in refs if each.ref)


def _creation(wanted: GroupGraph, *, has_macro: bool) -> Iterator[Call]:
    if has_macro:
        body: JsonObject = {"model_name": MACRO_MODEL, "data": _nested(wanted)}
        yield Call("POST", "macro", wanted.virtualservice.name, body=body, tenant=tenant_of(wanted.virtualservice.body))
        return
    for part in (wanted.vsvip, *wanted.pools.values(), wanted.l4policyset, wanted.virtualservice):
        yield _post(part)


def _post(part: AviObject) -> Call:
    return Call("POST", part.type, part.name, body=part.body, tenant=tenant_of(part.body))


def _nested(wanted: GroupGraph) -> JsonObject:
    """The whole graph as one document: each ``x_ref`` of ours becomes ``x_ref_data`` (``avi.md`` 4.1)."""
    pools = {pool.name: pool.body for pool in wanted.pools.values()}
    policy = object_in(wanted.l4policyset.body, "l4_connection_policy")
    rules = [_rule_with_pool(rule, pools) for rule in objects_in(policy, "rules")]
    policies: JsonObject = {**wanted.l4policyset.body, "l4_connection_policy": {**policy, "rules": rules}}
    body = {key: value for key, value in wanted.virtualservice.body.items() if key != "vsvip_ref"}
    return {
        **body,
        "vsvip_ref_data": wanted.vsvip.body,
        "l4_policies": [{"index": 0, "l4_policy_set_ref_data": policies}],
    }


def _rule_with_pool(rule: JsonObject, pools: Mapping[str, JsonObject]) -> JsonObject:
    selection = object_in(object_in(rule, "action"), "select_pool")
    pool = pools[referred_name(text_in(selection, "pool_ref"), {})]
    chosen: JsonObject = {"action_type": selection["action_type"], "pool_ref_data": pool}
    return {**rule, "action": {"select_pool": chosen}}


def _alignment(wanted: GroupGraph, observed: ObservedGroup) -> Iterator[Call]:
    """Only what is missing or different: first what is referred to, then who refers, then what nobody refers to."""
    names = observed.names
    yield from _aligned(_as_kept(wanted.vsvip, observed.vsvip), observed.vsvip, names)
    for listener, pool in wanted.pools.items():
        yield from _aligned_pool(pool, observed.pools.get(listener), names)
    yield from _aligned(wanted.l4policyset, observed.l4policyset, names)
    yield from _aligned(wanted.virtualservice, observed.virtualservice, names)
    yield from (_deletion(observed.pools[gone]) for gone in _unwanted(wanted, observed))


def _unwanted(wanted: GroupGraph, observed: ObservedGroup) -> list[Listener]:
    return sorted(set(observed.pools) - set(wanted.pools))


def _as_kept(vsvip: AviObject, there: ObservedObject | None) -> AviObject:
    """A VIP stays on the network it has, with the families it has: other settings never move a living group.

    Its hash does not tell of it (``desired.UNHASHED``).
    """
    if there is None:
        return vsvip
    kept = [
        {key: value for key, value in vip.items() if key not in _KEPT_OF_A_VIP} for vip in objects_in(vsvip.body, "vip")
    ]
    return AviObject(vsvip.type, vsvip.name, {**vsvip.body, "vip": cast("Json", kept)})


_KEPT_OF_A_VIP: Final = frozenset({"ipam_network_subnet", "auto_allocate_ip_type"})


def _aligned(wanted: AviObject, there: ObservedObject | None, names: Mapping[str, str]) -> Iterator[Call]:
    if there is None:
        yield _post(wanted)
    elif differing_fields(wanted.body, there.body, names=names):
        yield _put(wanted, there)


def _put(wanted: AviObject, there: ObservedObject) -> Call:
    body = dict(wanted.body)
    if wanted.type == "vsvip":
        # What the VIP has that we did not ask for (its address, its network) stays, or the Controller refuses.
        body["vip"] = [{**old, **new} for old, new in zip(*_both_vips(wanted, there), strict=False)]
    if modified := text_in(there.body, "_last_modified"):
        # The optimistic lock (avi.md 2.6): a leader that lost its lease unawares gets 412 instead of undoing.
        body["_last_modified"] = modified
    return Call("PUT", wanted.type, wanted.name, there.uuid, body, tenant_of(wanted.body))


def _both_vips(wanted: AviObject, there: ObservedObject) -> tuple[tuple[JsonObject, ...], tuple[JsonObject, ...]]:
    return objects_in(there.body, "vip"), objects_in(wanted.body, "vip")


def _aligned_pool(wanted: AviObject, there: ObservedObject | None, names: Mapping[str, str]) -> Iterator[Call]:
    if there is None:
        yield _post(wanted)
        return
    differing = differing_fields(wanted.body, there.body, names=names)
    checksum = CHECKSUM_FIELD["pool"]
    if checksum in differing:
        # More is to be different than what the hash leaves out, and perhaps something that we no longer want is still
        # there: only a full replace removes it.
        yield _put(wanted, there)
    elif differing:
        replaced = {key: wanted.body[key] for key in (*differing, checksum)}
        yield Call("PATCH", "pool", wanted.name, there.uuid, {"replace": replaced}, tenant_of(wanted.body))
