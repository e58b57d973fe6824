"""macro: a whole tree of objects in one request; atomic because its caller holds the transaction.

Source: avi.md 4.1 [DOC macro.html]: ``<x>_ref_data`` in place of ``<x>_ref``, recursively, in lists and in messages of
lists; one transaction; the reply lists all created objects.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from simulator.documents import Document, entries, is_list, is_message, text
from simulator.kinds import KIND_BY_CLASS, KINDS, REFERENCE_KINDS, Kind
from simulator.references import find
from simulator.refusals import RefusedError, bad_message
from simulator.store import Record, references
from simulator.writes import Caller, Writer, name_taken

KEPT: Final = frozenset({"tenant", "cloud", "serviceenginegroup", "network", "vrfcontext", "ipamdnsproviderprofile"})
"""Kinds that a macro DELETE leaves. Source: avi.md 4.1: Tenant, Cloud, SE, Network; the rest likewise, assumed."""


@dataclass(slots=True)
class Macro:
    """One macro request.

    Attributes:
        writer: Writes the objects.
        caller: On whose behalf.
        upserts: Whether an object that exists by name is changed; else it is 409. POST [INF], PUT [DOC].
        written: What this request wrote, children before parents.
    """

    writer: Writer
    caller: Caller
    upserts: bool
    written: list[Record] = field(default_factory=list[Record])

    def build(self, body: Document) -> list[Record]:
        """Write the tree ``{"model_name", "data"}``. Assumed: a sub-object without a cloud is in its parent's."""
        kind, data = _request(body)
        self._write(kind, data, cloud=text(data.get("cloud_ref")))
        return self.written

    def _write(self, kind: Kind, data: Document, *, cloud: str) -> Record:
        whole = self._children(data, cloud)
        if cloud and kind.is_cloud_scoped:
            whole.setdefault("cloud_ref", cloud)
        existing = self._existing(kind, whole)
        if existing is not None and existing in self.written:
            return existing  # Assumed: the second mention of a name means the object of the first.
        is_named = existing is not None and not text(data.get("uuid"))
        if existing is None:
            record = self.writer.create(kind, whole, self.caller)
        elif is_named and not self.upserts:
            raise name_taken(kind)
        else:
            record = self.writer.change(existing, whole, self.caller)
        self.written.append(record)
        return record

    def _existing(self, kind: Kind, data: Document) -> Record | None:
        """The object meant by uuid, else by name where the object would be made."""
        uuid = text(data.get("uuid"))
        if uuid:
            found = self.writer.store.get(uuid)
            if found is None or found.kind is not kind:
                raise RefusedError(404, f"{kind.class_name} object not found!")
            return found
        home = self.writer.home(kind, data, self.caller)
        found = find(self.writer.store, kind, text(data.get("name")), home)
        return found if found is not None and found.tenant == home.tenant else None

    def _children(self, data: Document, cloud: str) -> Document:
        """The message with every ``_ref_data`` written and replaced by its reference."""
        whole: Document = {}
        for key, value in data.items():
            if key.endswith("_ref_data"):
                whole[key.removesuffix("_data")] = self._child(key.removesuffix("_data"), value, cloud)
            elif key.endswith("_refs_data"):
                one = key.removesuffix("s_data")
                whole[f"{one}s"] = [self._child(one, entry, cloud) for entry in entries(value)]
            else:
                whole[key] = self._below(value, cloud)
        return whole

    def _below(self, value: object, cloud: str) -> object:
        if is_message(value):
            return self._children(value, cloud)
        if is_list(value):
            return [self._below(entry, cloud) for entry in entries(value)]
        return value

    def _child(self, field_name: str, value: object, cloud: str) -> str:
        path = REFERENCE_KINDS.get(field_name)
        if path is None:
            raise RefusedError(400, f"Field {field_name}_data cannot be used in a macro")
        if not is_message(value):
            raise bad_message(f"{field_name}_data", "expected a message")
        return f"/api/{path}/{self._write(KINDS[path], value, cloud=text(value.get('cloud_ref')) or cloud).uuid}"


def remove(writer: Writer, body: Document, *, tenant: str | None) -> None:
    """Delete the object ``{"model_name", "data": {"uuid"}}`` names, and what only it used.

    Source: avi.md 4.1 [DOC]: except objects still used, defaults, and Tenant/Cloud/SE/Network.
    """
    kind, data = _request(body)
    record = writer.store.get(text(data.get("uuid")))
    if record is None or record.kind is not kind or tenant not in {None, record.tenant}:
        raise RefusedError(404, f"{kind.class_name} object not found!")
    writer.delete(record)
    for child in _below(writer, record):
        if not writer.store.referrers(child.uuid):
            writer.delete(child)


def _below(writer: Writer, record: Record) -> Iterator[Record]:
    """What ``record`` refers to, parents before children, each as often as it is referred to."""
    for uuid in references(record.document):
        child = writer.store.get(uuid)
        if child is not None and not child.is_system and child.kind.path not in KEPT:
            yield child
            yield from _below(writer, child)


def _request(body: Document) -> tuple[Kind, Document]:
    model, data = body.get("model_name"), body.get("data")
    if not isinstance(model, str) or model not in KIND_BY_CLASS:
        raise RefusedError(400, f"Invalid model_name {model!r}")
    if not is_message(data):
        raise RefusedError(400, "A macro needs data")
    return KIND_BY_CLASS[model], data
