"""Imports something without something else that it would take if it were there; it unloads nothing."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast


@contextmanager
def without(package: str) -> Generator[None]:
    """While the block runs, the package cannot be imported, as if it were not installed. Source: ``sys.modules``.

    Modules that are loaded already keep what they have.
    """
    modules, absent = cast("dict[str, Any]", sys.modules), object()
    kept = modules.get(package, absent)
    modules[package] = None
    try:
        yield
    finally:
        del modules[package]
        if kept is not absent:
            modules[package] = kept
