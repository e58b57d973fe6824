"""Avi objects as frozen values, wanted and observed; nothing here compares, plans or calls."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias, cast
from urllib.parse import quote, unquote, urlsplit

from sharedvip.model import Listener

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
JsonObject: TypeAlias = Mapping[str, Json]

ObjectType = Literal["virtualservice", "l4policyset", "pool", "vsvip"]

OBJECT_TYPES: Final[tuple[ObjectType, ...]] = ("virtualservice", "l4policyset", "pool", "vsvip")
"""In the order in which a tree may be deleted: who refers comes before whom it refers to."""

CHECKSUM_FIELD: Final[Mapping[ObjectType, str]] = {
    "virtualservice": "cloud_config_cksum",
    "pool": "cloud_config_cksum",
    "vsvip": "vsvip_cloud_config_cksum",
}
"""Where an object's own hash is. An L4PolicySet has no such field (``avi.md`` 3): its hash is in a marker."""


def objects_in(document: JsonObject, name: str) -> tuple[JsonObject, ...]:
    """The objects of a list field, none where the field is missing or something else."""
    value = document.get(name)
    if not isinstance(value, list | tuple):
        return ()
    entries = cast("Sequence[Json]", value)
    return tuple(cast("JsonObject", entry) for entry in entries if isinstance(entry, Mapping))


def text_in(document: JsonObject, name: str) -> str:
    """A text field, "" where it is missing or something else."""
    value = document.get(name)
    return value if isinstance(value, str) else ""


def object_in(document: JsonObject, name: str) -> JsonObject:
    """An object field, empty where it is missing or something else."""
    value = document.get(name)
    return cast("JsonObject", value) if isinstance(value, Mapping) else {}


def reference(kind: str, name: str) -> str:
    """A reference by name, as the Controller resolves it (``avi.md`` 2.4)."""
    return f"/api/{kind}?name={quote(name, safe='~')}"


def referred_name(ref: str, names: Mapping[str, str]) -> str:
    """The name that a reference means: ``#name``, ``?name=``, or what ``names`` knows of its uuid; else the uuid."""
    parts = urlsplit(ref)
    if parts.fragment:
        return unquote(parts.fragment)
    if parts.query.startswith("name="):
        return unquote(parts.query.removeprefix("name="))
    uuid = parts.path.rstrip("/").rpartition("/")[2]
    return names.get(uuid, uuid)


def referred_uuid(ref: str) -> str:
    """The uuid in a reference; "" in one by name."""
    parts = urlsplit(ref)
    return "" if parts.query else parts.path.rstrip("/").rpartition("/")[2]


def tenant_of(body: JsonObject) -> str:
    """The name of the tenant that an object is in, or is to be in; "" where its body does not tell."""
    ref = text_in(body, "tenant_ref")
    return referred_name(ref, {}) if ref else ""


@dataclass(frozen=True, slots=True)
class AviObject:
    """One object as it is to be: ``body`` is what a POST sends, references by name."""

    type: ObjectType
    name: str
    body: JsonObject


@dataclass(frozen=True, slots=True)
class GroupGraph:
    """What a group is to be on Avi."""

    vsvip: AviObject
    pools: Mapping[Listener, AviObject]
    """By listener, in the order of ``l4policyset``'s rules."""
    l4policyset: AviObject
    virtualservice: AviObject


@dataclass(frozen=True, slots=True)
class ObservedObject:
    """One object of ours as the Controller last told it, with all fields it added."""

    type: ObjectType
    name: str
    uuid: str
    body: JsonObject


@dataclass(frozen=True, slots=True)
class ObservedGroup:
    """What a group is on Avi, as far as we know; parts may be missing after a crash, a refusal or a hand's edit."""

    vsvip: ObservedObject | None = None
    l4policyset: ObservedObject | None = None
    virtualservice: ObservedObject | None = None
    pools: Mapping[Listener, ObservedObject] = field(default_factory=dict[Listener, ObservedObject])

    def __iter__(self) -> Iterator[ObservedObject]:
        """All parts, in the order in which they may be deleted."""
        singles = (self.virtualservice, self.l4policyset)
        yield from (part for part in singles if part is not None)
        yield from (self.pools[listener] for listener in sorted(self.pools))
        if self.vsvip is not None:
            yield self.vsvip

    @property
    def names(self) -> dict[str, str]:
        """The names of all parts, by uuid."""
        return {part.uuid: part.name for part in self}

    @property
    def vips(self) -> tuple[str, ...]:
        """The addresses the Controller gave or confirmed, IPv4 first; none before there is one."""
        vips = objects_in(self.vsvip.body, "vip") if self.vsvip else ()
        found = (text_in(object_in(vip, field), "addr") for field in ("ip_address", "ip6_address") for vip in vips)
        return tuple(address for address in found if address)

    @property
    def vip(self) -> str:
        """The first of them, "" before there is one."""
        return next(iter(self.vips), "")

    @property
    def host_names(self) -> frozenset[str]:
        """The names that have a DNS record for the VIP."""
        records = objects_in(self.vsvip.body, "dns_info") if self.vsvip else ()
        return frozenset(text_in(record, "fqdn") for record in records)

    @property
    def tenant(self) -> str:
        """Where the group is: the name of the tenant of its parts, "" where none tells."""
        return next((name for part in self if (name := tenant_of(part.body))), "")

    def having(self, part: ObservedObject, *, listener: Listener | None = None) -> "ObservedGroup":
        """With this part, new or in place of its predecessor; a pool comes with its listener."""
        if part.type == "pool" and listener is not None:
            return replace(self, pools={**self.pools, listener: part})
        return replace(self, **{part.type: part})

    def without(self, uuid: str) -> "ObservedGroup":
        """Without the part of that uuid."""
        gone = {part.type: None for part in self if part.uuid == uuid and part.type != "pool"}
        pools = {listener: pool for listener, pool in self.pools.items() if pool.uuid != uuid}
        return replace(self, pools=pools, **gone)
