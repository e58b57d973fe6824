"""Typed looks into JSON documents; it never changes what it is given."""

from typing import TypeAlias, TypeGuard

Document: TypeAlias = dict[str, object]
"""One JSON object, as sent, stored or answered."""


def is_message(value: object) -> TypeGuard[Document]:
    """Whether ``value`` is a JSON object (JSON knows only string keys)."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[object]]:
    """Whether ``value`` is a JSON array."""
    return isinstance(value, list)


def message(value: object) -> Document:
    """``value`` if it is a JSON object, else an empty one."""
    return value if is_message(value) else {}


def entries(value: object) -> list[object]:
    """``value`` if it is a JSON array, else an empty one."""
    return value if is_list(value) else []


def messages(value: object) -> list[Document]:
    """The JSON objects in the array ``value``, in order."""
    return [entry for entry in entries(value) if is_message(entry)]


def text(value: object) -> str:
    """``value`` if it is a string, else the empty string."""
    return value if isinstance(value, str) else ""


def number(value: object, *, absent: int = 0) -> int:
    """``value`` if it is a JSON integer (``true`` is none), else ``absent``."""
    return value if isinstance(value, int) and not isinstance(value, bool) else absent
