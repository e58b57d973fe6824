"""Whether what is there is what is wanted, field by field; it never decides what to do about a difference.

What the Controller added by itself never counts. That a field is no longer wanted shows in the object's own hash.
"""

from collections.abc import Mapping, Sequence
from typing import cast

from reconciler.graph import Json, JsonObject, referred_name, referred_uuid

_NOTHING: tuple[Json, ...] = (None, "", [], ())


def differing_fields(wanted: JsonObject, there: JsonObject, *, names: Mapping[str, str]) -> tuple[str, ...]:
    """The first-level fields that are not as wanted, in the order of ``wanted``.

    Args:
        wanted: The body we would send.
        there: The body as the Controller told it.
        names: Names by uuid, for references that came without ``#name``.
    """
    return tuple(field for field, value in wanted.items() if not _is_as(value, there.get(field), field, names))


def _is_as(wanted: Json, there: Json, field: str, names: Mapping[str, str]) -> bool:
    if isinstance(wanted, Mapping):
        return isinstance(there, Mapping) and not differing_fields(wanted, cast("JsonObject", there), names=names)
    if _is_list(wanted):
        return _are_as(cast("Sequence[Json]", wanted), there, field, names)
    if field.endswith(("_ref", "_refs")) and isinstance(wanted, str) and isinstance(there, str):
        # One of them may name a uuid that nobody here knows by name.
        uuid = referred_uuid(wanted)
        return referred_name(wanted, names) == referred_name(there, names) or uuid == referred_uuid(there) != ""
    return wanted == there


def _is_list(value: Json) -> bool:
    return isinstance(value, list | tuple)


def _are_as(wanted: Sequence[Json], there: Json, field: str, names: Mapping[str, str]) -> bool:
    if not wanted:
        # The Controller leaves an empty list out, or tells it; both are as wanted.
        return there in _NOTHING
    if not _is_list(there):
        return False
    entries = cast("Sequence[Json]", there)
    return len(wanted) == len(entries) and all(
        _is_as(mine, theirs, field, names) for mine, theirs in zip(wanted, entries, strict=True)
    )
