"""Work that never waits needs no timer, and work that does is ended in time all the same."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from webhook.deadline import deadline_seconds, within

Result = TypeVar("Result")


def test_work_that_never_waits_is_simply_done() -> None:
    """It needs not even a loop that turns."""

    async def work() -> int:
        return 7

    assert asyncio.run(_within(5.0, work())) == 7


def test_work_that_waits_is_done_when_it_has_waited() -> None:
    """Twice, as only the first wait is begun by hand."""

    async def work() -> int:
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        answer = loop.create_future()
        loop.call_soon(answer.set_result, 7)
        return await answer

    assert asyncio.run(_within(5.0, work())) == 7


def test_work_that_waits_too_long_is_cancelled() -> None:
    """It is told, so that it can clean up."""
    told: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            told.append("cancelled")
            raise

    with pytest.raises(TimeoutError):
        asyncio.run(_within(0.01, work()))
    assert told == ["cancelled"]


def test_work_may_wait_again_while_it_cleans_up() -> None:
    """As ``async with`` and ``finally`` do."""

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            told.append("clean")

    told: list[str] = []

    with pytest.raises(TimeoutError):
        asyncio.run(_within(0.01, work()))
    assert told == ["clean"]


def test_an_error_is_the_callers() -> None:
    """Before the first wait and after it."""

    async def at_once() -> None:
        raise ValueError

    async def later() -> None:
        await asyncio.sleep(0)
        raise ValueError

    for work in (at_once(), later()):
        with pytest.raises(ValueError, match=r"^$"):
            asyncio.run(_within(5.0, work))


def test_who_is_cancelled_from_outside_is_not_told_of_a_deadline() -> None:
    """A server that stops is no slow decision."""

    async def main() -> None:
        task = asyncio.create_task(_within(5.0, asyncio.Event().wait()))
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())


@pytest.mark.parametrize(
    ("query", "seconds"), [(b"timeout=5s", 4.5), (b"", 9.0), (b"timeout=soon", 9.0), (b"timeout=-1s", 9.0)]
)
def test_the_callers_time_less_the_way_back(query: bytes, seconds: float) -> None:
    """A tenth is left; what is no whole number of seconds is the API's default."""
    assert deadline_seconds(query) == pytest.approx(seconds)


async def _within(seconds: float, work: Coroutine[Any, Any, Result]) -> Result:
    return await within(seconds, work)
