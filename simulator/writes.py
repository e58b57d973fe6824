"""Create, replace and delete one object, with every check of a real Controller; transactions are the caller's."""

import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from simulator import checks, licence, listeners, versions
from simulator.documents import Document, text
from simulator.ipam import Ipam, check_network
from simulator.kinds import KINDS, Kind
from simulator.references import ADMIN, Scope, find, resolve, resolved, uuid_of
from simulator.refusals import RefusedError
from simulator.settings import Settings
from simulator.store import Record, Store

MICROSECONDS: Final = 1_000_000

DEFAULT_REFERENCES: Final[dict[str, dict[str, tuple[str, str]]]] = {
    "virtualservice": {
        "vrf_context_ref": ("vrfcontext", "global"),
        "se_group_ref": ("serviceenginegroup", "Default-Group"),
        "application_profile_ref": ("applicationprofile", "System-HTTP"),
        "network_profile_ref": ("networkprofile", "System-TCP-Proxy"),
        "analytics_profile_ref": ("analyticsprofile", "System-Analytics-Profile"),
    },
    "pool": {"vrf_ref": ("vrfcontext", "global")},
    "vsvip": {"vrf_context_ref": ("vrfcontext", "global")},
    "network": {"vrf_context_ref": ("vrfcontext", "global")},
}
"""What an absent reference becomes. Source: avi.md 2.3 [CAS]; not with ``tier1_lr`` (ako.md 2.2)."""


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf a request is done.

    Attributes:
        tenant: The tenant's uuid; None for ``X-Avi-Tenant: *``.
        version: The API version asked for.
        username: Who logged in.
        is_factory: Whether it is the Controller itself, whose defaults no licence limits.
    """

    tenant: str | None = ADMIN
    version: versions.Version = (9999, 0, 0)
    username: str = ADMIN
    is_factory: bool = False


@dataclass(slots=True)
class Writer:
    """Writes objects into a store.

    Attributes:
        store: Where they go.
        settings: Licence tier and knobs.
        clock: Seconds since the epoch.
        chance: Where uuids come from.
    """

    store: Store
    settings: Settings
    clock: Callable[[], float]
    chance: random.Random
    _last_us: int = field(default=0)
    _released: dict[tuple[str, str, str, str], float] = field(default_factory=dict[tuple[str, str, str, str], float])

    def create(self, kind: Kind, body: Document, caller: Caller, *, forced_uuid: str = "") -> Record:
        """A new object. Source: avi.md 2.2 (``Slug`` forces the uuid [CAS]), 2.3, 2.5."""
        new = forced_uuid or self.new_uuid(kind)
        if self.store.get(new) is not None:
            raise RefusedError(409, f"{kind.class_name} object with uuid {new} already exists.")
        now, begun = self.tick(), int(self.clock() * MICROSECONDS)
        home = self.home(kind, body, caller)
        name = checks.require_name(body) if "name" not in body else text(body.get("name"))
        blank = Record(kind, new, name, home.tenant, home.cloud, {}, now, begun)
        return self._store(blank, body, caller, is_new=True)

    def change(self, old: Record, body: Document, caller: Caller) -> Record:
        """The object with ``body`` as its whole new content.

        Source: avi.md 2.6: a full replace, ``_last_modified`` is the optimistic lock, the name may change.
        """
        sent = body.get("_last_modified")
        if sent is not None and str(sent) != str(old.modified_us):
            name = old.kind.class_name
            raise RefusedError(412, f"Concurrent update on {name} {old.uuid}. Need to reload object data {name}")
        if body.get("cloud_ref") and self.home(old.kind, body, caller).cloud != old.cloud:
            raise RefusedError(400, f"The cloud of {old.kind.class_name} {old.name} cannot be changed")  # Assumed.
        renewed = replace(old, name=text(body.get("name")) or old.name, modified_us=self.tick())
        if old.document.get("enabled") is False and body.get("enabled") is not False:
            renewed = replace(renewed, placing_since_us=int(self.clock() * MICROSECONDS))
        return self._store(renewed, {"name": old.name, **body}, caller, is_new=False)

    def delete(self, record: Record) -> None:
        """Forget an object.

        Source: avi.md 2.2 (system defaults), 2.5 (referred objects: text [AKO]); the defaults that came with a cloud
        go with it: assumed.
        """
        knobs = self.settings.knobs
        if record.is_system:
            raise RefusedError(knobs.system_object_status, "Cannot delete system default object")
        own = [one for one in self.store.referrers(record.uuid) if record.kind.path == "cloud" and one.is_system]
        for one in own:
            self._require_unused(one)
        self._require_unused(record, but=own)
        for one in (*own, record):
            self.store.remove(one.uuid)
            if knobs.name_release_seconds > 0:
                self._released[_full_name(one)] = self.clock()

    def home(self, kind: Kind, body: Document, caller: Caller) -> Scope:
        """Tenant and cloud of an object. Assumed: ``tenant_ref`` beats the header, and ``*`` writes to ``admin``."""
        tenant = caller.tenant or ADMIN
        if text(body.get("tenant_ref")) and kind.path != "tenant":
            reference = resolve(self.store, field="tenant_ref", reference=text(body["tenant_ref"]), scope=Scope(tenant))
            tenant = uuid_of(reference)
        if not kind.is_cloud_scoped:
            return Scope(tenant if kind.path != "tenant" else ADMIN)
        named = text(body.get("cloud_ref")) or f"/api/cloud?name={self.settings.cloud}"
        return Scope(tenant, uuid_of(resolve(self.store, field="cloud_ref", reference=named, scope=Scope(tenant))))

    def new_uuid(self, kind: Kind) -> str:
        """``<kind>-<uuid4>``. Source: avi.md 2.2 [AKO mocks]."""
        return f"{kind.path}-{uuid.UUID(int=self.chance.getrandbits(128), version=4)}"

    def tick(self) -> int:
        """Now in microseconds, later than ever before, so that every write shows in ``_last_modified``."""
        self._last_us = max(self._last_us + 1, int(self.clock() * MICROSECONDS))
        return self._last_us

    def _require_unused(self, record: Record, *, but: list[Record] | None = None) -> None:
        users = [user for user in self.store.referrers(record.uuid) if user not in (but or [])]
        if users:
            named = ", ".join(f"'{user.kind.class_name} {user.name}'" for user in users[:100])
            words = f"Cannot delete, object is referred by: [{named}]"
            raise RefusedError(self.settings.knobs.referred_status, words, extra={"obj_name": record.name})

    def _store(self, record: Record, body: Document, caller: Caller, *, is_new: bool) -> Record:
        versions.check_fields(body, caller.version)
        path = record.kind.path
        checks.check(path, body)
        if not caller.is_factory:
            licence.check(path, body, tier=self.settings.licence_tier)
        self._require_free_name(record)
        document = self._referring(record, checks.filled(path, self._defaulted(path, body, caller)))
        document = self._completed(replace(record, document=document), is_new=is_new)
        stored = replace(record, document=document)
        self.store.put(stored)
        return stored

    def _defaulted(self, path: str, body: Document, caller: Caller) -> Document:
        return body if caller.is_factory else licence.with_defaults(path, body, tier=self.settings.licence_tier)

    def _referring(self, record: Record, document: Document) -> Document:
        """The document with references resolved and the missing ones filled."""
        scope = Scope(record.tenant, record.cloud)
        found = resolved(document, self.store, scope)
        if record.kind.path != "tenant":
            found["tenant_ref"] = f"/api/tenant/{record.tenant}"
        if record.cloud:
            found["cloud_ref"] = f"/api/cloud/{record.cloud}"
        for name, reference in self._default_references(record.kind, found, scope).items():
            found.setdefault(name, reference)
        self._require_one_cloud(record, found)
        return found

    def _default_references(self, kind: Kind, document: Document, scope: Scope) -> Document:
        wanted = dict(DEFAULT_REFERENCES.get(kind.path, {}))
        if document.get("tier1_lr"):
            wanted = {name: meant for name, meant in wanted.items() if meant[0] != "vrfcontext"}
        if self.settings.licence_tier == "ESSENTIALS" and "network_profile_ref" in wanted:
            wanted |= licence.ESSENTIALS_REFERENCES
        found = {
            name: (path, find(self.store, KINDS[path], default, scope)) for name, (path, default) in wanted.items()
        }
        return {name: f"/api/{path}/{record.uuid}" for name, (path, record) in found.items() if record is not None}

    def _require_one_cloud(self, record: Record, document: Document) -> None:
        """Assumed: pool, vsvip and the like belong to the referrer's cloud; status and text are ours."""
        for name in ("vsvip_ref", "pool_ref", "vrf_ref", "vrf_context_ref", "se_group_ref"):
            target = self.store.get(uuid_of(document.get(name)))
            if target is not None and record.cloud and target.cloud != record.cloud:
                raise RefusedError(400, f"{target.kind.class_name} {target.name} belongs to another cloud")

    def _completed(self, record: Record, *, is_new: bool) -> Document:
        if record.kind.path == "vsvip":
            ipam = Ipam(self.store, record.cloud, self.settings.knobs.preferred_address_status)
            return ipam.completed(record.document, old=None if is_new else self.store.get(record.uuid))
        if record.kind.path == "network":
            check_network(record.document)
        if record.kind.path == "virtualservice":
            licence.check_profile(self.store, record.document, tier=self.settings.licence_tier)
            listeners.check(self.store, record.document, uuid=record.uuid, knobs=self.settings.knobs)
        return record.document

    def _require_free_name(self, record: Record) -> None:
        """Source: avi.md 2.5: the two texts [TF README, TF]; a name is held a while after DELETE [TF 606]."""
        namesakes = self.store.named(record.kind.path, record.name, tenant=record.tenant)
        if any(other.cloud == record.cloud and other.uuid != record.uuid for other in namesakes):
            raise name_taken(record.kind)
        released = self._released.get(_full_name(record))
        if released is not None and self.clock() - released < self.settings.knobs.name_release_seconds:
            raise name_taken(record.kind)


def _full_name(record: Record) -> tuple[str, str, str, str]:
    return record.tenant, record.cloud, record.kind.path, record.name


def name_taken(kind: Kind) -> RefusedError:
    """The answer to a name that another object of the kind has."""
    scope = "Name, Tenant ref and Cloud ref" if kind.is_cloud_scoped else "Name and Tenant ref"
    return RefusedError(409, f"{kind.words} with this {scope} already exists.")
