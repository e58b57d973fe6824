"""What one namespace learns of another: that an address is held there, and nothing else; all by the refusals' texts."""

import asyncio
from typing import Final

from sharedvip.annotations import INTENDED_ADDRESS
from sharedvip.parse import static_address
from soak.arena import Arena, member
from soak.races import WRITERS, round_address
from soak.result import Result
from soak.updates import Desk

_HALF: Final = WRITERS // 2


def asks_abroad(desk: Desk, *, abroad: str) -> None:
    """Nothing of another namespace's Services, keys or name is in a refusal."""
    there = Desk(desk.rig, abroad, desk.result)
    there.may("create", "-f", "-", given=member("secret-service", key="secret-key", address="10.127.0.2"))
    there.may("create", "-f", "-", given=member("secret-plain", key=None, address="10.127.0.3"))
    for number in (2, 3):
        asked = member("asker", key="k", address=f"10.127.0.{number}")
        # Who shares nothing has no claim, and never came by: replicas know of its address by their caches, soon.
        desk.refuses_soon(asked, rule="static-address-taken")
        desk.may_not("create", "-f", "-", given=asked, rule="static-address-taken")
        _, said = desk.kubectl("create", "-f", "-", given=asked)
        desk.result.expect("in another namespace" in said, f"the refusal does not say where: {said}")
        _tells_nothing(desk, said, abroad=abroad)
    # Also what a group is to move to.
    desk.may("create", "-f", "-", given=member("mover", key="m", address="10.127.0.5"))
    words = ("annotate", "svc", "mover", f"{INTENDED_ADDRESS}=10.127.0.2")
    desk.may_not(*words, rule="static-address-taken")
    _, said = desk.kubectl(*words)
    _tells_nothing(desk, said, abroad=abroad)


def _tells_nothing(desk: Desk, said: str, *, abroad: str) -> None:
    told = [word for word in ("secret", abroad) if word in said]
    desk.result.expect(not told, f"the refusal tells {told}: {said}")


async def race_abroad(one: Arena, other: Arena, *, ticket: str, result: Result) -> None:
    """Creates in two namespaces, each in its own group, all with one address: also who lost a lock tells nothing."""
    wanted = round_address(ticket)
    asked = [
        (arena, arena.creating(member(f"{name}-{n}", key=f"{name}-{n}", address=wanted, ticket=ticket)))
        for n in range(_HALF)
        for arena, name in ((one, f"{ticket}-one"), (other, f"{ticket}-other"))
    ]
    answers = await asyncio.gather(*(arena.send(write) for arena, write in asked))
    holders = [s for arena in (one, other) for s in await arena.services(ticket) if static_address(s) == wanted]
    result.counts["holders stored"] += len(holders)
    result.expect(len(holders) == 1, f"{ticket}: {len(holders)} have {wanted}")
    for (arena, _), answer in zip(asked, answers, strict=True):
        result.counts["refused by us"] += answer.is_refused
        result.expect(answer.is_done or answer.is_refused, f"{ticket}: neither yes nor no: {answer}")
        secrets = (other.namespace, f"{ticket}-other") if arena is one else (one.namespace, f"{ticket}-one")
        told = [word for word in secrets if word in answer.text]
        result.expect(not told, f"a refusal tells {told}: {answer.text}")
