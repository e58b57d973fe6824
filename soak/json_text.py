"""JSON as no encoder would write it: keys that come twice, numbers and strings that are none; it mutates nothing.

A document is what ``json`` gives, with two more kinds of node: ``Token``, which is written as it is, and ``Pairs``.
"""

import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

Path = tuple[str | int, ...]


class Token(NamedTuple):
    """Bytes that stand where a value is expected."""

    text: bytes


class Pairs(NamedTuple):
    """An object whose keys may come more than once."""

    items: tuple[tuple[str, Any], ...]


def render(node: Any) -> bytes:  # noqa: ANN401 - JSON is of any shape
    """The document as text."""
    match node:
        case Token(text):
            return text
        case Pairs(items):
            return _object(items)
        case dict():
            return _object(tuple(node.items()))  # pyright: ignore[reportUnknownArgumentType] - likewise
        case list():
            return b"[" + b",".join(map(render, node)) + b"]"  # pyright: ignore[reportUnknownArgumentType] - likewise
        case _:
            return json.dumps(node, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _object(items: tuple[tuple[str, Any], ...]) -> bytes:
    return b"{" + b",".join(render(key) + b":" + render(value) for key, value in items) + b"}"


def paths(node: Any, prefix: Path = ()) -> Iterator[Path]:  # noqa: ANN401 - likewise
    """Where something can be put, the whole document included."""
    yield prefix
    if isinstance(node, dict):
        for key, value in node.items():  # pyright: ignore[reportUnknownVariableType] - likewise
            yield from paths(value, (*prefix, key))  # pyright: ignore[reportUnknownArgumentType] - likewise
    elif isinstance(node, list):
        for index, value in enumerate(node):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - likewise
            yield from paths(value, (*prefix, index))


def look_up(node: Any, path: Path) -> Any:  # noqa: ANN401 - likewise
    """What is at a path."""
    for step in path:
        node = node[step]
    return node


NUMBERS_OF_ANOTHER_WORLD: Final = tuple(
    map(Token, (b"NaN", b"Infinity", b"-Infinity", b"-0", b"1e999", b"01", b"0x50", b"+1", b".5", b"9" * 400, b"8e1"))
)
STRINGS_OF_ANOTHER_WORLD: Final = tuple(
    map(Token, (b'"\xff\xfe"', b'"\\ud800"', b'"\\udc00\\ud800"', b'"\xed\xa0\x80"', b'"\x01"', b'"\\x"', b"'web'"))
)


def nested(depth: int, *, is_object: bool) -> Token:
    """Arrays in arrays, or objects in objects."""
    return Token(b'{"a":' * depth + b"1" + b"}" * depth if is_object else b"[" * depth + b"]" * depth)
