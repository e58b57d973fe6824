"""List requests: which objects, in which order, which page; it renders nothing.

Source: avi.md 2.4 [SW] for the parameters; page defaults and refusals [INF] come from ``settings.Knobs``.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import urlencode

from simulator.documents import Document, is_list, messages, text
from simulator.kinds import REFERENCE_KINDS
from simulator.references import ADMIN, is_visible, uuid_of
from simulator.refusals import RefusedError
from simulator.settings import Knobs
from simulator.store import Record, Store, references

Query: TypeAlias = Mapping[str, str]
"""Parameters; of a repeated one the last."""

PAGE_SIZE_LIMIT: Final = 200
"""Source: avi.md 2.4 [SW]."""

SHAPING: Final = frozenset(
    {
        *("fields", "include_name", "skip_default", "join_subresources", "sort", "limit_by", "page", "page_size"),
        *("include", "label_key", "label_value", "refers_to", "referred_by", "search", "isearch", "exclude"),
    }
)
"""Parameters that are no filter on a field of their name."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list: how many match in all, the records of this page, and the next page's query or empty."""

    count: int
    records: list[Record]
    next_query: str


def selected(store: Store, path: str, query: Query, *, tenant: str | None) -> list[Record]:
    """The records of a kind that a tenant sees and the parameters ask for; oldest first unless asked otherwise."""
    found = [record for record in _candidates(store, path, query, tenant) if is_visible(record, tenant)]
    for parameter, value in query.items():
        if parameter not in SHAPING:
            wanted = _filter(store, parameter, value)
            found = [record for record in found if wanted(record)]
    for narrowed in (_by_labels, _by_search, _by_relation):
        found = narrowed(store, found, query)
    return _sorted(found, query.get("sort", ""))


def page(records: list[Record], query: Query, knobs: Knobs) -> Page:
    """One page of the selected records.

    Raises:
        RefusedError: A page or page size that is no number or out of bounds.
    """
    limit = _whole(query, "limit_by", absent=len(records), status=knobs.page_size_status)
    records = records[:limit]
    size = _whole(query, "page_size", absent=knobs.default_page_size, status=knobs.page_size_status)
    number = _whole(query, "page", absent=1, status=knobs.page_overflow_status)
    if not 1 <= size <= PAGE_SIZE_LIMIT:
        raise RefusedError(knobs.page_size_status, f"page_size must be between 1 and {PAGE_SIZE_LIMIT}")
    first = (number - 1) * size
    if number < 1 or (first >= len(records) and number > 1):
        raise RefusedError(knobs.page_overflow_status, "That page contains no results")
    is_last = first + size >= len(records)
    onward = "" if is_last else urlencode({**query, "page": number + 1, "page_size": size})
    return Page(len(records), records[first : first + size], onward)


def is_flag_set(query: Query, name: str) -> bool:
    """Whether a flag is given, bare or with any value but false. Source: avi.md 2.4; AKO sends it bare."""
    return name in query and query[name].lower() not in {"false", "0"}


def _candidates(store: Store, path: str, query: Query, tenant: str | None) -> Iterable[Record]:
    """Fewer than all when a name or uuids are given: the indexes answer then."""
    if "uuid" in query or "uuid.in" in query:
        uuids = [*query.get("uuid.in", "").split(","), query.get("uuid", "")]
        found = [record for uuid in dict.fromkeys(uuids) if (record := store.get(uuid)) is not None]
        return [record for record in found if record.kind.path == path]
    if "name" in query or "name.in" in query:
        names = [query["name"]] if "name" in query else query["name.in"].split(",")
        homes = [tenant, ADMIN] if tenant is not None else [one.uuid for one in store.of_kind("tenant")]
        found = [store.named(path, name, tenant=home) for home in dict.fromkeys(homes) for name in dict.fromkeys(names)]
        return [record for records in found for record in records]
    return store.of_kind(path)


def _filter(store: Store, parameter: str, value: str) -> Callable[[Record], bool]:
    if parameter == "cloud_uuid":
        return lambda record: record.cloud == value
    field, _, operator = parameter.rpartition(".") if "." in parameter else (parameter, "", "is")
    if field in REFERENCE_KINDS and operator in {"name", "uuid"}:
        return lambda record: _target(store, record, field, operator) == value
    if field.endswith("_ref") and operator == "is":
        return lambda record: uuid_of(record.document.get(field)) == uuid_of(value.split("#", maxsplit=1)[0])
    matches = _operator(operator, value)
    return lambda record: matches(_shown(record, field))


def _operator(operator: str, value: str) -> Callable[[str], bool]:
    """Assumed: an operator that is not known is refused."""
    listed = set(value.split(","))
    known: dict[str, Callable[[str], bool]] = {
        "is": lambda shown: shown == value,
        "in": lambda shown: shown in listed,
        "contains": lambda shown: value in shown,
        "icontains": lambda shown: value.lower() in shown.lower(),
    }
    if operator not in known:
        raise RefusedError(400, f"Unknown filter operator {operator!r}")
    return known[operator]


def _shown(record: Record, field: str) -> str:
    value = record.uuid if field == "uuid" else record.document.get(field, "")
    return str(value).lower() if isinstance(value, bool) else str(value)


def _target(store: Store, record: Record, field: str, operator: str) -> str:
    uuid = uuid_of(record.document.get(field))
    target = store.get(uuid)
    return uuid if operator == "uuid" else target.name if target else ""


def _by_labels(_store: Store, records: list[Record], query: Query) -> list[Record]:
    """``label_key`` and ``label_value``, as AKO asks (ako.md 6.1); markers are labels too: assumed."""
    if "label_key" not in query:
        return records
    key, value = query["label_key"], query.get("label_value")
    return [record for record in records if any(_is_labelled(label, key, value) for label in _labels(record.document))]


def _labels(document: Document) -> list[Document]:
    return [*messages(document.get("labels")), *messages(document.get("markers"))]


def _is_labelled(label: Document, key: str, value: str | None) -> bool:
    values = label.get("values")
    held = values if is_list(values) else [label.get("value")]
    return label.get("key") == key and (value is None or value in held)


def _by_search(_store: Store, records: list[Record], query: Query) -> list[Record]:
    for parameter, operator in (("search", "contains"), ("isearch", "icontains")):
        terms = re.findall(r"\(([^,()]+),([^()]*)\)", query.get(parameter, ""))
        tests = [(field, _operator(operator, value)) for field, value in terms]
        if tests:
            records = [record for record in records if any(test(_shown(record, field)) for field, test in tests)]
    if (excluded := query.get("exclude", "")).startswith("uuid.in="):
        uuids = set(excluded.removeprefix("uuid.in=").split(","))
        records = [record for record in records if record.uuid not in uuids]
    return records


def _by_relation(store: Store, records: list[Record], query: Query) -> list[Record]:
    """``refers_to=pool:<uuid>`` and ``referred_by=virtualservice:<uuid>``: direct references only, assumed."""
    if "refers_to" in query:
        users = {user.uuid for user in store.referrers(query["refers_to"].rpartition(":")[2])}
        records = [record for record in records if record.uuid in users]
    if "referred_by" in query:
        user = store.get(query["referred_by"].rpartition(":")[2])
        used = set(references(user.document)) if user else set[str]()
        records = [record for record in records if record.uuid in used]
    return records


def _sorted(records: list[Record], by: str) -> list[Record]:
    if not by:
        return records
    field = by.removeprefix("-")
    return sorted(records, key=lambda record: _shown(record, field), reverse=by.startswith("-"))


def _whole(query: Query, name: str, *, absent: int, status: int) -> int:
    value = query.get(name)
    if value is None:
        return absent
    if not re.fullmatch(r"\d{1,9}", value):
        raise RefusedError(status, f"{name} must be a whole number, not {value!r}")
    return int(value)


def fields(query: Query) -> frozenset[str]:
    """The names in ``fields``; empty is all."""
    return frozenset(name for name in text(query.get("fields")).split(",") if name)
