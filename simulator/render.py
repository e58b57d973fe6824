"""Stored objects as replies: URLs with the caller's host, names when asked, fields left out; it stores nothing."""

from dataclasses import dataclass

from simulator.documents import Document, is_list, is_message, messages
from simulator.references import rewritten
from simulator.shapes import NAMED, SHAPES, Shape
from simulator.store import STORED_REFERENCE, Record, Store


@dataclass(frozen=True, slots=True)
class Rendering:
    """How to answer.

    Attributes:
        origin: ``https://host:port`` as the client addressed it.
        is_named: Whether references and ``url`` carry ``#name``: always after a write, else by ``include_name``.
        fields: Only these, with name, url and uuid; empty is all.
        is_single: Whether one object was asked for, which then shows what lists do not.
        skips_defaults: Whether fields that hold their default are left out.
    """

    origin: str
    is_named: bool = False
    fields: frozenset[str] = frozenset()
    is_single: bool = False
    skips_defaults: bool = False


def rendered(store: Store, record: Record, how: Rendering) -> Document:
    """One object as the Controller shows it. Source: avi.md 2.3 [CAS]; ``fields`` 2.4 [SW]."""
    document = record.document
    if how.fields:
        document = {key: value for key, value in document.items() if key in how.fields or key == "name"}

    if how.skips_defaults:
        document = _without_defaults(document, SHAPES.get(record.kind.path, NAMED))

    def linked(_field: str, reference: str) -> str:
        return link(store, reference, how)

    shown = rewritten(document, linked)
    shown["uuid"] = record.uuid
    shown["url"] = link(store, f"/api/{record.kind.path}/{record.uuid}", how)
    if not how.fields or "_last_modified" in how.fields:
        shown["_last_modified"] = str(record.modified_us)
    if how.is_single:
        shown.update(_internals(store, record, how))
    return shown


def link(store: Store, reference: str, how: Rendering) -> str:
    """A stored reference as URL."""
    stored = STORED_REFERENCE.match(reference)
    url = how.origin + reference if reference.startswith("/") else reference
    target = store.get(stored.group(2)) if stored and how.is_named else None
    return f"{url}#{target.name}" if target else url


def _without_defaults(document: Document, shape: Shape) -> Document:
    """Source: avi.md 2.4 [SW] for the parameter; that it reaches into nested messages is assumed."""
    kept = {key: value for key, value in document.items() if key not in shape.defaults or value != shape.defaults[key]}
    for name, part in shape.parts.items():
        value = kept.get(name)
        if is_message(value):
            kept[name] = _without_defaults(value, part.shape)
        elif is_list(value):
            kept[name] = [_without_defaults(entry, part.shape) for entry in messages(value)]
    return kept


def _internals(store: Store, record: Record, how: Rendering) -> Document:
    """What only a GET by uuid shows. Source: avi.md 2.3 [CAS]: the leaked fields, and ``vs_refs`` of a used vsvip."""
    if record.kind.path == "virtualservice":
        return {"version": 1, "redis_db": 1, "redis_port": 5001, "marked_for_delete": False, "self_se_election": True}
    if record.kind.path == "vsvip":
        users = [user for user in store.referrers(record.uuid) if user.kind.path == "virtualservice"]
        links = [link(store, f"/api/virtualservice/{user.uuid}", how) for user in users]
        return {"vs_refs": links} if links else {}
    return {}
