"""Applies go on while replicas are replaced and certificates rotate: not one may fail; it judges by the answers.

The API server's own count of calls that failed and were waved through (``failurePolicy: Ignore``, the mutating webhook)
is looked at too: nobody who applies would notice those.
"""

import asyncio
import json
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Final

from cli.demo.install import NAMESPACE
from cli.demo.stage import Stage
from cluster.api import APPLY
from localcluster.ports import LOOPBACK
from localcluster.waiting import wait_until
from soak.arena import Arena, Write, member
from soak.result import Result
from soak.rig import Rig

DRAIN_SECONDS: Final = 2.0
"""Of the 5 s that a replica has by default: the forwarder hears at once that it goes."""
KUBELET_SECONDS: Final = 2.0
"""From a written Secret to its files. A kubelet takes up to a minute; by then every API server has long heard of the
``caBundle`` that was written before."""
_LOADED_SECONDS: Final = 30.0
_LANES: Final = 4

_FAILED_OPEN: Final = "apiserver_admission_webhook_fail_open_count"
_FAILING_OPEN: Final = "failing open"


async def rolling_restart(rig: Rig, arena: Arena, *, rounds: int, result: Result) -> None:
    """Every replica is replaced, as a Deployment does it, again and again."""

    async def roll() -> None:
        leaving = rig.replicas
        for replica in leaving:
            await asyncio.to_thread(rig.replace_webhook, replica, drain_seconds=DRAIN_SECONDS)
        for replica in leaving:
            await asyncio.to_thread(rig.wait_ended, replica)
            result.counts["replicas replaced"] += 1

    await _applying_during(roll, rig, arena, rounds=rounds, result=result)


async def certificate_rotation(rig: Rig, arena: Arena, *, rounds: int, result: Result) -> None:
    """A new serving certificate, then a new authority too, again and again."""

    async def rotation() -> None:
        for is_authority in (False, True):
            await asyncio.to_thread(rotate, rig, is_authority=is_authority)
            result.counts["authorities replaced" if is_authority else "certificates replaced"] += 1

    await _applying_during(rotation, rig, arena, rounds=rounds, result=result)


def rotate(stage: Stage, *, is_authority: bool) -> None:
    """Have ``sharedvip certs`` issue anew, mount it as a kubelet does; return when every replica serves it.

    Raises:
        DeadlinePassed: One does not.
    """
    if is_authority:  # its key is lost
        lost = json.dumps({"data": {"tls.key": ""}})
        stage.cluster.run_kubectl("patch", "secret", "-n", NAMESPACE, "sharedvip-webhook-ca", "-p", lost)
    else:
        stage.cluster.run_kubectl("delete", "secret", "-n", NAMESPACE, "sharedvip-webhook-tls")
    stage.issue_certificates()
    time.sleep(KUBELET_SECONDS)
    stage.mount_certificates()
    mounted = (stage.directory / "tls" / "tls.crt").read_text()
    for replica in stage.replicas:
        wait_until(
            lambda port=replica.port: ssl.get_server_certificate((LOOPBACK, port)) == mounted,
            what=f"{replica.name} serves the new certificate",
            deadline_seconds=_LOADED_SECONDS,
        )


def failed_open(stage: Stage) -> float:
    """How many calls of a webhook the API server gave up and let pass."""
    lines = stage.cluster.run_kubectl("get", "--raw", "/metrics").stdout.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(_FAILED_OPEN))


def told_of_failures(stage: Stage) -> list[str]:
    """What the API server's log says of them, in its own words."""
    log = (stage.cluster.directory / "kube-apiserver.log").read_text(errors="replace")
    return [line for line in log.splitlines() if _FAILING_OPEN in line]


async def _applying_during(
    storm: Callable[[], Awaitable[None]], rig: Rig, arena: Arena, *, rounds: int, result: Result
) -> None:
    """Whole storms until so many applies were made, and applies until the last storm is over."""

    async def storms() -> None:
        await storm()
        while result.rounds < rounds:
            await storm()

    before = await asyncio.to_thread(failed_open, rig)
    task = asyncio.create_task(storms())
    await asyncio.gather(*(apply_until(task, arena, result) for _ in range(_LANES)))
    await task
    passed = await asyncio.to_thread(failed_open, rig) - before
    told = await asyncio.to_thread(told_of_failures, rig)
    what = "\n".join((f"{passed:.0f} calls of the mutating webhook failed, and were let pass", *told[-round(passed) :]))
    result.expect(passed == 0, what)


async def apply_until(over: asyncio.Task[None], arena: Arena, result: Result) -> None:
    """A group of two Services at a time: one is created, the other too, one is changed; then both go."""
    while not over.done():
        ticket = arena.ticket()
        for name, port in (("a", 80), ("b", 81), ("a", 82)):
            manifest = member(f"{ticket}-{name}", key=ticket, ports=[port], ticket=ticket)
            answer = await arena.send(_applying(arena, manifest))
            result.rounds += 1
            result.counts["applied"] += answer.is_applied
            result.expect(answer.is_applied, f"apply of {ticket}-{name}: {answer}")
        await arena.delete_round(ticket)


def _applying(arena: Arena, manifest: dict[str, object]) -> Write:
    """As ``kubectl apply --server-side`` sends it."""
    created = arena.creating(manifest)
    name = json.loads(created.body)["metadata"]["name"]
    return Write("PATCH", f"{created.path}/{name}?fieldManager=kubectl", created.body, APPLY)
