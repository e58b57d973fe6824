"""Nothing that a caller sends stays in memory longer than its answer takes, however large it is, or wrong."""

import asyncio
import contextlib
import gc
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType

import pytest
import yaml

from cluster.errors import Unreachable
from localcluster.cluster import LocalCluster
from localcluster.waiting import wait_until
from soak.bad_manners import body_at_the_limit
from soak.line import Address
from tests.webhook.process import DEADLINE_SECONDS, ROOT, started
from tests.webhook.reviews import encoded, post, review
from tests.webhook.validate_endpoint import allow, endpoint, failing, never
from webhook.answer import Answer
from webhook.memory import keep_trimmed
from webhook.view import Asked

LANES, BODIES_A_LANE = 12, 12
MEBIBYTE = 2**20


@pytest.mark.parametrize(
    ("decide", "body", "query", "status"),
    [
        pytest.param(allow, encoded(review()), b"", 200, id="an answer"),
        pytest.param(allow, b"{", b"", 400, id="no review"),
        pytest.param(allow, encoded(review(uid="")), b"", 400, id="a review without its uid"),
        pytest.param(allow, encoded(review()).replace(b":80,", b":1e400,"), b"", 400, id="a port that is none"),
        pytest.param(allow, b" " * 20_000, b"", 413, id="too large"),
        pytest.param(failing(Unreachable("gone")), encoded(review()), b"", 503, id="no ledger"),
        pytest.param(failing(ZeroDivisionError()), encoded(review()), b"", 503, id="a bug"),
        pytest.param(never, encoded(review()), b"timeout=0s", 503, id="too late"),
    ],
)
def test_no_request_is_kept_by_a_circle(
    decide: Callable[[Asked], Awaitable[Answer]], body: bytes, query: bytes, status: int
) -> None:
    """A frame that waits for the garbage collector keeps its body: 7 MiB each, and it comes once in 20,000 objects."""

    async def left() -> list[object]:
        async def ask() -> None:
            reply = await post(endpoint(decide), body, query=query)
            assert reply is not None
            assert reply.status == status

        await ask()  # once, for what is made only then
        gc.collect()
        gc.set_debug(gc.DEBUG_SAVEALL)
        await ask()
        gc.collect()
        return [thing for thing in gc.garbage if isinstance(thing, FrameType)]

    gc.disable()
    try:
        assert asyncio.run(left()) == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@pytest.mark.e2e
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells what a process has ever had")
def test_large_bodies_are_not_kept_by_the_process(sharedvips: LocalCluster, tmp_path: Path) -> None:
    """A gigabyte of them, twelve at once, most of them refused for that: it stays in what its pod may have."""
    with started(tmp_path, sharedvips.kubeconfig) as webhook:
        webhook.wait_for("/readyz", 200)
        address, chance = Address(webhook.port, webhook.context), random.Random(1)  # noqa: S311 - to be repeated

        async def lane() -> None:
            for _ in range(BODIES_A_LANE):
                await body_at_the_limit(chance, address)

        async def lanes() -> None:
            await asyncio.gather(*(lane() for _ in range(LANES)))

        asyncio.run(lanes())
        assert most_resident_mib(webhook.children.pids["webhook"]) < pod_limit_mib()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells what a process has")
def test_what_lies_free_between_blocks_in_use_is_given_back() -> None:
    """60 MiB of small blocks, of which one in thirty stays: the C library alone gives back nothing of it."""
    before = resident_mib()
    blocks = [bytes(2048) for _ in range(30_000)]
    full = resident_mib()
    kept = blocks[::30]
    del blocks
    unaided = resident_mib()

    def is_given_back() -> bool:
        with contextlib.suppress(TimeoutError):
            asyncio.run(asyncio.wait_for(keep_trimmed(0.001), timeout=0.05))
        return resident_mib() < before + 20

    wait_until(is_given_back, what="the holes are given back", deadline_seconds=DEADLINE_SECONDS)
    assert unaided > full - 10
    assert len(kept) == 1_000


def resident_mib() -> float:
    """What this process has now."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))


def most_resident_mib(pid: int) -> float:
    """What a process has ever had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def pod_limit_mib() -> float:
    """Beyond it the kernel kills the process."""
    deployment = yaml.safe_load((ROOT / "deploy/50-deployment-webhook.yaml").read_text())
    limit = deployment["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"]
    return int(limit.removesuffix("Mi"))
