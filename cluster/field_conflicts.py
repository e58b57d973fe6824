"""Who owns a field that we wanted to apply, as the API server's 409 tells; it never forces anything."""

import re
from typing import NamedTuple

from cluster.errors import Conflict

_MANAGER = re.compile(r'conflict with "((?:[^"\\]|\\.)*)"')
"""Source: ``structured-merge-diff/merge/conflict.go`` and ``managedfields/internal/conflict.go``."""


class FieldConflict(NamedTuple):
    """One field that another manager owns with another value.

    The field reads ``.spec.staticAddress`` or ``.spec.claims[port=80,protocol="TCP"].uid``.
    """

    field: str
    manager: str


def parse_conflicts(error: Conflict) -> tuple[FieldConflict, ...]:
    """The fields in conflict, in the API server's order; none where the 409 has another reason (a stale read)."""
    return tuple(
        FieldConflict(cause.field, _manager(cause.message))
        for cause in error.causes
        if cause.reason == "FieldManagerConflict"
    )


def _manager(message: str) -> str:
    found = _MANAGER.search(message)
    return found[1] if found else ""
