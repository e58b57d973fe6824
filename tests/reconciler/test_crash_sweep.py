"""Whatever goes wrong at whichever call, the reconciler ends where a fresh one would; the whole: `soak crash-sweep`."""

import asyncio
from collections.abc import Sequence
from typing import Literal

import pytest

from simulator.faults import Fault
from tests.reconciler.controller import Avi
from tests.reconciler.live import World, are_ready, fact, program, service, until
from tests.reconciler.sweep import SCENARIOS, Case
from tests.reconciler.sweep_matrix import SAMPLE, a_few, failures, summary, sweep, table


def test_whatever_happens_to_a_call_the_group_ends_as_if_nothing_had(
    avi: Avi, cluster_name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """For each scenario some troubles, others in each run: the exact graph, no orphan, no twin, no lost VIP."""
    sizes: list[int] = []

    def some(cases: Sequence[Case]) -> Sequence[Case]:
        sizes.append(len(cases))
        return a_few(cases)

    results = sweep(avi, clusters=cluster_name, choose=some)
    print(table(results))  # noqa: T201 - pytest shows it with -s, and when it fails
    with capsys.disabled():
        print(f"\ncrash sweep, drawn from {sum(sizes):,} cases: {summary(results)}")  # noqa: T201 - for who reads the run

    assert len(results) == 2 * len(SCENARIOS) * SAMPLE
    assert failures(results) == []


@pytest.mark.e2e
@pytest.mark.parametrize(("action", "is_done"), [("delay", False), ("lose", True)], ids=["before", "after"])
def test_a_process_that_is_killed_in_the_middle_of_a_write_leaves_it_to_the_next(
    world: World, action: Literal["delay", "lose"], *, is_done: bool
) -> None:
    """SIGKILL, once before the Controller did the macro call and once after; the Lease is not handed over."""

    async def story() -> None:
        faults = world.avi.running.faults
        # What comes after the one call waits, too, so that nothing is told before the end.
        faults.set(Fault(action=action, path="macro", seconds=60))
        faults.set(Fault(action="delay", path="^/api/.*name=sharedvip~", times=0, seconds=60))
        members = [service(name, port, namespace=world.namespace) for name, port in (("a", "80/TCP"), ("b", "80/UDP"))]
        with program(world) as first:
            try:
                await world.apply(*members)
                await until("it writes", lambda: fact(lambda: faults.lines()[0][1] > 0))
                await until("it was done, or not", lambda: fact(lambda: bool(world.names()) == is_done))
            finally:
                first.kill()
        faults.clear()
        there = world.names()
        lease = ("delete", "lease", "sharedvip-reconciler", "--namespace=sharedvip-system")
        await asyncio.to_thread(world.cluster.run_kubectl, *lease)
        with program(world) as second:
            try:
                await until("both are programmed", lambda: are_ready(world, "a", "b"))
                names = world.names()
                assert [name.partition(" ")[0] for name in names] == [
                    "l4policyset",
                    "pool",
                    "pool",
                    "virtualservice",
                    "vsvip",
                ]
                assert there in ([], names)
                await world.kubectl("delete", "service", "a", "b")
                await until("nothing is on Avi", lambda: fact(lambda: world.names() == []))
            finally:
                second.terminate()

    world.tell(story)
