"""Our objects on the Controller: list them, look up a group, do a plan's calls; it never touches others' objects.

Ours is what says so (``created_by``, or a marker where a VsVip has no such field) *and* is named as only we name.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, cast
from urllib.parse import urlsplit

from reconciler.avi_client import AviClient, AviRequest
from reconciler.avi_errors import AviNotFound, AviUnreachable, NameTaken
from reconciler.graph import (
    OBJECT_TYPES,
    Json,
    JsonObject,
    ObjectType,
    ObservedGroup,
    ObservedObject,
    objects_in,
    text_in,
)
from reconciler.names import ObjectName, cluster_prefix, created_by, parse_name
from reconciler.plan import Call
from sharedvip.model import GroupName

PAGE_SIZE: Final = 200
"""The most that a Controller gives at once (``avi.md`` 2.4)."""

_ASK_NAMES: Final = {"include_name": "true"}
_NOTHING: Final[Mapping[str, JsonObject]] = {}
_CLOUD_SCOPED: Final = frozenset[ObjectType]({"virtualservice", "pool", "vsvip"})


@dataclass(frozen=True, slots=True)
class Owned:
    """An object with what its name says."""

    name: ObjectName
    part: ObservedObject


class AviObjects:
    """The objects of one cluster in one cloud."""

    def __init__(self, client: AviClient, *, cluster: str, cloud: str, has_tenants: bool = False) -> None:
        """Look in one tenant, or in all (``has_tenants``)."""
        self._client: Final = client
        self._tenant: Final = "*" if has_tenants else ""
        self._cluster: Final = cluster
        self._cloud: Final = cloud

    async def licence_tier(self) -> str:
        """``default_license_tier``: it decides which network profiles may be used."""
        reply = await self._client.request(AviRequest("GET", "systemconfiguration"))
        return text_in(_document(reply.body), "default_license_tier")

    async def domains(self) -> tuple[str, ...]:
        """The DNS domains of the cloud, none where it has no DNS profile: 1 call or 2 (``ako.md`` 6.1, no. 6 and 11).

        Raises:
            AviError: The Controller refused or could not be asked, or does not know the cloud.
        """
        params = {"name": self._cloud, **_ASK_NAMES}
        reply = await self._client.request(AviRequest("GET", "cloud", params))
        cloud = next(iter(objects_in(_document(reply.body), "results")), None)
        if cloud is None or not text_in(cloud, "dns_provider_ref"):
            return ()
        params = {"cloud_uuid": text_in(cloud, "uuid")}
        reply = await self._client.request(AviRequest("GET", "ipamdnsproviderprofiledomainlist", params))
        told = _document(reply.body).get("domains")
        return tuple(str(domain) for domain in told) if isinstance(told, list | tuple) else ()

    async def list_ours(self, known: Mapping[str, JsonObject] = _NOTHING) -> dict[GroupName, ObservedGroup]:
        """Everything of ours, by group: 4 calls and a page for each further 200 objects of a type.

        Args:
            known: Documents by uuid; one that is as known is not kept a second time (50 MiB for 1,000 groups).
        """
        found = await asyncio.gather(*(self._list(kind, self._filter(kind), known) for kind in OBJECT_TYPES))
        return grouped(owned for objects in found for owned in objects)

    async def look_up(self, group: GroupName) -> ObservedGroup:
        """One group as it is now: 4 calls.

        Raises:
            NameTaken: An object has one of the group's names, and is not ours.
        """
        name = str(ObjectName(self._cluster, group))
        filters: dict[ObjectType, dict[str, str]] = {kind: {"name": name} for kind in OBJECT_TYPES}
        filters["pool"] = {"name.contains": f"{name}~"}
        found = await asyncio.gather(*(self._named(kind, filters[kind], group) for kind in OBJECT_TYPES))
        return grouped(owned for objects in found for owned in objects).get(group, ObservedGroup())

    async def perform(self, call: Call) -> tuple[Owned, ...]:
        """Do one call of a plan; the objects that the answer shows, none for a DELETE.

        Raises:
            AviError: One of ``avi_errors``.
        """
        tenant = call.tenant if self._tenant else ""
        request = AviRequest(call.method, call.path, _params(call), call.body or None, tenant)
        # A 404 to a DELETE is no proof that its work is done (a proxy, an upgrade): whoever called looks it up.
        reply = await self._client.request(request)
        if call.method == "DELETE" or reply.status == HTTPStatus.NO_CONTENT:
            return ()
        shown = tuple(self._owned(document) for document in _documents(reply.body))
        return tuple(owned for owned in shown if owned is not None)

    def _filter(self, kind: ObjectType) -> dict[str, str]:
        if kind == "vsvip":
            return {"name.contains": cluster_prefix(self._cluster)}
        return {"created_by": created_by(self._cluster)}

    async def _list(self, kind: ObjectType, filters: Mapping[str, str], known: Mapping[str, JsonObject]) -> list[Owned]:
        documents = await self._pages(kind, filters, known)
        return [owned for document in documents if (owned := self._owned(document, kind))]

    async def _named(self, kind: ObjectType, filters: Mapping[str, str], group: GroupName) -> list[Owned]:
        found: list[Owned] = []
        for document in await self._pages(kind, filters):
            name = parse_name(text_in(document, "name"))
            if name is None or (name.cluster, name.group) != (self._cluster, group):
                continue
            if (owned := self._owned(document, kind)) is None:
                raise NameTaken(
                    f"{kind} '{name}' exists on the Avi Controller, and sharedvip did not create it; "
                    "rename or delete it there"
                )
            found.append(owned)
        return found

    async def _pages(
        self, kind: ObjectType, filters: Mapping[str, str], known: Mapping[str, JsonObject] = _NOTHING
    ) -> list[JsonObject]:
        """All pages; pages are no snapshot, so an object may come twice (``avi.md`` 4.2)."""
        scope = {"cloud_ref.name": self._cloud} if kind in _CLOUD_SCOPED else {}
        documents: dict[str, JsonObject] = {}
        page, has_more = 1, True
        while has_more:
            params = {**filters, **scope, **_ASK_NAMES, "sort": "name", "page_size": str(PAGE_SIZE), "page": str(page)}
            body = await self._page(kind, params, is_first=page == 1)
            entries = ((text_in(entry, "uuid"), entry) for entry in objects_in(body, "results"))
            documents.update((uuid, _kept(entry, known.get(uuid))) for uuid, entry in entries)
            page, has_more = page + 1, bool(text_in(body, "next"))
        return list(documents.values())

    async def _page(self, kind: ObjectType, params: Mapping[str, str], *, is_first: bool) -> JsonObject:
        try:
            reply = await self._client.request(AviRequest("GET", kind, params, tenant=self._tenant))
        except AviNotFound:
            # A page beyond the last, when objects went away between two pages (avi.md 2.4).
            if is_first:
                raise
            return {}
        return _document(reply.body)

    def _owned(self, document: JsonObject, kind: ObjectType | None = None) -> Owned | None:
        name, uuid = parse_name(text_in(document, "name")), text_in(document, "uuid")
        kind = kind or _type_of(document)
        if name is None or kind is None or not uuid or name.cluster != self._cluster:
            return None
        if (name.listener is not None) != (kind == "pool") or not self._is_ours(document, kind):
            return None
        return Owned(name, ObservedObject(kind, str(name), uuid, document))

    def _is_ours(self, document: JsonObject, kind: ObjectType) -> bool:
        owner = created_by(self._cluster)
        if kind != "vsvip":
            return text_in(document, "created_by") == owner
        return any(
            text_in(marker, "key") == "created_by" and marker.get("values") == [owner]
            for marker in objects_in(document, "markers")
        )


def grouped(objects: Iterable[Owned]) -> dict[GroupName, ObservedGroup]:
    """The objects as groups."""
    groups: dict[GroupName, ObservedGroup] = {}
    for name, part in ((owned.name, owned.part) for owned in objects):
        groups[name.group] = groups.get(name.group, ObservedGroup()).having(part, listener=name.listener)
    return groups


def _kept(entry: JsonObject, before: JsonObject | None) -> JsonObject:
    return before if before is not None and before == entry else entry


def _params(call: Call) -> dict[str, str]:
    return dict(_ASK_NAMES) if call.method in {"POST", "PUT", "PATCH"} else {}


def _document(body: Json) -> JsonObject:
    if not isinstance(body, Mapping):
        raise AviUnreachable("the Avi Controller's answer is not an object")
    return cast("JsonObject", body)


def _documents(body: Json) -> tuple[JsonObject, ...]:
    """One object, or the list of all that a macro made (``avi.md`` 4.1)."""
    return (cast("JsonObject", body),) if isinstance(body, Mapping) else objects_in({"all": body}, "all")


def _type_of(document: JsonObject) -> ObjectType | None:
    """From ``url``, ``https://host/api/pool/pool-1#name``, as every answer has it (``avi.md`` 2.3)."""
    parts = urlsplit(text_in(document, "url")).path.strip("/").split("/")
    return next((kind for kind in OBJECT_TYPES if kind in parts), None)
