"""How our objects on the Avi Controller are named, and which names are ours; it never builds an object.

``docs/adr/0004-names.md`` tells why: two groups never share a name, and none of ours is ever taken for one of AKO's.
"""

import re
from typing import Final, NamedTuple

from sharedvip.keys import is_valid_key
from sharedvip.model import GroupName, Listener

PREFIX: Final = "sharedvip"
SEPARATOR: Final = "~"
"""Unreserved in URLs (RFC 3986, 2.3), and in no cluster name, namespace or sharing key.

After a dash it is no separator but the second of two dashes: AKO takes every VsVip for its own whose name holds
``<its cluster>--`` anywhere (AKO ``controller_obj_cache.go``, ``AviPopulateAllVSVips``), so ours never hold ``--``.
"""

MAX_LENGTH: Final = 255
"""Source: AKO ``AVI_OBJ_NAME_MAX_LENGTH``. Ours have at most 9 + 63 + 63 + 63 + 4 + 5 characters and 5 separators."""

CLUSTER_NAME: Final = re.compile(r"[A-Za-z0-9_-]{0,62}[A-Za-z0-9_]")
"""Source: AKO ``AKOSettings.clusterName`` for the alphabet; the length keeps every name within ``MAX_LENGTH``.

No dash at the end: like a namespace and a key, it must not turn the separator behind it into a dash.
"""

_SEPARATION: Final = re.compile(f"(?<!-){SEPARATOR}")
_NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")
_PROTOCOLS: Final = ("TCP", "UDP", "SCTP")
_MAX_PORT: Final = 65535
_GROUP_PARTS: Final = 4
_POOL_PARTS: Final = 6


class ObjectName(NamedTuple):
    """The name of a group's VS, VsVip and L4PolicySet (no listener), or of the pool of one of its listeners."""

    cluster: str
    group: GroupName
    listener: Listener | None = None

    def __str__(self) -> str:
        """As the Controller knows it: ``sharedvip~c1~shop~web`` or ``sharedvip~c1~shop~web~TCP~80``."""
        parts = (PREFIX, self.cluster, *self.group)
        if self.listener is not None:
            parts += (self.listener.protocol, str(self.listener.port))
        return SEPARATOR.join(map(_undashed, parts))


def parse_name(text: str) -> ObjectName | None:
    """The name, or None where the text is not one that ``ObjectName`` writes."""
    prefix, *parts = (part.replace(SEPARATOR, "-") for part in _SEPARATION.split(text))
    if prefix != PREFIX or len(parts) + 1 not in {_GROUP_PARTS, _POOL_PARTS}:
        return None
    cluster, namespace, key, *listener = parts
    is_group = CLUSTER_NAME.fullmatch(cluster) and _NAMESPACE.fullmatch(namespace) and is_valid_key(key)
    if not is_group:
        return None
    name: ObjectName | None = ObjectName(cluster, GroupName(namespace, key))
    if listener:
        name = _with_listener(name, *listener)
    return name if str(name) == text else None


def _with_listener(name: ObjectName, protocol: str, port: str) -> ObjectName | None:
    if protocol not in _PROTOCOLS or not _PORT.fullmatch(port) or int(port) > _MAX_PORT:
        return None
    return name._replace(listener=Listener(int(port), protocol))


def created_by(cluster: str) -> str:
    """What our objects say in ``created_by``. AKO's say ``ako-...``, so that a running AKO leaves ours alone."""
    return f"{PREFIX}-{cluster}"


def cluster_prefix(cluster: str) -> str:
    """What the names of all objects of a cluster begin with."""
    return f"{PREFIX}{SEPARATOR}{_undashed(cluster)}{SEPARATOR}"


def _undashed(part: str) -> str:
    """Without two dashes in a row: the second is a tilde. ``a---b`` is ``a-~-b``."""
    return part.replace("--", f"-{SEPARATOR}")
