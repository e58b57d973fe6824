"""AdmissionReviews as no API server sends them, from a seed: the same seed gives the same bytes; it judges nothing."""

import copy
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sharedvip.annotations import INFRA_SETTING, L4_RULE, LOAD_BALANCER_IP, SHARED_VIP
from soak.json_text import (
    NUMBERS_OF_ANOTHER_WORLD,
    STRINGS_OF_ANOTHER_WORLD,
    Pairs,
    Path,
    look_up,
    nested,
    paths,
    render,
)

Object = dict[str, Any]
Mutation = Callable[[random.Random, Object], None]

STORED_ONE_IN: Final = 40
"""One request in so many is no dry run. Such a claim waits for a Service that never comes, and stands in the way of the
others for the grace of 65 s; names, keys and ports are few, so that ledgers stay as small as users' are."""
_KEYS: Final = 8
_NAMES: Final = 12
_PORTS: Final = 12
_MOST_MUTATIONS: Final = 4


@dataclass(frozen=True, slots=True)
class Case:
    """One request body."""

    path: str
    body: bytes
    made_by: tuple[str, ...]
    """The mutations, for whoever has to find out."""


def cases(seed: int, *, namespaces: Sequence[str]) -> Iterator[Case]:
    """Without end."""
    chance = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
    while True:
        path = chance.choice(("/validate", "/validate", "/validate", "/mutate"))
        if chance.random() < 0.2:  # noqa: PLR2004 - a share, as below
            yield Case(path, raw(chance), ("raw",))
        else:
            yield mutated(chance, path=path, namespaces=namespaces)


def mutated(chance: random.Random, *, path: str, namespaces: Sequence[str]) -> Case:
    """A review with some things wrong, now and then with none."""
    whole = review(chance, namespace=chance.choice(namespaces))
    chosen = chance.choices(_MUTATIONS, k=chance.randrange(_MOST_MUTATIONS + 1))
    for mutate in chosen:
        if whole:  # three drops may have left nothing
            mutate(chance, whole)
    names, body = tuple(mutate.__name__ for mutate in chosen), render(whole)
    if chance.random() < 0.1:  # noqa: PLR2004 - likewise
        return Case(path, hurt(chance, body), (*names, "hurt"))
    return Case(path, body, names)


def review(chance: random.Random, *, namespace: str) -> Object:
    """As the API server sends it: a member is created or changed."""
    is_update = chance.random() < 0.4  # noqa: PLR2004 - likewise
    new = member(chance, namespace=namespace)
    old: Object | None = copy.deepcopy(new) if is_update else None
    if old is not None and chance.random() < 0.5:  # noqa: PLR2004 - likewise
        old["spec"] = member(chance, namespace=namespace)["spec"]
    kind = {"group": "", "version": "v1", "kind": "Service"}
    request = {
        "uid": f"{chance.getrandbits(128):032x}",
        "kind": kind,
        "resource": {"group": "", "version": "v1", "resource": "services"},
        "requestKind": kind,
        "name": new["metadata"]["name"],
        "namespace": namespace,
        "operation": "UPDATE" if is_update else "CREATE",
        "userInfo": {"username": "fuzz", "groups": ["system:authenticated"]},
        "object": new,
        "oldObject": old,
        "dryRun": chance.randrange(STORED_ONE_IN) > 0,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
    }
    return {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": copy.deepcopy(request)}


def member(chance: random.Random, *, namespace: str) -> Object:
    """A Service as it is when it has passed the API server's own checks."""
    name = f"web-{chance.randrange(_NAMES)}"
    listeners = {(80 + chance.randrange(_PORTS), chance.choice(("TCP", "UDP"))) for _ in range(chance.randrange(1, 4))}
    metadata: Object = {
        "name": name,
        "namespace": namespace,
        "uid": f"{chance.getrandbits(128):032x}",
        "resourceVersion": "1",
        "labels": {"app": "fuzz"},
        "annotations": {SHARED_VIP: f"key-{chance.randrange(_KEYS)}"},
        "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}],
    }
    spec = {
        "type": "LoadBalancer",
        "clusterIP": "10.96.0.7",
        "ipFamilies": ["IPv4"],
        "ports": [
            {"name": f"{protocol.lower()}-{port}", "port": port, "protocol": protocol, "targetPort": 8080}
            for port, protocol in sorted(listeners)
        ],
        "selector": {"app": "fuzz"},
    }
    if chance.random() < 0.1:  # noqa: PLR2004 - likewise
        spec["loadBalancerIP"] = f"10.200.0.{1 + chance.randrange(_KEYS)}"
    whole: Object = {"kind": "Service", "apiVersion": "v1", "metadata": metadata, "spec": spec}
    return {**whole, "status": {"loadBalancer": {}}}


def odd_value(chance: random.Random) -> Any:  # noqa: ANN401 - that is the point
    """Anything but what belongs there."""
    return chance.choice(_ODD_VALUES)(chance)


_ODD_VALUES: Final[tuple[Callable[[random.Random], Any], ...]] = (
    lambda chance: chance.choice((None, True, False, 0, -1, 80, 1.5, 80.0, "", " ", "x", [], {}, [None], {"": None})),
    lambda chance: chance.choice((2**31, 2**63, 2**64, 10**30, -(2**63) - 1, 65536, -(10**400))),
    lambda chance: chance.choice(NUMBERS_OF_ANOTHER_WORLD),
    lambda chance: chance.choice(STRINGS_OF_ANOTHER_WORLD),
    lambda chance: chance.choice(
        ("\0", "a\nb", "\u202e", "\U0001f600" * 20, "../../x", "%2e%2e", "a/b", "\u017f", "é", "{}")
    ),
    lambda chance: chance.choice("xé\0") * chance.choice((64, 254, 5000, 100_000)),
    lambda chance: nested(chance.choice((10, 90, 500, 1000, 5000, 50_000)), is_object=chance.random() < 0.5),  # noqa: PLR2004 - likewise
)


def _some_path(chance: random.Random, whole: Object) -> Path:
    """Not the whole document: that is ``raw``."""
    return chance.choice([path for path in paths(whole) if path])


def _parent(chance: random.Random, whole: Object) -> tuple[Any, str | int]:
    path = _some_path(chance, whole)
    return look_up(whole, path[:-1]), path[-1]


def replace_value(chance: random.Random, whole: Object) -> None:
    """One value becomes another, of any type."""
    parent, key = _parent(chance, whole)
    parent[key] = odd_value(chance)


def drop(chance: random.Random, whole: Object) -> None:
    """A field or an item goes."""
    parent, key = _parent(chance, whole)
    del parent[key]


def double_key(chance: random.Random, whole: Object) -> None:
    """A field is there twice, with two values: any field of any object but the outermost."""
    parents = [
        path for path in paths(whole) if path and look_up(whole, path) and isinstance(look_up(whole, path), dict)
    ]
    if not parents:
        return
    path = chance.choice(parents)
    items = list(look_up(whole, path).items())
    twins = [(chance.choice(items)[0], odd_value(chance))]
    look_up(whole, path[:-1])[path[-1]] = Pairs(tuple(chance.choice((twins + items, items + twins))))


def swap(chance: random.Random, whole: Object) -> None:
    """A piece of the document stands where another belongs."""
    parent, key = _parent(chance, whole)
    parent[key] = copy.deepcopy(look_up(whole, _some_path(chance, whole)))


def misspell(chance: random.Random, whole: Object) -> None:
    """A field in other letters is another field."""
    parent, key = _parent(chance, whole)
    if isinstance(parent, dict) and isinstance(key, str):
        parent[chance.choice((key.upper(), f"{key} ", key[:-1], "", f"{key}\0"))] = parent.pop(key)  # pyright: ignore[reportUnknownMemberType] - JSON is of any shape


def _setting(*path: str | int, values: Sequence[Any], name: str) -> Mutation:
    """What is wrong in a way that only somebody who knows Kubernetes would choose."""

    def mutate(chance: random.Random, whole: Object) -> None:
        try:
            look_up(whole, path[:-1])[path[-1]] = copy.deepcopy(chance.choice(values))
        except (KeyError, IndexError, TypeError):  # another mutation was here before
            return

    mutate.__name__ = name
    return mutate


_NOTES: Final = ("request", "object", "metadata", "annotations")
_SPEC: Final = ("request", "object", "spec")
_OTHER_KIND: Final = {"group": "apps", "version": "v1", "kind": "Deployment"}
_ADDRESSES: Final = (
    *(
        "10.200.0.1",
        "010.0.0.1",
        "1.2.3",
        "::ffff:10.0.0.1",
        "2001:DB8::1",
        "fe80::1%eth0",
        "0.0.0.0",  # noqa: S104 - to be asked for, by nobody to be bound
        "255.255.255.255",
    ),
    *("10.0.0.1/32", " 10.0.0.1", "localhost", "1" * 300, "\u0661\u0660.0.0.1"),
)
_PORTS_LISTS: Final[tuple[Any, ...]] = (
    *(None, [], [{}], [{"port": 0}], [{"port": -1}], [{"port": 65536}], [{"port": 10**12, "protocol": "TCP"}]),
    *([{"port": 80, "protocol": protocol}] for protocol in ("SCTP", "tcp", "", "ICMP", "T" * 1000, "\0")),
    [{"port": 80}, {"port": 80, "protocol": "TCP"}],
    [{"name": "a", "port": port, "protocol": "TCP", "targetPort": "x"} for port in range(1, 1200)],
)
_MUTATIONS: Final[tuple[Mutation, ...]] = (
    *(replace_value, replace_value, drop, double_key, swap, misspell),
    _setting("apiVersion", values=("admission.k8s.io/v1beta1", "v1", "", "admission.k8s.io/v2"), name="version"),
    _setting("kind", values=("admissionreview", "Status", "List", ""), name="review_kind"),
    _setting("request", values=(None, {}, []), name="request"),
    _setting("request", "operation", values=("DELETE", "CONNECT", "create", "", "PATCH", "UPDATE"), name="operation"),
    _setting("request", "kind", values=(_OTHER_KIND, {}, {"kind": "Service"}), name="kind"),
    _setting("request", "subResource", values=("status", "proxy", "scale", ""), name="sub_resource"),
    _setting("request", "object", values=(None, {}, {"spec": {}}), name="object"),
    _setting("request", "oldObject", values=(None, {}, {"metadata": {}}), name="old_object"),
    _setting("request", "namespace", values=("", "nowhere", "..", "a/b", "kube-system", "x" * 300), name="namespace"),
    _setting(*_NOTES, SHARED_VIP, values=("", "-", "a/b", "k" * 63, "k" * 64, "K_1.2", "ключ", "a\nb"), name="key"),
    _setting(*_NOTES, LOAD_BALANCER_IP, values=_ADDRESSES, name="address_annotation"),
    _setting(*_NOTES, INFRA_SETTING, values=("gold", "", "x" * 5000), name="infra_setting"),
    _setting(*_NOTES, L4_RULE, values=("rule", "", "\0"), name="l4_rule"),
    _setting(*_NOTES, values=(None, {}, {f"note-{n}": "x" * 500 for n in range(500)}), name="annotations"),
    _setting(*_SPEC, "loadBalancerIP", values=_ADDRESSES, name="address"),
    _setting(*_SPEC, "ports", values=_PORTS_LISTS, name="ports"),
    _setting(*_SPEC, "type", values=("ClusterIP", "NodePort", "ExternalName", "", "loadbalancer"), name="type"),
    _setting(*_SPEC, "loadBalancerClass", values=("ako.vmware.com/avi-lb", "other/class", "", None), name="class"),
    _setting(*_SPEC, "ipFamilies", values=(["IPv6"], ["IPv4", "IPv6"], [], ["IPv5"]), name="families"),
    _setting(
        "request", "object", "metadata", "deletionTimestamp", values=("2026-01-01T00:00:00Z", ""), name="deletion"
    ),
    _setting("request", "object", "metadata", "name", values=("", "Web", "a.b", "x" * 254, "web/../x"), name="name"),
    _setting("request", "dryRun", values=(None, True, "true"), name="dry_run"),
)


def raw(chance: random.Random) -> bytes:
    """No review at all."""
    return chance.choice(_RAW)(chance)


_SYLLABLES: Final = (
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b'"',
    b"1",
    b"null",
    b"true",
    b'"a"',
    b"\\",
    b"\xff",
    b" ",
    b"e",
    b"-",
)
_RAW: Final[tuple[Callable[[random.Random], bytes], ...]] = (
    lambda chance: chance.randbytes(chance.choice((0, 1, 10, 200, 5000))),
    lambda chance: b"".join(chance.choices(_SYLLABLES, k=chance.randrange(60))),
    lambda chance: render(odd_value(chance)),
    lambda chance: render(Pairs((("apiVersion", "admission.k8s.io/v1"), ("request", odd_value(chance))))),
    lambda chance: (
        render(review(chance, namespace="nowhere")).decode().encode(chance.choice(("utf-16", "utf-32", "utf-8-sig")))
    ),
    lambda chance: nested(chance.choice((100, 10_000, 100_000)), is_object=True).text[: chance.randrange(100_000)],
)


def hurt(chance: random.Random, body: bytes) -> bytes:
    """As by a broken line: bytes changed, lost, twice, or too many."""
    at, length = chance.randrange(len(body) + 1), chance.randrange(1, 40)
    match chance.randrange(5):
        case 0:
            return body[:at]
        case 1:
            return body[:at] + chance.randbytes(length) + body[at + length :]
        case 2:
            return body[:at] + body[at + length :]
        case 3:
            return body[:at] + body[at : at + length] * 2 + body[at + length :]
        case _:
            return body + chance.randbytes(length)
