"""What an ``IPAddress`` of ours says, as the API server has it; it asks nobody, and those of others say little here."""

from datetime import datetime
from typing import Final, NamedTuple
from urllib.parse import quote

import msgspec
import structlog

from cluster.leavers import LEAVER_ANNOTATION, Leaver, parse_leavers, parse_time
from cluster.metadata import ListMeta, ObjectMeta
from sharedvip.ledger import object_name
from sharedvip.model import AddressHolder, GroupName

PATH: Final = "/apis/networking.k8s.io/v1/ipaddresses"
MANAGED_BY: Final = "ipaddress.kubernetes.io/managed-by"
"""Source: Kubernetes well-known labels; the cluster-IP repair loop only looks at its own."""
OURS: Final = "sharedvip.dev"
KEY_ANNOTATION: Final = "sharedvip.dev/key"
"""The group's key: the parent's name may be a hash, and a lock must be understood when its ``SharedVIP`` is gone."""

LEAVING_ANNOTATION: Final = "sharedvip.dev/leaving"
"""On a lock that is about to go: who finds it waits until it is gone, or until the annotation is."""

LEFT_ANNOTATION: Final = "sharedvip.dev/left"
"""On a lock that its group has let go of while a leaver has the address: since when. It is nobody's any more, and tells
who has the address, as the cache of a replica may be late to (``KEPT``)."""
HEIR_ANNOTATION: Final = "sharedvip.dev/heir"
"""On a lock that another group has taken over, once it was nobody's: whose it is, as ``namespace/key``. A parent cannot
be changed, and between a delete and a create nothing would tell of who left with the address."""

_log = structlog.get_logger("cluster.ip_addresses")


class HeldAddress(NamedTuple):
    """An address that a group holds, in canonical spelling."""

    address: str
    group: GroupName
    is_leaving: bool = False
    """Whether somebody has begun to unlock it."""
    left_since: datetime | None = None
    """UTC; since when it is nobody's any more, and only tells who left with the address."""


class _ParentRef(msgspec.Struct):
    group: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""


class _Spec(msgspec.Struct):
    parent: _ParentRef = msgspec.field(name="parentRef", default_factory=_ParentRef)


class IPAddress(msgspec.Struct):
    """One, ours or not."""

    metadata: ObjectMeta
    spec: _Spec = msgspec.field(default_factory=_Spec)


class IPAddresses(msgspec.Struct):
    """A page of them."""

    metadata: ListMeta
    items: list[IPAddress] | None = None


def path_of(address: str) -> str:
    """Where the API server has it."""
    return f"{PATH}/{quote(address, safe='')}"


def render(address: str, group: GroupName) -> bytes:
    """The lock of a group on an address (canonical spelling)."""
    parent = {
        "group": OURS,
        "resource": "sharedvips",
        "namespace": group.namespace,
        "name": object_name(group.key),
    }
    return msgspec.json.encode(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "IPAddress",
            "metadata": {"name": address, "labels": {MANAGED_BY: OURS}, "annotations": {KEY_ANNOTATION: group.key}},
            "spec": {"parentRef": parent},
        }
    )


def is_ours(found: IPAddress) -> bool:
    """Whether it is a group's, now or before."""
    return (found.spec.parent.group, found.spec.parent.resource) == (OURS, "sharedvips")


def is_leaving(found: IPAddress) -> bool:
    """Whether somebody has begun to unlock it."""
    return LEAVING_ANNOTATION in (found.metadata.annotations or {})


def leavers_on(found: IPAddress) -> tuple[Leaver, ...]:
    """Who is noted on it."""
    return parse_leavers((found.metadata.annotations or {}).get(LEAVER_ANNOTATION, ""))


def left_since(found: IPAddress) -> datetime | None:
    """Since when it is nobody's any more, UTC; None: it is its group's."""
    return parse_time((found.metadata.annotations or {}).get(LEFT_ANNOTATION, ""))


def heir_of(group: GroupName) -> str:
    """What the annotation of a lock says that a group has taken over."""
    return f"{group.namespace}/{group.key}"


def is_of(found: IPAddress, group: GroupName) -> bool:
    """By its heir, or by its parent, which cannot be changed, unlike labels and annotations."""
    return is_ours(found) and _shared_vip(found) == (group.namespace, object_name(group.key))


def namespace_of(found: IPAddress) -> str:
    """Where the group is, or the Service, whose it is."""
    return _shared_vip(found)[0]


def _shared_vip(found: IPAddress) -> tuple[str, str]:
    """Namespace and name of the ``SharedVIP`` whose it is, or of the Service."""
    heir, parent = _heir(found), found.spec.parent
    return (heir.namespace, object_name(heir.key)) if heir else (parent.namespace, parent.name)


def _heir(found: IPAddress) -> GroupName | None:
    namespace, _, key = (found.metadata.annotations or {}).get(HEIR_ANNOTATION, "").partition("/")
    return GroupName(namespace, key) if namespace and key and is_ours(found) else None


def _key(found: IPAddress) -> str:
    """The key of the group whose it is, "" where nobody knows."""
    if heir := _heir(found):
        return heir.key
    parent = found.spec.parent.name
    noted = (found.metadata.annotations or {}).get(KEY_ANNOTATION, "")
    return next((key for key in (noted, parent) if key and object_name(key) == parent), "")


def holder_by(found: IPAddress) -> AddressHolder:
    """Whose it is: a group's, a Service's (a cluster IP), or somebody's in its namespace."""
    parent = found.spec.parent
    if is_ours(found):
        return AddressHolder(namespace_of(found), key=_key(found) or parent.name)
    if (parent.group, parent.resource) == ("", "services"):
        return AddressHolder(parent.namespace, service=parent.name)
    return AddressHolder(parent.namespace)


def held_by(found: IPAddress) -> HeldAddress | None:
    """None: it is not ours, or nobody can tell whose."""
    if not is_ours(found):
        return None
    if key := _key(found):
        group = GroupName(namespace_of(found), key)
        return HeldAddress(found.metadata.name, group, is_leaving(found), left_since(found))
    _log.warning("address.unknown_group", address=found.metadata.name, shared_vip=found.spec.parent.name)
    return None
