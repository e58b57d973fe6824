"""The loop: what a pass's outcome leads to, and how everything ends."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import pytest
from prometheus_client import CollectorRegistry

from cluster.errors import ClusterError
from reconciler.avi_errors import AviError, AviUnreachable
from reconciler.group_pass import Outcome
from reconciler.loop import Loop, NotLeaderError
from reconciler.metrics import ReconcilerMetrics
from reconciler.queue import COALESCE_SECONDS
from reconciler.status import StatusKeeper
from sharedvip.model import GroupName
from tests.builders import GROUP, service
from tests.reconciler.fake_kubernetes import FakeKubernetes

OTHER = GroupName("other", "key")
LONG = 600.0


@dataclass
class Passes:
    """Does what the test says, pass by pass."""

    outcomes: list[Outcome | Exception] = field(default_factory=list[Outcome | Exception])
    seen: list[GroupName] = field(default_factory=list[GroupName])
    gate: asyncio.Event | None = None
    """Passes wait for it."""
    finished: int = 0

    async def run(self, group: GroupName) -> Outcome:
        """As ``Pass``."""
        self.seen.append(group)
        outcome = self.outcomes.pop(0) if self.outcomes else Outcome()
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(outcome, Exception):
            raise outcome
        self.finished += 1
        return outcome


@dataclass
class Never:
    """A resync that says which groups to look at, once its pause is over."""

    groups: Collection[GroupName] = ()
    pause_seconds: float = LONG

    async def read(self) -> Collection[GroupName]:
        """As ``Resync``."""
        self.pause_seconds = LONG
        return self.groups


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110 - conditions of all kinds, few of which have an event
            await asyncio.sleep(0.005)


@dataclass
class Running:
    """A loop in a task."""

    loop: Loop
    stop: asyncio.Event
    task: asyncio.Task[None]
    metrics: ReconcilerMetrics


def _start(passes: Passes, *, kubernetes: FakeKubernetes | None = None, resync: Never | None = None) -> Running:
    cluster = kubernetes or FakeKubernetes()
    metrics = ReconcilerMetrics(CollectorRegistry())
    loop = Loop(cluster, worker=passes, statuses=StatusKeeper(cluster), metrics=metrics)
    stop = asyncio.Event()
    task = asyncio.create_task(loop.run(workers=2, resync=resync or Never(), stop=stop))
    return Running(loop, stop, task, metrics)


@pytest.mark.parametrize("error", [AviError("x"), ClusterError("x"), ValueError("a bug")])
def test_a_pass_that_fails_is_tried_again_and_the_others_go_on(error: Exception) -> None:
    """Also after a bug of ours."""

    async def story() -> None:
        passes = Passes([error])
        running = _start(passes)
        running.loop.group_changed(GROUP)
        await _until(lambda: passes.seen == [GROUP])
        running.loop.group_changed(OTHER)
        await _until(lambda: passes.finished == 2)
        assert sorted(passes.seen) == sorted([GROUP, OTHER, GROUP])
        running.stop.set()
        await running.task

    asyncio.run(story())


def test_an_error_says_how_long_to_wait_at_least() -> None:
    """A Controller's lock-out is not shortened by our back-off."""

    async def story() -> None:
        slow = AviUnreachable("x")
        slow.retry_seconds = LONG
        passes = Passes([slow])
        running = _start(passes)
        running.loop.group_changed(GROUP)
        await _until(lambda: passes.seen == [GROUP])
        running.loop.group_changed(OTHER)
        await _until(lambda: passes.finished == 1)
        assert passes.seen == [GROUP, OTHER]
        running.stop.set()
        await running.task

    asyncio.run(story())


def test_a_new_group_waits_a_little_for_its_other_members() -> None:
    """Events of a group that is built do not wait behind it."""

    async def story() -> None:
        passes = Passes()
        running = _start(passes)
        running.loop.group_changed(GROUP, is_new=True)
        running.loop.group_changed(OTHER)
        await _until(lambda: passes.finished == 1)
        running.loop.group_changed(GROUP, is_new=True)
        await _until(lambda: passes.finished == 2)
        assert passes.seen == [OTHER, GROUP]
        running.stop.set()
        await running.task

    asyncio.run(story())


def test_a_pass_may_ask_to_come_again() -> None:
    """A claim's grace ends without an event."""

    async def story() -> None:
        passes = Passes([Outcome(wake_seconds=0.0)])
        running = _start(passes)
        running.loop.group_changed(GROUP)
        await _until(lambda: passes.finished == 2)
        running.stop.set()
        await running.task

    asyncio.run(story())


def test_a_resync_looks_at_all_groups_and_all_leavers() -> None:
    """What no event told."""

    async def story() -> None:
        leaver = service("leaver", key=None, vips=("10.0.0.1",), has_ready_condition=True)
        kubernetes = FakeKubernetes(stored={leaver.name: leaver})
        passes = Passes()
        running = _start(passes, kubernetes=kubernetes, resync=Never([GROUP, OTHER], pause_seconds=0.0))
        await _until(lambda: passes.finished == 2 and kubernetes.vips(leaver) == [()])
        running.stop.set()
        await running.task

    asyncio.run(story())


def test_a_resync_of_many_groups_lets_others_work_in_between() -> None:
    """The Lease must be renewed meanwhile."""

    async def story() -> None:
        gate = asyncio.Event()
        passes, turns = Passes(gate=gate), 0
        running = _start(passes)
        for number in range(1000):
            running.loop.group_changed(GroupName("many", f"k{number}"))
        all_due = asyncio.get_running_loop().time() + COALESCE_SECONDS
        await _until(lambda: len(passes.seen) == 2 and asyncio.get_running_loop().time() > all_due)
        gate.set()
        while passes.finished < 1000:
            turns += 1
            await asyncio.sleep(0)
        assert turns > 100
        running.stop.set()
        await running.task

    asyncio.run(story())


def test_an_orderly_end_finishes_the_pass_on_its_way_and_begins_no_other() -> None:
    """Half a pass is safe, and a whole one is better."""

    async def story() -> None:
        passes = Passes(gate=asyncio.Event())
        running = _start(passes)
        running.loop.group_changed(GROUP)
        await _until(lambda: passes.seen == [GROUP])
        running.stop.set()
        running.loop.group_changed(OTHER)
        await asyncio.sleep(0)
        assert not running.task.done()
        assert passes.gate is not None
        passes.gate.set()
        await running.task
        assert (passes.seen, passes.finished) == ([GROUP], 1)

    asyncio.run(story())


def test_a_closed_fence_ends_everything_at_once() -> None:
    """Nobody may write any more, so nobody goes on."""

    async def story() -> None:
        passes = Passes([NotLeaderError()])
        running = _start(passes)
        running.loop.group_changed(GROUP)
        with pytest.raises(ExceptionGroup) as ended:
            await running.task
        assert ended.group_contains(NotLeaderError)

    asyncio.run(story())


def test_the_queue_depth_ends_at_zero() -> None:
    """Also when the last work was done and nothing was taken after it."""

    async def story() -> None:
        passes = Passes()
        running = _start(passes)
        running.loop.group_changed(GROUP)
        (waiting,) = running.metrics.queue_depth.collect()
        await _until(lambda: passes.finished == 1)
        await _until(lambda: next(iter(running.metrics.queue_depth.collect())).samples[0].value == 0)
        assert waiting.samples[0].value == 1
        running.stop.set()
        await running.task

    asyncio.run(story())
