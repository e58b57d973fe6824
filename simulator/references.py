"""References between objects: found by name or uuid on write, stored as uuid, answered as URL; it changes nothing."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_plus

from simulator.documents import Document, entries, is_list, is_message, text
from simulator.kinds import KINDS, REFERENCE_KINDS, UNRESOLVED, Kind
from simulator.refusals import RefusedError
from simulator.store import Record, Store

ADMIN: Final = "admin"
"""The uuid (and name) of the tenant every Controller has. Source: avi.md 2.2."""

WRITTEN: Final = re.compile(
    r"^(?:https?://[^/]+)?/*api/+(?P<path>[a-z0-9]+)/*(?:(?P<uuid>[^/?#]+)/*)?(?:\?(?P<query>.*))?(?:#.*)?$"
)
"""A reference as clients write it: by name, by uuid, as full URL, with or without ``#name``. Source: avi.md 2.4."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Where references are looked up: the tenant (uuid) and the cloud (uuid, may be empty) of the referrer."""

    tenant: str
    cloud: str = ""


def is_visible(record: Record, tenant: str | None) -> bool:
    """Whether a tenant sees an object; None is ``X-Avi-Tenant: *``, which sees all.

    Source: avi.md 2.4 [CAS]: other tenants' objects are invisible, system profiles of ``admin`` are not.
    """
    return tenant in {None, record.tenant} or (record.tenant == ADMIN and (record.is_system or record.kind.is_shared))


def rewritten(document: Document, change: Callable[[str, str], str]) -> Document:
    """A deep copy with ``change(field, reference)`` in place of every reference; an empty result drops a field."""
    copies = ((key, _rewritten(key, value, change)) for key, value in document.items())
    return {key: value for key, value in copies if value != "" or not key.endswith("_ref")}


def _rewritten(key: str, value: object, change: Callable[[str, str], str]) -> object:
    if isinstance(value, str):
        return change(key, value) if value and key.endswith("_ref") else value
    if is_message(value):
        return rewritten(value, change)
    if is_list(value):
        return [_rewritten(key.removesuffix("s"), entry, change) for entry in entries(value)]
    return value


def resolved(document: Document, store: Store, scope: Scope) -> Document:
    """A copy whose references are ``/api/<kind>/<uuid>``.

    Raises:
        RefusedError: One names nothing visible, or an object of another kind than the field holds (avi.md 2.5).
    """
    return rewritten(document, lambda field, reference: resolve(store, field=field, reference=reference, scope=scope))


def resolve(store: Store, *, field: str, reference: str, scope: Scope) -> str:
    """One reference as stored. A kind that is not simulated stays as written, without its host."""
    written = WRITTEN.match(reference)
    if written is None:
        raise RefusedError(400, f"Invalid reference {reference!r} in field {field}")
    path = written["path"]
    if path not in KINDS:
        return re.sub(r"^https?://[^/]+", "", reference)
    kind = KINDS[path]
    if path != REFERENCE_KINDS.get(field, path):
        # Assumed: avi.md tells nothing of a reference of the wrong kind.
        raise RefusedError(400, f"Field {field} must refer to a {REFERENCE_KINDS[field]}, not to a {path}")
    record = (
        _by_uuid(store, written["uuid"], kind, scope)
        if written["uuid"]
        else _by_query(store, written["query"], kind, scope)
    )
    if record is None:
        raise unresolved(kind)
    return f"/api/{path}/{record.uuid}"


def unresolved(kind: Kind) -> RefusedError:
    """The answer to a reference that names nothing."""
    status, words = UNRESOLVED.get(kind.path, (404, f"{kind.class_name} object not found!"))
    return RefusedError(status, words)


def find(store: Store, kind: Kind, name: str, scope: Scope) -> Record | None:
    """The object of that name that the scope means: its own tenant's first, then what ``admin`` shares."""
    for tenant in dict.fromkeys((scope.tenant, ADMIN)):
        seen = [record for record in store.named(kind.path, name, tenant=tenant) if is_visible(record, scope.tenant)]
        same_cloud = [
            record for record in seen if not kind.is_cloud_scoped or record.cloud == scope.cloud or not scope.cloud
        ]
        if same_cloud:
            return same_cloud[0]
    return None


def _by_uuid(store: Store, uuid: str, kind: Kind, scope: Scope) -> Record | None:
    record = store.get(uuid)
    return record if record is not None and record.kind is kind and is_visible(record, scope.tenant) else None


def _by_query(store: Store, query: str | None, kind: Kind, scope: Scope) -> Record | None:
    # AKO writes names unescaped, others escape them, and a name may hold '#' or '&': try the readings in that order.
    found = re.match(r"^(?:.*?&)?name=(.*)$", query or "")
    raw = found.group(1) if found else ""
    bare = raw.split("#", maxsplit=1)[0]
    for name in dict.fromkeys(
        (raw, bare, bare.split("&", maxsplit=1)[0], unquote_plus(bare.split("&", maxsplit=1)[0]))
    ):
        if name and (record := find(store, kind, name, scope)) is not None:
            return record
    return None


def uuid_of(reference: object) -> str:
    """The uuid in a stored reference; empty if there is none."""
    return text(reference).rpartition("/")[2]
