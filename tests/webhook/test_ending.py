"""In order when asked, at once when asked again."""

import asyncio

import pytest

from webhook.ending import Ending

LONG_SECONDS = 60.0


def test_it_begins_when_it_is_asked() -> None:
    """Whoever waits for it waits until then."""

    async def run() -> None:
        ending = Ending()
        waiting = asyncio.create_task(ending.begun())
        assert not ending.has_begun

        ending.ask()
        await waiting
        assert ending.has_begun

    asyncio.run(run())


def test_it_outlives_connections_until_the_last_is_gone() -> None:
    """And not for longer."""

    async def run() -> None:
        ending, connections = Ending(), {"one", "other"}
        waiting = asyncio.create_task(ending.outlive(connections, seconds=LONG_SECONDS))
        connections.remove("one")
        assert not (await asyncio.wait({waiting}, timeout=0.0))[0]

        connections.remove("other")
        await waiting

    asyncio.run(run())


def test_no_connection_is_waited_for_beyond_its_time() -> None:
    """As one of a caller who has gone without a word."""

    async def run() -> None:
        await Ending().outlive({"kept"}, seconds=0.0)

    asyncio.run(run())


@pytest.mark.parametrize("is_lingering", [pytest.param(False, id="serving on"), pytest.param(True, id="lingering")])
def test_asked_twice_it_waits_for_nothing(*, is_lingering: bool) -> None:
    """Neither for those who have not heard of it yet, nor for connections."""

    async def run() -> None:
        ending = Ending()
        ending.ask()
        waiting = asyncio.create_task(
            ending.outlive({"kept"}, seconds=LONG_SECONDS) if is_lingering else ending.serve_on(LONG_SECONDS)
        )
        ending.ask()
        async with asyncio.timeout(LONG_SECONDS / 2):
            await waiting

    asyncio.run(run())
