"""How long a caller waits, and work that ends by then; it never decides what is answered when the time is over."""

import asyncio
import types
from collections.abc import Coroutine, Generator
from functools import lru_cache
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs

DEFAULT_DEADLINE_SECONDS: Final = 10.0
"""Where the caller names none. Source: the API's default of ``timeoutSeconds``."""
LONGEST_DEADLINE_SECONDS: Final = 30.0
"""Nobody waits longer. Source: the API's limit of ``timeoutSeconds``."""
MARGIN: Final = 0.1
"""The part of the caller's time that is left for the way back."""

_REMEMBERED_BYTES: Final = 64
"""A query that is longer is nobody's we know, and 64 long ones are megabytes."""

Result = TypeVar("Result")
Waiting = Coroutine[Any, Any, Result]


def deadline_seconds(query: bytes) -> float:
    """How long the caller waits (``timeout=5s``), 30 s at most, less what the way back needs."""
    return _read(query) if len(query) <= _REMEMBERED_BYTES else _read.__wrapped__(query)


@lru_cache(maxsize=64)  # the API server asks with the same few words all the time
def _read(query: bytes) -> float:
    asked = parse_qs(query.decode("latin-1")).get("timeout", [""])[-1]
    seconds = _seconds(asked)
    wanted = DEFAULT_DEADLINE_SECONDS if seconds is None else seconds
    return min(wanted, LONGEST_DEADLINE_SECONDS) * (1 - MARGIN)


def _seconds(text: str) -> float | None:
    """A Go duration as the API server sends it: whole seconds (``5s``); None for anything else."""
    number = text.removesuffix("s")
    return float(number) if text.endswith("s") and number.isascii() and number.isdigit() else None


@types.coroutine
def within(seconds: float, work: "Waiting[Result]") -> Generator[Any, Any, Result]:
    """The work's result, as under ``asyncio.timeout``; but what never waits, as most decisions, needs no timer.

    A timer costs 5 us, a quarter of what a decision without a ledger write may cost.

    Raises:
        TimeoutError: It was not done in time, and was cancelled.
    """
    try:
        waits_for = work.send(None)
    except StopIteration as done:
        return done.value
    return (yield from _timed(seconds, work, waits_for).__await__())


async def _timed(seconds: float, work: "Waiting[Result]", waits_for: object) -> Result:
    async with asyncio.timeout(seconds):
        return await types.coroutine(_resumed)(work, waits_for)


def _resumed(work: "Waiting[Result]", waits_for: object) -> Generator[Any, Any, Result]:
    """Go on with work that was begun by hand and has said what it waits for."""
    try:
        yield waits_for
    except BaseException as error:  # noqa: BLE001 - the work's to handle, a cancellation above all
        try:
            waits_for = work.throw(error)
        except StopIteration as done:
            return done.value
        return (yield from _resumed(work, waits_for))
    return (yield from work.__await__())
