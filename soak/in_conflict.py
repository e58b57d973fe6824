"""Services that came past admission and are in conflict: what they add from then on is one's alone.

They are stored while no webhook is configured, as before an install. In every other group one of them was a member
before; in the others nobody is, and there is no ledger.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import yaml

from sharedvip.model import GroupName, Listener
from soak.arena import Arena, Write, member, names, ports_patch
from soak.living import CONFIGURATIONS, configurations_of
from soak.result import Result
from soak.rig import Rig

GROUPS: Final = 4
"""Each is one lane: its rounds are one after the other, and all have the same Services in conflict."""
_PAIRS: Final = 8
_MEMBER: Final = "in"
_SETTLE_SECONDS: Final = 60.0
_FIRST_PORT: Final = 10_000


async def adds_against_creates(rig: Rig, arena: Arena, *, rounds: int, result: Result) -> None:
    """Eight in conflict add a port that eight others are created with; in the end all are put right.

    Args:
        rig: With the webhook and the janitor running.
        arena: Empty.
        rounds: How many, over all groups.
        result: Filled.
    """
    keys = [f"g{number}" for number in range(GROUPS)]
    await _stage(rig, arena, keys)
    tickets = iter([arena.ticket() for _ in range(rounds)])

    async def lane(key: str) -> None:
        for ticket in tickets:
            await _round(arena, key, ticket=ticket, result=result)

    await asyncio.gather(*map(lane, keys))
    for key in keys:
        fixes = [_patching(arena, key, number, _FIRST_PORT + number) for number in range(_PAIRS)]
        for answer in await asyncio.gather(*(arena.insist(fix, seconds=_SETTLE_SECONDS) for fix in fixes)):
            result.expect(answer.is_done, f"{key}: one that is put right is not let in: {answer}")


async def _stage(rig: Rig, arena: Arena, keys: Sequence[str]) -> None:
    await arena.store(*(member(f"{key}-{_MEMBER}", key=key) for key in keys[::2]))
    configurations, kubectl = await asyncio.to_thread(configurations_of, rig), rig.cluster.run_kubectl
    await asyncio.to_thread(kubectl, "delete", CONFIGURATIONS, "--all")
    try:
        made = [member(f"{key}-{number}", key=key) for key in keys for number in range(_PAIRS)]
        await arena.store(*made)
    finally:
        await asyncio.to_thread(kubectl, "apply", "-f", "-", input=yaml.safe_dump_all(configurations))
    await _until_asked(arena, keys[0])


async def _until_asked(arena: Arena, key: str) -> None:
    trial = arena.creating(member("trial", key=key))
    trial, until = replace(trial, path=f"{trial.path}?dryRun=All"), time.monotonic() + _SETTLE_SECONDS
    while not (answer := await arena.send(trial)).is_refused:
        if time.monotonic() > until:
            raise RuntimeError(f"nobody asks us: {answer}")
        await asyncio.sleep(0.1)


async def _round(arena: Arena, key: str, *, ticket: str, result: Result) -> None:
    port = _FIRST_PORT + _PAIRS + int(ticket[1:]) % 50_000
    creates = [
        arena.creating(member(f"{ticket}-{number}", key=key, ports=[port], ticket=ticket)) for number in range(_PAIRS)
    ]
    patches = [_patching(arena, key, number, 80, port) for number in range(_PAIRS)]
    # Every other one, so that neither kind is always the first.
    writes = [write for pair in zip(creates, patches, strict=True) for write in pair]
    answers = await asyncio.gather(*map(arena.send, writes))
    contested, group = Listener(port, "TCP"), GroupName(arena.namespace, key)
    winners = [s for s in await arena.services() if s.is_in(group) and contested in s.listeners]
    result.expect(len(winners) == 1, f"{ticket}: {len(winners)} of 1 have it: {', '.join(names(winners))}")
    if unanswered := [answer for answer in answers if not (answer.is_done or answer.is_refused)]:
        result.expect(is_so=False, breach=f"{ticket}: neither yes nor no: {unanswered[0]}")
    result.rounds += 1
    result.counts["requests"] += len(answers)
    result.counts["holders stored"] += len(winners)
    result.counts["of them in conflict"] += sum(not service.name.name.startswith(ticket) for service in winners)
    result.counts["refused by us"] += sum(answer.is_refused for answer in answers)
    await arena.delete_round(ticket)
    await asyncio.gather(*(arena.send(_patching(arena, key, number, 80)) for number in range(_PAIRS)))


def _patching(arena: Arena, key: str, number: int, *ports: int) -> Write:
    return arena.patching(f"{key}-{number}", ports_patch(*ports))
