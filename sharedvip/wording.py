"""How values and Services are written in messages: one line, one spelling, never endless; it decides nothing."""

from collections.abc import Iterable

SHOWN_CHARACTERS = 80
"""Longer texts are cut: a key has at most 63 characters, a Service's name 63, an address 45; the rest is a mistake."""

NAMED_SERVICES = 10
"""Longer lists are cut: ten names of 63 characters still fit into ten lines of a terminal."""


def quoted(text: str) -> str:
    """The text in single quotes, cut when very long, with what a terminal would not show as itself escaped."""
    more = len(text) - SHOWN_CHARACTERS
    return f"'{_escaped(text)}'" if more <= 0 else f"'{_escaped(text[:SHOWN_CHARACTERS])}' and {more} more characters"


def _escaped(text: str) -> str:
    quotable = text.replace("\\", "\\\\").replace("'", "\\'")
    if quotable.isprintable():
        return quotable
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in quotable)


def joined(names: Iterable[str]) -> str:
    """The names in quotes, sorted, each once, ten at most: ``'a', 'b' and 3 more``."""
    every = sorted(set(names))
    listed = ", ".join(quoted(name) for name in every[:NAMED_SERVICES])
    return listed if len(every) <= NAMED_SERVICES else f"{listed} and {len(every) - NAMED_SERVICES} more"


def services(names: Iterable[str], *, one: str = "", many: str = "") -> str:
    """The Services with the verb that fits their number: ``Service 'a' shares``, ``Services 'a', 'b' share``."""
    every = set(names)
    noun, verb = ("Service", one) if len(every) == 1 else ("Services", many)
    return f"{noun} {joined(every)} {verb}".rstrip()
