"""Which key comes next: events coalesce, failures back off, no key is worked on twice at a time; it does no work."""

import asyncio
import heapq
import random
from collections.abc import Callable, Hashable
from contextlib import suppress
from itertools import count
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

COALESCE_SECONDS: Final = 0.05
"""Events of one key within this time are one pass: a rollout's EndpointSlice updates come in bursts of a few ms."""

FOUNDING_SECONDS: Final = 0.3
"""The same for a group of which nothing is on Avi: its Services are applied one after the other, some 50 ms apart. Who
comes in time is in the macro call; who comes later costs three calls more. The call itself takes 0.24 to 0.37 s."""

_FIRST_RETRY_SECONDS: Final = 0.5
_LONGEST_RETRY_SECONDS: Final = 60.0


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


class WorkQueue(Generic[K]):
    """Level-triggered: a key says that something changed, never what.

    Args:
        now: Seconds on the event loop's clock.
        jitter: A number from 0 to 1; half of each back-off is up to it, so that keys do not come back together.
    """

    def __init__(self, *, now: Callable[[], float] = _loop_time, jitter: Callable[[], float] = random.random) -> None:
        self._now: Final = now
        self._jitter: Final = jitter
        self._due: dict[K, float] = {}
        # A key's entry counts while it says what ``_due`` says; a linear search took seconds with 10,000 groups.
        self._heap: list[tuple[float, int, K]] = []
        self._sequence: Final = count()
        self._busy: set[K] = set()
        self._failures: dict[K, int] = {}
        self._wake: Final = asyncio.Event()
        self._is_closed = False

    def __len__(self) -> int:
        """How many keys wait or are worked on."""
        return len(self._due.keys() | self._busy)

    def add(self, key: K, *, delay_seconds: float = COALESCE_SECONDS) -> None:
        """Have the key worked on soon; a key that waits already keeps the earlier time."""
        due = self._now() + delay_seconds
        if due >= self._due.get(key, float("inf")):
            return
        self._due[key] = due
        if key not in self._busy:
            self._push(key)

    def done(self, key: K) -> None:
        """The key's work is done, and was well done."""
        self._failures.pop(key, None)
        self._leave(key)

    def retry(self, key: K, *, at_least_seconds: float = 0.0) -> float:
        """The key's work failed: again after a pause, which is returned; events of the key may cut it short."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        # 2.0 ** 7 is beyond the longest already; a larger exponent would only overflow one day.
        longest = min(_LONGEST_RETRY_SECONDS, _FIRST_RETRY_SECONDS * 2.0 ** min(failures - 1, 7))
        pause = max(at_least_seconds, longest * (1 + self._jitter()) / 2)
        self._leave(key)
        self.add(key, delay_seconds=pause)
        return pause

    async def take(self) -> K:
        """The next key that is due; it is ours until ``done`` or ``retry``. After ``close`` it waits for ever."""
        while True:
            soonest = self._soonest()
            if soonest is None or self._is_closed:
                await self._wait(None)
            elif soonest <= self._now():
                return self._hand_out()
            else:
                await self._wait(soonest - self._now())

    def close(self) -> None:
        """Hand out nothing any more."""
        self._is_closed = True

    async def idle(self) -> None:
        """Wait until no key is worked on."""
        while self._busy:
            await self._wait(None)

    def _soonest(self) -> float | None:
        """When the first key is due; entries that were overtaken go."""
        while self._heap and (self._heap[0][2] in self._busy or self._due.get(self._heap[0][2]) != self._heap[0][0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def _hand_out(self) -> K:
        key = heapq.heappop(self._heap)[2]
        del self._due[key]
        self._busy.add(key)
        return key

    def _push(self, key: K) -> None:
        heapq.heappush(self._heap, (self._due[key], next(self._sequence), key))
        self._wake.set()

    async def _wait(self, seconds: float | None) -> None:
        self._wake.clear()
        # Not wait_for: Python 3.11's swallows a cancellation that comes as it ends (gh-86296). After a pause of the
        # process much ends at once, and a worker that heard nothing kept a process that had lost its Lease from ending.
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    def _leave(self, key: K) -> None:
        self._busy.discard(key)
        if key in self._due:
            self._push(key)
        self._wake.set()
