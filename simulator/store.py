"""The objects, with every index a request needs; it checks nothing and knows no HTTP.

Documents are never changed in place: a write stores a new one, so what was read stays true and a transaction is
undone by putting the old records back.
"""

import ipaddress
import re
from collections.abc import Collection, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

from simulator.documents import Document, entries, is_message, message, messages, text
from simulator.kinds import Kind
from simulator.vacancies import Vacancies

Key = TypeVar("Key")
Entry = TypeVar("Entry")

Span: TypeAlias = tuple[int, int]
"""First and last address of a range as numbers."""

STORED_REFERENCE: Final = re.compile(r"^/api/([a-z0-9]+)/([^/?#]+)$")
"""A reference as stored: the kind's path and the uuid; rendering adds the host and, when asked, the name."""


@dataclass(frozen=True, slots=True)
class Record:
    """One stored object.

    Attributes:
        kind: Its type.
        uuid: Its identity.
        name: Its name.
        tenant: The uuid of its tenant; a tenant object's is ``admin``.
        cloud: The uuid of its cloud; empty if it has none.
        document: What is stored, references as ``/api/<kind>/<uuid>``.
        modified_us: ``_last_modified``, microseconds since the epoch.
        placing_since_us: When its placement began: when it was made, or when it was last enabled.
        is_system: Whether it is a system default, which cannot be deleted.
    """

    kind: Kind
    uuid: str
    name: str
    tenant: str
    cloud: str
    document: Document
    modified_us: int
    placing_since_us: int
    is_system: bool = False


def references(value: object, *, key: str = "") -> Iterator[str]:
    """The uuids that a stored document refers to, in order, repeated if repeated."""
    if isinstance(value, str):
        if key.endswith(("_ref", "_refs")) and (found := STORED_REFERENCE.match(value)):
            yield found.group(2)
    elif is_message(value):
        for name, part in value.items():
            yield from references(part, key=name)
    else:
        for part in entries(value):
            yield from references(part, key=key)


def addresses(record: Record) -> list[str]:
    """The VIP addresses that a vsvip holds, v4 and v6; of any other object none."""
    if record.kind.path != "vsvip":
        return []
    vips = messages(record.document.get("vip"))
    found = (text(message(vip.get(field)).get("addr")) for vip in vips for field in ("ip_address", "ip6_address"))
    return [address for address in found if address]


class Store:
    """Records by uuid, by kind, by name; who refers to whom; who holds which address."""

    def __init__(self) -> None:
        """Begin empty."""
        self._records: dict[str, Record] = {}
        self._of_kind: dict[str, dict[str, Record]] = {}
        self._by_name: dict[tuple[str, str, str], dict[str, Record]] = {}
        self._referrers: dict[str, dict[str, None]] = {}
        self._holders: dict[tuple[str, str], dict[str, None]] = {}
        self._vacancies: dict[tuple[str, int, int, int], Vacancies] = {}
        self._undo: list[tuple[str, Record | None]] | None = None

    def get(self, uuid: str) -> Record | None:
        """The record with that uuid, of whatever kind."""
        return self._records.get(uuid)

    def of_kind(self, path: str) -> list[Record]:
        """All records of a kind, oldest first."""
        return list(self._of_kind.get(path, {}).values())

    def named(self, path: str, name: str, *, tenant: str) -> list[Record]:
        """The records of that name in a tenant: at most one per cloud."""
        return list(self._by_name.get((tenant, path, name), {}).values())

    def referrers(self, uuid: str) -> list[Record]:
        """Who refers to ``uuid``, oldest reference first."""
        return [self._records[referrer] for referrer in self._referrers.get(uuid, ())]

    def holders(self, cloud: str, address: str) -> list[str]:
        """The uuids of the vsvips of a cloud that hold ``address`` (canonical text)."""
        return list(self._holders.get((cloud, address), ()))

    def first_free(self, cloud: str, span: Span, *, family: int, taken: Collection[str]) -> str:
        """The lowest address of ``span`` that no vsvip of the cloud holds and ``taken`` does not have; empty if none.

        Args:
            cloud: The cloud's uuid.
            span: First and last address as numbers, inclusive.
            family: 4 or 6.
            taken: Canonical addresses that are promised but not stored.
        """
        make = ipaddress.IPv4Address if family == 4 else ipaddress.IPv6Address  # noqa: PLR2004 - IP versions
        vacancies = self._vacancies.setdefault((cloud, family, *span), Vacancies(*span))
        lowest = vacancies.lowest(
            is_held=lambda value: (cloud, str(make(value))) in self._holders,
            is_taken=lambda value: bool(taken) and str(make(value)) in taken,
        )
        return "" if lowest is None else str(make(lowest))

    def put(self, record: Record) -> None:
        """Store a new or changed record."""
        self._remember(record.uuid)
        self._set(record.uuid, record)

    def remove(self, uuid: str) -> None:
        """Forget a record; the caller has checked that none refers to it."""
        self._remember(uuid)
        self._set(uuid, None)

    @contextmanager
    def transaction(self) -> Generator[None]:
        """All writes inside happen, or, if it ends by an exception, none; one at a time."""
        self._undo = []
        try:
            yield
        except BaseException:
            for uuid, record in reversed(self._undo):
                self._set(uuid, record)
            raise
        finally:
            self._undo = None

    def _remember(self, uuid: str) -> None:
        if self._undo is not None:
            self._undo.append((uuid, self._records.get(uuid)))

    def _set(self, uuid: str, record: Record | None) -> None:
        old = self._records.pop(uuid, None) if record is None else self._records.get(uuid)
        if old is not None:
            self._unindex(old, is_final=record is None)
        if record is not None:
            self._records[uuid] = record
            self._index(record)

    def _index(self, record: Record) -> None:
        uuid = record.uuid
        self._of_kind.setdefault(record.kind.path, {})[uuid] = record
        self._by_name.setdefault((record.tenant, record.kind.path, record.name), {})[uuid] = record
        for target in references(record.document):
            self._referrers.setdefault(target, {})[uuid] = None
        for address in addresses(record):
            self._holders.setdefault((record.cloud, address), {})[uuid] = None

    def _unindex(self, record: Record, *, is_final: bool) -> None:
        uuid = record.uuid
        if is_final:
            del self._of_kind[record.kind.path][uuid]
        _drop(self._by_name, (record.tenant, record.kind.path, record.name), uuid)
        for target in references(record.document):
            _drop(self._referrers, target, uuid)
        for address in addresses(record):
            _drop(self._holders, (record.cloud, address), uuid)
            self._release(record.cloud, address)

    def _release(self, cloud: str, address: str) -> None:
        try:
            value = ipaddress.ip_address(address)
        except ValueError:
            return  # A VIP given by name is of no range.
        for (home, family, _first, _last), vacancies in self._vacancies.items():
            if home == cloud and family == value.version:
                vacancies.release(int(value))


def _drop(index: dict[Key, dict[str, Entry]], key: Key, uuid: str) -> None:
    held = index.get(key, {})
    held.pop(uuid, None)
    if not held:
        index.pop(key, None)
