"""Whoever asked: nothing is begun for a caller that is gone; it never reads a request, and it answers none.

A webhook that was stopped for longer than its callers wait (a suspended machine, a throttled container) finds their
requests in its sockets when it wakes, and a ``kubectl`` that is interrupted takes its request along. To claim for them
would keep ports and addresses from others for the whole grace.
"""

import asyncio
from typing import Final

from starlette.types import Message, Receive

_TURNS: Final = 4
"""Of the event loop, from a request to the end of its connection that was read together with it: TLS closes the
transport in the first, the transport says so in the second, TLS in the third, and uvicorn knows."""


class CallerGoneError(Exception):
    """Nobody waits for an answer any more."""


async def waiting() -> Message:
    """The ``receive`` of a caller that stays."""
    await asyncio.Event().wait()
    raise AssertionError  # pragma: no cover - nobody sets it


async def require_caller(receive: Receive) -> None:
    """Nothing, where the caller still waits for its answer, after its whole request was read.

    Raises:
        CallerGoneError: Its connection is closed.
    """
    for _ in range(_TURNS):
        await asyncio.sleep(0)
    # Only what is known at once: a task that waits for more costs 20 us, and who is there says nothing more.
    told = receive().__await__()
    try:
        next(told)
    except StopIteration as message:
        if message.value["type"] == "http.disconnect":
            raise CallerGoneError from None
    else:
        told.close()
