"""The queue: events coalesce, failures back off, one worker per key."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from reconciler.queue import COALESCE_SECONDS, WorkQueue


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    seconds: float = 100.0

    def __call__(self) -> float:
        """Now."""
        return self.seconds


@dataclass
class Bench:
    """A queue with a clock in hand and no chance in it."""

    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:  # noqa: D105 - makes the queue
        self.queue: WorkQueue[str] = WorkQueue(now=self.clock, jitter=lambda: 1.0)

    async def taken(self) -> list[str]:
        """All keys that are due now."""
        keys: list[str] = []
        while True:
            try:
                # Nothing else runs on this loop: what is due is handed out without a pause.
                keys.append(await asyncio.wait_for(self.queue.take(), 0.001))
            except TimeoutError:
                return keys


def _tell(story: Callable[[Bench], Awaitable[None]]) -> None:
    async def whole() -> None:
        await story(Bench())

    asyncio.run(whole())


def test_a_burst_of_events_is_one_pass() -> None:
    """A rollout moves a pod every few milliseconds."""

    async def story(bench: Bench) -> None:
        for _ in range(10):
            bench.queue.add("a")
            bench.clock.seconds += 0.004
        assert await bench.taken() == []
        bench.clock.seconds += COALESCE_SECONDS
        assert await bench.taken() == ["a"]
        assert len(bench.queue) == 1

    _tell(story)


def test_a_stream_of_events_does_not_starve_its_key() -> None:
    """The first event's time counts, not the last's."""

    async def story(bench: Bench) -> None:
        bench.queue.add("a")
        bench.clock.seconds += COALESCE_SECONDS
        bench.queue.add("a")
        assert await bench.taken() == ["a"]

    _tell(story)


def test_keys_come_in_the_order_in_which_they_are_due() -> None:
    """Whatever the order in which they were added."""

    async def story(bench: Bench) -> None:
        for key, delay in (("late", 3.0), ("early", 1.0), ("middle", 2.0)):
            bench.queue.add(key, delay_seconds=delay)
        bench.clock.seconds += 5
        assert await bench.taken() == ["early", "middle", "late"]

    _tell(story)


def test_no_key_is_worked_on_twice_at_a_time() -> None:
    """An event during the work is one more pass after it."""

    async def story(bench: Bench) -> None:
        bench.queue.add("a", delay_seconds=0)
        assert await bench.taken() == ["a"]
        bench.queue.add("a", delay_seconds=0)
        bench.queue.add("a", delay_seconds=0)
        assert await bench.taken() == []
        bench.queue.done("a")
        assert await bench.taken() == ["a"]
        bench.queue.done("a")
        assert (await bench.taken(), len(bench.queue)) == ([], 0)

    _tell(story)


def test_failures_back_off_to_a_minute_and_success_forgets_them() -> None:
    """0.5 s, doubled each time."""

    async def story(bench: Bench) -> None:
        pauses = [bench.queue.retry("a") for _ in range(10)]
        assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
        bench.queue.done("a")
        assert bench.queue.retry("a") == 0.5

    _tell(story)


def test_an_error_may_ask_for_a_longer_pause_and_an_event_cuts_it_short() -> None:
    """A person changed something: no need to wait."""

    async def story(bench: Bench) -> None:
        assert bench.queue.retry("a", at_least_seconds=30.0) == 30.0
        bench.clock.seconds += 1
        assert await bench.taken() == []
        bench.queue.add("a", delay_seconds=0)
        assert await bench.taken() == ["a"]
        bench.queue.done("a")
        bench.clock.seconds += 60
        assert await bench.taken() == []

    _tell(story)


def test_half_of_a_pause_is_up_to_chance() -> None:
    """Or all groups would come back to a Controller that recovers in the same moment."""

    async def story() -> None:
        queue: WorkQueue[str] = WorkQueue(now=Clock(), jitter=lambda: 0.0)
        assert queue.retry("a") == 0.25

    asyncio.run(story())


def test_who_waits_is_woken_by_a_key_that_is_due_sooner() -> None:
    """On the event loop's own clock."""

    async def story() -> None:
        queue: WorkQueue[str] = WorkQueue()
        queue.add("later", delay_seconds=600)
        taking = asyncio.create_task(queue.take())
        await asyncio.sleep(0)
        queue.add("now", delay_seconds=0)
        assert await asyncio.wait_for(taking, 5) == "now"

    asyncio.run(story())


def test_a_closed_queue_hands_out_nothing_and_tells_when_the_work_is_done() -> None:
    """An orderly end."""

    async def story(bench: Bench) -> None:
        bench.queue.add("a", delay_seconds=0)
        assert await bench.taken() == ["a"]
        bench.queue.add("b", delay_seconds=0)
        bench.queue.close()
        assert await bench.taken() == []
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(bench.queue.idle(), 0.001)
        bench.queue.done("a")
        await asyncio.wait_for(bench.queue.idle(), 5)

    _tell(story)


@pytest.mark.parametrize("ticks", range(8))
def test_whoever_is_cancelled_as_it_is_woken_ends(ticks: int) -> None:
    """In whatever turn of the event loop both meet; ``asyncio.wait_for`` swallowed one of them (Python 3.11)."""

    async def story() -> None:
        queue: WorkQueue[str] = WorkQueue()
        queue.add("later", delay_seconds=600)
        taking = asyncio.create_task(queue.take())
        await asyncio.sleep(0.01)  # it waits for "later"
        queue.add("sooner", delay_seconds=500)
        for _ in range(ticks):
            await asyncio.sleep(0)
        taking.cancel()
        done, _ = await asyncio.wait({taking}, timeout=0.5)
        if not done:  # end it all the same
            taking.cancel()
        assert done
        assert taking.cancelled()

    asyncio.run(story())
