"""Sixteen writers released together for what only one can have; the stored world tells how many got it."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from cluster.errors import ClusterError
from sharedvip.audit import StoredWorld, find_conflicts
from sharedvip.model import GroupName, Listener, ServiceView
from sharedvip.parse import static_address
from soak.arena import Arena, Manifest, Write, address_patch, key_patch, member, names, ports_patch
from soak.result import Result

WRITERS: Final = 16
KEPT_ROUNDS: Final = 3
"""So many rounds of each race stay stored: whoever compares claims with members afterwards needs some of both."""
_PAIRS: Final = WRITERS // 2
_CONTESTED: Final = Listener(80, "TCP")


@dataclass(frozen=True, slots=True)
class Start:
    """One round, ready to be released."""

    before: tuple[Manifest, ...]
    """Stored first."""
    writes: tuple[Write, ...]
    """Released together."""
    has_won: Callable[[ServiceView], bool]
    """Whether a stored Service has what only so many can have."""
    possible: int = 1
    """How many can have it, and so must."""


@dataclass(frozen=True, slots=True)
class Race:
    """One kind of race."""

    name: str
    tried: str
    start: Callable[[Arena, str], Start]


def round_address(ticket: str, writer: int = 0) -> str:
    """An address that no other round uses: 65,536 rounds of 16 in 10.128.0.0/12."""
    number = int(ticket[1:]) % 65536 * WRITERS + writer
    return f"10.{128 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


def _holds_port(arena: Arena, key: str) -> Callable[[ServiceView], bool]:
    group = GroupName(arena.namespace, key)
    return lambda service: service.group == group and service.is_member and _CONTESTED in service.listeners


def _same_port(arena: Arena, ticket: str) -> Start:
    made = [member(f"{ticket}-{n}", key=ticket, ticket=ticket) for n in range(WRITERS)]
    return Start((), tuple(map(arena.creating, made)), _holds_port(arena, ticket))


def _different_addresses(arena: Arena, ticket: str) -> Start:
    made = [
        member(f"{ticket}-{n}", key=ticket, ports=[1000 + n], address=round_address(ticket, n), ticket=ticket)
        for n in range(WRITERS)
    ]
    return Start((), tuple(map(arena.creating, made)), lambda _: True)


def _same_address(arena: Arena, ticket: str) -> Start:
    wanted = round_address(ticket)
    made = [member(f"{ticket}-{n}", key=f"{ticket}-{n}", address=wanted, ticket=ticket) for n in range(WRITERS)]
    return Start((), tuple(map(arena.creating, made)), lambda service: static_address(service) == wanted)


def _against_creates(arena: Arena, ticket: str, *, before: Sequence[Manifest], patch: Manifest) -> Start:
    """Eight Services that are changed to what eight others are created with."""
    creates = [arena.creating(member(f"{ticket}-c{n}", key=ticket, ticket=ticket)) for n in range(_PAIRS)]
    patches = [arena.patching(one["metadata"]["name"], patch) for one in before]
    # Every other one, so that neither kind is always the first.
    writes = tuple(write for pair in zip(creates, patches, strict=True) for write in pair)
    return Start(tuple(before), writes, _holds_port(arena, ticket))


def _create_against_update(arena: Arena, ticket: str) -> Start:
    before = [member(f"{ticket}-u{n}", key=ticket, ports=[1000 + n], ticket=ticket) for n in range(_PAIRS)]
    return _against_creates(arena, ticket, before=before, patch=ports_patch(80))


def _key_move_against_create(arena: Arena, ticket: str) -> Start:
    before = [member(f"{ticket}-m{n}", key=f"{ticket}-from-{n}", ticket=ticket) for n in range(_PAIRS)]
    return _against_creates(arena, ticket, before=before, patch=key_patch(ticket))


def _annotation_against_create(arena: Arena, ticket: str) -> Start:
    before = [member(f"{ticket}-a{n}", key=None, ticket=ticket) for n in range(_PAIRS)]
    return _against_creates(arena, ticket, before=before, patch=key_patch(ticket))


def _type_against_create(arena: Arena, ticket: str) -> Start:
    before = [member(f"{ticket}-t{n}", key=None, type="ClusterIP", ticket=ticket) for n in range(_PAIRS)]
    patch = {**key_patch(ticket), "spec": {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False}}
    return _against_creates(arena, ticket, before=before, patch=patch)


def _address_change_against_create(arena: Arena, ticket: str) -> Start:
    """Each alone in its group; half of the creates want what one of four may be leaving, which is not contested."""
    wanted = round_address(ticket)
    addresses = [wanted] * (_PAIRS // 2) + [round_address(ticket, n + 1) for n in range(_PAIRS // 2)]
    before = [
        member(f"{ticket}-l{n}", key=f"{ticket}-l{n}", address=round_address(ticket, n + 1), ticket=ticket)
        for n in range(_PAIRS)
    ]
    creates = [
        arena.creating(member(f"{ticket}-c{n}", key=f"{ticket}-c{n}", address=at, ticket=ticket))
        for n, at in enumerate(addresses)
    ]
    patches = [arena.patching(one["metadata"]["name"], address_patch(wanted)) for one in before]
    writes = tuple(write for pair in zip(creates, patches, strict=True) for write in pair)
    return Start(tuple(before), writes, lambda service: static_address(service) == wanted)


def _leave_against_create(arena: Arena, ticket: str) -> Start:
    """The last member asks to leave with the address; the others ask to join it, all for one port."""
    wanted, leaver = round_address(ticket), f"{ticket}-l"
    before = member(leaver, key=ticket, ports=[1000], address=wanted, ticket=ticket)
    creates = [
        arena.creating(member(f"{ticket}-c{n}", key=ticket, address=wanted, ticket=ticket)) for n in range(WRITERS - 1)
    ]
    writes = [*creates[:_PAIRS], arena.patching(leaver, key_patch(None)), *creates[_PAIRS:]]
    holds_port = _holds_port(arena, ticket)

    def has_won(service: ServiceView) -> bool:
        return holds_port(service) or (service.name.name == leaver and not service.is_member)

    return Start((before,), tuple(writes), has_won)


def _inherit_against_create(arena: Arena, ticket: str) -> Start:
    """Nobody but the one that is there says the group's address: whoever is admitted has inherited it."""
    before = member(f"{ticket}-there", key=ticket, ports=[1000], address=round_address(ticket), ticket=ticket)
    made = [member(f"{ticket}-{n}", key=ticket, ticket=ticket) for n in range(WRITERS)]
    return Start((before,), tuple(map(arena.creating, made)), _holds_port(arena, ticket))


def _sixteen_ports(arena: Arena, ticket: str) -> Start:
    """Nobody is in anybody's way, but all write one ledger: each must get in, and the static address once."""
    wanted = round_address(ticket)
    made = [
        member(f"{ticket}-{n}", key=ticket, ports=[1000 + n], address=wanted, ticket=ticket) for n in range(WRITERS)
    ]
    return Start((), tuple(map(arena.creating, made)), lambda service: service.is_member, possible=WRITERS)


NAMED: Final = (
    Race("same-port", "16 creates of one port in one group", _same_port),
    Race("different-addresses", "16 creates in one group, each with its own static address", _different_addresses),
    Race("same-address", "16 creates in 16 groups with one static address", _same_address),
    Race("create-against-update", "8 creates of a port against 8 updates to it", _create_against_update),
    Race("key-move-against-create", "8 creates against 8 moves from other groups", _key_move_against_create),
    Race(
        "annotation-against-create", "8 creates against 8 updates that add the annotation", _annotation_against_create
    ),
)
"""Those that the first promise names: each is tried in a storm of its own too, with all the rounds asked for."""

RACES: Final = (
    *NAMED,
    Race(
        "address-change-against-create",
        "4 creates against 8 Services, each alone in its group, that change their address to the same; 4 want theirs",
        _address_change_against_create,
    ),
    Race(
        "leave-against-create",
        "15 creates of one port against the group's last member, which leaves with the address",
        _leave_against_create,
    ),
    Race(
        "inherit-against-create",
        "16 creates of one port, none with the address that their group has",
        _inherit_against_create,
    ),
    Race("type-against-create", "8 creates against 8 ClusterIP Services that become members", _type_against_create),
    Race("sixteen-ports", "16 creates in one new group, with one address and a port each: all fit", _sixteen_ports),
)


async def run_race(
    race: Race,
    arena: Arena,
    *,
    rounds: int,
    result: Result,
    insist_seconds: float = 0.0,
    lanes: int = 1,
    blows: str = "",
) -> None:
    """Run rounds, and judge each by what is stored.

    Args:
        race: Of which kind.
        arena: Where.
        rounds: How many.
        result: Filled.
        insist_seconds: How long a writer without a final answer goes on asking; 0: each asks once.
        lanes: How many rounds at once, each in a group of its own: losers wait for winners, and that is time.
        blows: What a storm's blows are counted by; the rounds in which one fell are counted too.
    """
    all_tickets = [arena.ticket() for _ in range(rounds)]
    tickets, kept = iter(all_tickets), all_tickets[-KEPT_ROUNDS:]

    async def lane() -> None:
        for ticket in tickets:
            before = result.counts[blows] if blows else 0
            await run_round(race, arena, ticket=ticket, result=result, insist_seconds=insist_seconds)
            if blows and result.counts[blows] > before:
                result.counts["rounds struck"] += 1
            if ticket not in kept:
                await arena.delete_round(ticket)

    await asyncio.gather(*(lane() for _ in range(lanes)))


async def run_round(race: Race, arena: Arena, *, ticket: str, result: Result, insist_seconds: float = 0.0) -> None:
    """One round, as in ``run_race``; what it has stored stays."""
    start, where = race.start(arena, ticket), f"{race.name} {ticket}"
    await asyncio.gather(*(_store(arena, manifest, insist_seconds) for manifest in start.before))
    answers = await asyncio.gather(*(arena.insist(write, seconds=insist_seconds) for write in start.writes))
    stored = await _stored(arena, ticket, insist_seconds)
    judge(stored, start, result=result, where=where)
    result.rounds += 1
    result.counts["requests"] += len(answers)
    result.counts["refused by us"] += sum(answer.is_refused for answer in answers)
    # Who insists is told something final at last, and not "try again" for ever.
    if unanswered := [a for a in answers if not (a.is_final if insist_seconds else a.is_done or a.is_refused)]:
        result.counts["without a verdict"] += len(unanswered)
        result.expect(is_so=False, breach=f"{where}: neither yes nor no: {unanswered[0]}")


async def _store(arena: Arena, manifest: Manifest, insist_seconds: float) -> None:
    answer = await arena.insist(arena.creating(manifest), seconds=insist_seconds)
    if not answer.is_done:
        raise RuntimeError(f"a Service that fits was not stored: {answer}")


async def _stored(arena: Arena, ticket: str, insist_seconds: float) -> tuple[ServiceView, ...]:
    """The round's Services; while an API server restarts, only somebody who insists gets them."""
    while True:
        try:
            return await arena.services(ticket)
        except ClusterError:
            if not insist_seconds:
                raise
            await asyncio.sleep(0.2)


def judge(stored: Sequence[ServiceView], start: Start, *, result: Result, where: str) -> None:
    """Exactly so many have it as can have it, and no rule speaks against anything that is stored."""
    winners = [service for service in stored if start.has_won(service)]
    result.counts["holders stored"] += len(winners)
    what = f"{len(winners)} of {start.possible} have it: {', '.join(names(winners))}"
    result.expect(len(winners) == start.possible, f"{where}: {what}")
    for finding in find_conflicts(StoredWorld(tuple(stored))):
        result.expect(is_so=False, breach=f"{where}: {finding}")
