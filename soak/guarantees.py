"""Every guarantee with its program and how often it is tried; the order is that of the page."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Final

from cluster.api import KubernetesApi
from sharedvip.audit import find_conflicts, find_untruths
from sharedvip.ledger import GRACE
from soak import claims, in_conflict, living, serving, storms, strangers, updates
from soak.arena import Arena
from soak.fuzz import fuzz
from soak.races import KEPT_ROUNDS, NAMED, RACES, WRITERS, Race, run_race
from soak.result import Result
from soak.rig import Rig
from soak.saturation import saturated

FULL_ROUNDS: Final = 1000
_LANES: Final = 4
_STORM_LANES: Final = 40
"""Where a holder of a claim was killed, all who insist wait for the grace: that is time, and takes no processor."""
_SERVICES_A_ROUND: Final = 10
"""``living-cluster`` stores so many Services for each round asked for: 10,000 for the full thousand."""
_INSIST_SECONDS: Final = 5 * GRACE.total_seconds() + 55.0
"""A replica or an API server that dies between a claim and its answer leaves the claim for the grace; and the next ones
that are asked may die in that moment too."""
_CLEAN_SECONDS: Final = GRACE.total_seconds() + 60.0
_SHORTLY_CLEAN_SECONDS: Final = 30.0
"""What is older than the grace, the janitor may just be about to release."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of one guarantee."""

    rig: Rig
    api: KubernetesApi
    rounds: int
    result: Result
    arenas: list[Arena] = field(default_factory=list[Arena])

    @property
    def is_short(self) -> bool:
        """Whether nobody waits for a grace to pass."""
        return self.rounds < FULL_ROUNDS

    async def arena(self, name: str) -> Arena:
        """A namespace of its own."""
        fresh = f"{name}-{secrets.token_hex(2)}"
        await asyncio.to_thread(self.rig.cluster.create_namespace, fresh)
        self.arenas.append(Arena(self.api, fresh))
        return self.arenas[-1]


@dataclass(frozen=True, slots=True)
class Guarantee:
    """What is promised."""

    name: str
    tried: str
    run: Callable[[Trial], Awaitable[None]]

    async def keep(self, rig: Rig, api: KubernetesApi, *, rounds: int) -> Result:
        """Try it, then look at the whole world once more; what cannot be tried to its end is not kept.

        Twice: with the last rounds' Services, which must have their claims and locks, and without them.
        """
        result, begun = Result(self.name, self.tried), time.monotonic()
        trial = Trial(rig, api, rounds, result)
        try:
            await self.run(trial)
            await _look_around(trial)
            await _clear_all(trial)
            await _look_around(trial)
        except Exception as error:  # noqa: BLE001 - the other guarantees are to be tried all the same
            result.expect(is_so=False, breach=f"ended early: {error!r}")
            await asyncio.gather(*(arena.clear() for arena in trial.arenas))
        result.seconds = time.monotonic() - begun
        return result


async def _look_around(trial: Trial) -> None:
    """As ``sharedvip audit --ledger``; the full form waits until every claim has its Service."""
    until = time.monotonic() + (_SHORTLY_CLEAN_SECONDS if trial.is_short else _CLEAN_SECONDS)
    while (found := await _untruths(trial)) and time.monotonic() < until:  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(1.0)
    for finding in found:
        trial.result.expect(is_so=False, breach=f"afterwards: {finding}")


async def _clear_all(trial: Trial) -> None:
    for arena in trial.arenas:
        await arena.clear()
        left = await arena.services()
        trial.result.expect(not left, f"afterwards: {len(left)} Services of {arena.namespace} do not go")
    if trial.is_short:
        return  # the end of all of them tells; nobody waits for a grace
    until = time.monotonic() + _CLEAN_SECONDS
    while (left := await _left_of_us(trial)) and time.monotonic() < until:  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(1.0)
    trial.result.expect(not left, f"afterwards: left without Services: {', '.join(left[:5])}")


async def _left_of_us(trial: Trial) -> list[str]:
    """The ledgers and locks of the trial's namespaces."""
    world, ours = await Arena(trial.api, "").world(), {arena.namespace for arena in trial.arenas}
    locks = [address for address, group in world.locks.items() if group.namespace in ours]
    return [*(str(ledger.name) for ledger in world.ledgers if ledger.name.namespace in ours), *locks]


async def _untruths(trial: Trial) -> tuple[object, ...]:
    arena = Arena(trial.api, "")
    # In the full form no claim is young: it is asked until all that will be released has been.
    world, now = await arena.world(), storms.now() + (timedelta() if trial.is_short else GRACE)
    # What living-cluster plants stays in conflict; those Services are in its own namespaces.
    conflicts = (f for f in find_conflicts(world) if not f.namespace.startswith("living-"))
    # A lock goes when its group has let go of it: that is not at once, and nobody's harm.
    untruths = (f for f in find_untruths(world, now=now) if not (trial.is_short and f.kind == "IPAddress"))
    return (*conflicts, *untruths)


def _race(race: Race) -> Guarantee:
    async def run(trial: Trial) -> None:
        arena, before = await trial.arena(race.name), await trial.rig.decided()
        await run_race(race, arena, rounds=trial.rounds, result=trial.result, lanes=_LANES)
        await _expect_all_decided(trial, before)

    return Guarantee(race.name, race.tried, run)


@dataclass(frozen=True, slots=True)
class Storm:
    """What rages while races are run."""

    rages: storms.Storm
    blows: str
    """What it is counted by."""
    name: str
    tried: str
    insist_seconds: float = _INSIST_SECONDS

    def over(self, races: Sequence[Race], *, name: str, tried: str) -> Guarantee:
        """The races, each for its share of the rounds, while it rages."""

        async def run(trial: Trial) -> None:
            arena = await trial.arena(name)
            run_one = partial(
                run_race,
                arena=arena,
                rounds=-(-trial.rounds // len(races)),
                result=trial.result,
                insist_seconds=self.insist_seconds,
                lanes=_STORM_LANES if self.insist_seconds else _LANES,
                blows=self.blows,
            )
            async with storms.raging(self.rages(trial.rig, arena, trial.result)):
                for race in races:
                    # What strikes all that is there strikes this race's.
                    await arena.clear()
                    await run_one(race)
                await storms.until_struck(trial.result, self.blows)
            # Who looks around expects a janitor: one that a storm has cut off leads again when its Lease has run out.
            await trial.rig.janitor_leads()

        return Guarantee(name, tried, run)

    def over_all(self) -> Guarantee:
        """All races."""
        return self.over(
            RACES, name=self.name, tried=f"all races while {self.tried}, each with its share of the rounds"
        )

    def over_each(self, races: Iterable[Race]) -> Iterable[Guarantee]:
        """One race after the other, as hours of it are lost with what ends them; no short form of these is run."""
        for race in races:
            yield self.over((race,), name=f"{race.name}-{self.name}", tried=f"{race.tried}, while {self.tried}")


async def _refused_later(trial: Trial) -> None:
    for_create, for_update = await trial.arena("refused-later"), await trial.arena("refused-later")
    await asyncio.gather(
        claims.refused_later(trial.rig, for_create, is_waited_for=not trial.is_short, result=trial.result),
        claims.update_refused_later(trial.rig, for_update, is_waited_for=not trial.is_short, result=trial.result),
    )


async def _serving(program: Callable[..., Awaitable[None]], trial: Trial) -> None:
    await program(trial.rig, await trial.arena("serving"), rounds=trial.rounds, result=trial.result)


async def _in_lanes(program: Callable[..., Awaitable[None]], trial: Trial, *arenas: Arena, lanes: int) -> None:
    """Rounds, some at a time, so that all replicas have to do with them."""
    all_tickets, before = [arenas[0].ticket() for _ in range(trial.rounds)], await trial.rig.decided()
    tickets, kept = iter(all_tickets), all_tickets[-KEPT_ROUNDS:]

    async def lane() -> None:
        for ticket in tickets:
            await program(*arenas, ticket=ticket, result=trial.result)
            trial.result.rounds += 1
            if ticket not in kept:
                await asyncio.gather(*(arena.delete_round(ticket) for arena in arenas))

    # Each lane asks for one thing at a time, and the API server keeps to the connections it used last.
    await asyncio.gather(*(lane() for _ in range(lanes)))
    await _expect_all_decided(trial, before)


async def _expect_all_decided(trial: Trial, before: tuple[float, ...]) -> None:
    shares = [now - then for now, then in zip(await trial.rig.decided(), before, strict=True)]
    # What one process decides shows nothing of what holds between them; a short form has few connections.
    trial.result.expect(trial.is_short or min(shares) > 0, f"not every replica decided: {shares}")


def _claiming(program: Callable[..., Awaitable[None]], *, name: str, tried: str) -> Guarantee:
    async def run(trial: Trial) -> None:
        await _in_lanes(program, trial, await trial.arena(name), lanes=WRITERS)

    return Guarantee(name, tried, run)


async def _updates(trial: Trial) -> None:
    for chapter in updates.CHAPTERS:
        arena = await trial.arena(chapter.__name__.replace("_", "-"))
        await asyncio.to_thread(chapter, updates.Desk(trial.rig, arena.namespace, trial.result))
        await asyncio.to_thread(_clear, trial.rig, arena.namespace)


async def _privacy(trial: Trial) -> None:
    here, abroad = await trial.arena("here"), await trial.arena("abroad")
    desk = updates.Desk(trial.rig, here.namespace, trial.result)
    await asyncio.to_thread(partial(strangers.asks_abroad, desk, abroad=abroad.namespace))
    await asyncio.to_thread(_clear, trial.rig, abroad.namespace)
    await _in_lanes(strangers.race_abroad, trial, here, abroad, lanes=_LANES)


async def _in_conflict(trial: Trial) -> None:
    arena, before = await trial.arena("in-conflict"), await trial.rig.decided()
    await in_conflict.adds_against_creates(trial.rig, arena, rounds=trial.rounds, result=trial.result)
    await _expect_all_decided(trial, before)


async def _living(trial: Trial) -> None:
    for name in living.NAMESPACES:
        await asyncio.to_thread(trial.rig.cluster.create_namespace, name)
    arenas = tuple(Arena(trial.api, name) for name in living.NAMESPACES)
    town = living.Town(trial.rig, arenas, trial.result)
    await living.live(trial.rig, town, services=trial.rounds * _SERVICES_A_ROUND)


async def _fuzz(trial: Trial) -> None:
    arenas = [await trial.arena("fuzz") for _ in range(2)]
    await fuzz(trial.rig, [arena.namespace for arena in arenas], rounds=trial.rounds, result=trial.result)


async def _saturated(trial: Trial) -> None:
    await saturated(trial.rig, await trial.arena("saturated"), rounds=trial.rounds, result=trial.result)


def _clear(rig: Rig, namespace: str) -> None:
    """As a person does, who takes the time of a kubectl: what comes next uses the same address."""
    rig.cluster.run_kubectl("delete", "svc", "-n", namespace, "--all")


_REPLICAS_KILLED: Final = Storm(
    storms.replicas_die,
    blows=storms.REPLICAS_KILLED,
    name="replicas-killed",
    tried="webhook replicas and the janitor are killed (-9) and started anew",
)
_API_SERVER_RESTARTS: Final = Storm(
    storms.api_server_restarts,
    blows=storms.API_SERVER_RESTARTS,
    name="api-server-restarts",
    tried="the API server is ended and killed, the janitor leading after each two",
)
_HANDS_EDIT: Final = Storm(
    storms.hands_edit,
    blows=storms.HAND_EDITS_REFUSED,
    name="hand-edits",
    tried="a hand edits every SharedVIP",
    insist_seconds=0.0,
)
GUARANTEES: Final = (
    *map(_race, RACES),
    Guarantee(
        "conflict-against-create",
        "8 creates of a port against 8 Services that came past admission, conflict, and add it",
        _in_conflict,
    ),
    _REPLICAS_KILLED.over_all(),
    _API_SERVER_RESTARTS.over_all(),
    _HANDS_EDIT.over_all(),
    _claiming(
        claims.delete_then_create,
        name="delete-then-create",
        tried="the holder of a port is deleted, another name asks for it at once",
    ),
    _claiming(
        claims.give_up_then_take,
        name="give-up-then-take",
        tried="a member gives a port up, another takes it at once",
    ),
    Guarantee(
        "refused-later",
        "a quota refuses a create that we admitted, another webhook an update; others ask for the ports",
        _refused_later,
    ),
    Guarantee("updates", "what users' tools do every day, with the verdict it must have", _updates),
    Guarantee("privacy", "16 creates in two namespaces with one address, or with one that the other holds", _privacy),
    Guarantee("fuzz", "100 requests that no API server sends, and now and then one that is never finished", _fuzz),
    Guarantee(
        "saturated-api-server",
        "two members that fit and one that does not, while 900 slow writes and reads of others fill the API server",
        _saturated,
    ),
    Guarantee("living-cluster", "installed over Services that are there, some in conflict; away, and back", _living),
    Guarantee(
        "rolling-restart",
        "applies while every webhook replica is replaced, one after the other",
        partial(_serving, serving.rolling_restart),
    ),
    Guarantee(
        "certificate-rotation",
        "applies while the serving certificate, and then its authority, is replaced",
        partial(_serving, serving.certificate_rotation),
    ),
)
IN_STORMS: Final = (*_REPLICAS_KILLED.over_each(NAMED), *_API_SERVER_RESTARTS.over_each(NAMED))
"""In full only: the two storms of ``GUARANTEES`` are their short form."""
