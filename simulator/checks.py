"""Whether a body fits its shape, and the body with its defaults filled; it looks at no other object."""

import ipaddress
from typing import Final

from simulator.documents import Document, entries, is_list, is_message, text
from simulator.refusals import RefusedError, bad_message, field_check
from simulator.shapes import IP_ADDRESS, NAMED, SERVER, SERVICE, SHAPES, Part, Range, Shape

NAME_LIMIT: Final = 255
"""Characters in a name. Source: avi.md 2.8 [AKO AVI_OBJ_NAME_MAX_LENGTH]; status 400 and text assumed."""

READ_ONLY: Final = frozenset(
    {
        *("uuid", "url", "_last_modified", "vs_refs", "version", "redis_db", "redis_port"),
        *("vip_runtime", "tls_ticket_key", "marked_for_delete", "self_se_election"),
    }
)
"""Fields a body may carry and the Controller ignores. Source: avi.md 2.2 (``uuid``), 2.3 (leaked internals)."""


def check(path: str, document: Document) -> None:
    """Refuse a body that lacks a field or holds a value out of bounds.

    Source: avi.md 3 [SW] for the bounds, 2.5 for the forms.

    Raises:
        RefusedError: 400 for a value, 500 "Bad pb" for a message of the wrong JSON type.
    """
    name = document.get("name")
    if name is not None and not isinstance(name, str):
        raise bad_message("name", "expected a string")
    if len(text(name)) > NAME_LIMIT:
        raise field_check(("name",), f"the name is longer than {NAME_LIMIT} characters")
    _check(document, SHAPES.get(path, NAMED), trail=())


def filled(path: str, document: Document) -> Document:
    """The body with defaults in place of absent fields, without the read-only ones. Source: avi.md 2.3 [CAS]."""
    kept = {key: value for key, value in document.items() if key not in READ_ONLY and value != ""}
    return _filled(kept, SHAPES.get(path, NAMED))


def _check(document: Document, shape: Shape, *, trail: tuple[str, ...]) -> None:
    for field in shape.required:
        if document.get(field) in (None, "", {}):
            raise field_check((*trail, field), "the field is required")
    for field, bounds in shape.ranges.items():
        _check_range(document.get(field), bounds, trail=(*trail, field))
    for field, words in shape.enums.items():
        if field in document and document[field] not in words:
            raise field_check((*trail, field), f"{document[field]!r} is not one of {', '.join(words)}")
    for field, part in shape.parts.items():
        if document.get(field) is not None:
            _check_part(document[field], part, trail=(*trail, field))
    if shape is IP_ADDRESS:
        _check_address(document, trail=trail)


def _check_range(value: object, bounds: Range, *, trail: tuple[str, ...]) -> None:
    if value is None:
        return
    for number in entries(value) if is_list(value) else [value]:
        if not isinstance(number, int) or isinstance(number, bool):
            raise field_check(trail, f"{number!r} is not a whole number")
        if not bounds.low <= number <= bounds.high and number not in bounds.also:
            raise field_check(trail, f"{number} is not in the range {bounds.low}-{bounds.high}")


def _check_part(value: object, part: Part, *, trail: tuple[str, ...]) -> None:
    if part.limit is None:
        if not is_message(value):
            raise bad_message(trail[-1], "expected a message")
        _check(value, part.shape, trail=trail)
        return
    if not is_list(value):
        raise bad_message(trail[-1], "expected a list of messages")
    listed = entries(value)
    if len(listed) > part.limit:
        raise field_check(trail, f"there may be at most {part.limit}")
    for entry in listed:
        if not is_message(entry):
            raise bad_message(trail[-1], "expected a list of messages")
        _check(entry, part.shape, trail=trail)


def _check_address(document: Document, *, trail: tuple[str, ...]) -> None:
    # Assumed: avi.md gives no text for an address that is none.
    if document.get("type") == "DNS":
        return
    try:
        version = ipaddress.ip_address(text(document.get("addr"))).version
    except ValueError:
        raise field_check((*trail, "addr"), f"{document.get('addr')!r} is not an IP address") from None
    if document.get("type", f"V{version}") != f"V{version}":
        raise field_check((*trail, "type"), f"{document.get('addr')} is not a {document.get('type')} address")


def _filled(document: Document, shape: Shape) -> Document:
    whole = {**shape.defaults, **{key: value for key, value in document.items() if value is not None}}
    for field, part in shape.parts.items():
        if field in whole:
            whole[field] = _filled_part(whole[field], part.shape)
    if shape is SERVICE:
        whole["port_range_end"] = whole.get("port_range_end") or whole["port"]
    if shape is SERVER and is_message(ip := whole["ip"]):
        whole.setdefault("hostname", ip["addr"])
    if shape is IP_ADDRESS:
        whole.setdefault("type", "V6" if ":" in text(whole["addr"]) else "V4")
    return whole


def _filled_part(value: object, shape: Shape) -> object:
    if is_message(value):
        return _filled(value, shape)
    return [_filled(entry, shape) for entry in entries(value) if is_message(entry)]


def require_name(document: Document) -> str:
    """The name of a body, or 400."""
    name = text(document.get("name"))
    if not name:
        raise RefusedError(400, "Field check for name failed : the field is required")
    return name
