"""sharedvip comes into a cluster that lives already, and goes away for a while: nothing breaks, order is no matter.

Each lot is ten groups of five: one with a port twice, one with two static addresses, one with a ClusterIP Service, the
rest fit. The same lot is stored in two namespaces in opposite orders.
"""

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Final

import yaml

from cli.audit import read_world
from cli.demo.stage import RECONCILER
from cluster.errors import ClusterError
from sharedvip.annotations import SHARED_VIP
from sharedvip.audit import Finding, StoredWorld, find_conflicts, find_untruths
from sharedvip.ledger import is_accepted
from sharedvip.model import GroupName, ServiceView
from soak.arena import Arena, Manifest, Write, member, ports_patch
from soak.result import Result
from soak.rig import Rig

_MEMBERS: Final = 5
_LOT: Final = 10
_AT_ONCE: Final = 16
_SETTLE_SECONDS: Final = 300.0
CONFIGURATIONS: Final = "validatingwebhookconfiguration,mutatingwebhookconfiguration"
_RULE: Final = re.compile(r"\[([a-z-]+)\]")
_WRITER: Final = "w-"
_LATE: Final = frozenset({"fits", "thief", "l0-g6-0"})
"""Who is in conflict after they were stored while the webhook was away."""
NAMESPACES: Final = ("living-a", "living-b")


@dataclass(frozen=True, slots=True)
class Town:
    """The living cluster."""

    rig: Rig
    arenas: tuple[Arena, ...]
    result: Result

    async def world(self) -> StoredWorld:
        """All of it."""
        return await read_world(self.arenas[0].api)

    async def configurations(self) -> list[Manifest]:
        """The webhook configurations, as installed, to be put back."""
        return await asyncio.to_thread(configurations_of, self.rig)

    async def apply(self, *documents: Manifest) -> None:
        """``kubectl apply``."""
        await asyncio.to_thread(self.rig.cluster.run_kubectl, "apply", "-f", "-", input=yaml.safe_dump_all(documents))


def configurations_of(rig: Rig) -> list[Manifest]:
    """The webhook configurations, as installed, to be applied again after they were deleted."""
    items: list[Manifest] = json.loads(rig.cluster.run_kubectl("get", CONFIGURATIONS, "-o", "json").stdout)["items"]
    return [{**one, "metadata": {"name": one["metadata"]["name"]}} for one in items]


def lot(number: int, *, namespace: str) -> list[Manifest]:
    """Fifty Services in ten groups, three of them in conflict."""
    made = [_fitting(f"l{number}-g{group}", index) for group in range(_LOT) for index in range(_MEMBERS)]
    twice, addresses, kind = (_MEMBERS * group for group in range(3))
    made[twice]["spec"]["ports"] = made[twice + 1]["spec"]["ports"]
    for index in (0, 1):
        made[addresses + index]["spec"]["loadBalancerIP"] = _address(number, index, namespace)
    made[kind]["spec"] = {"type": "ClusterIP", "ports": made[kind]["spec"]["ports"]}
    return made


def _fitting(key: str, index: int) -> Manifest:
    return member(f"{key}-{index}", key=key, ports=[8000 + index])


def _address(number: int, index: int, namespace: str) -> str:
    return f"10.{120 + NAMESPACES.index(namespace)}.{number}.{index + 1}"


async def _pour(arena: Arena, services: list[Manifest]) -> None:
    """Store many Services, some at a time, in their order."""
    queue = iter(services)

    async def lane() -> None:
        for service in queue:
            await arena.store(service)

    await asyncio.gather(*(lane() for _ in range(_AT_ONCE)))


async def _until(is_so: Callable[[], Awaitable[bool]], *, seconds: float = _SETTLE_SECONDS) -> bool:
    until = time.monotonic() + seconds
    while not (done := await is_so()) and time.monotonic() < until:  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0.5)
    return done


async def live(rig: Rig, town: Town, *, services: int) -> None:
    """The whole story: installed late, conflicts fixed, away for a while, back.

    Args:
        rig: With the webhook and the janitor running.
        town: Its two namespaces, empty.
        services: How many, rounded up to lots of fifty in both namespaces.
    """
    lots = max(1, services // (len(town.arenas) * _LOT * _MEMBERS))
    configurations = await town.configurations()
    await asyncio.to_thread(_uninstall, rig)
    for arena, is_backwards in zip(town.arenas, (False, True), strict=True):
        poured = [s for number in range(lots) for s in lot(number, namespace=arena.namespace)]
        await _pour(arena, poured[::-1] if is_backwards else poured)
    town.result.counts["Services before us"] = lots * len(town.arenas) * _LOT * _MEMBERS
    before = await town.world()
    await asyncio.to_thread(_install, rig)
    await town.apply(*configurations)
    await _writers(town, lots)
    await _is_settled(town, before, lots)
    await _nothing_is_in_the_way(town, lots)
    await _fixes_fix(town)
    await _absence(town, configurations)
    planted = lots * len(town.arenas)
    # Two arenas have no planted lot 0 any more, and one newcomer and one member that came past us, each with its peer.
    left = planted - len(town.arenas)
    _expect_conflicts(town, await town.world(), duplicates=2 * left + 4 * len(town.arenas), others=left)
    town.result.rounds += 1


async def _writers(town: Town, lots: int) -> None:
    """From the moment on that we are asked, while no ledger says yet who was there before: all groups at once.

    Three ask for each: one for a port that a stored Service has, two for the same free one.
    """
    first = town.arenas[0]
    trial = first.creating(member("trial", key="l0-g3", ports=[8000]))
    trial = replace(trial, path=f"{trial.path}?dryRun=All")
    asked = await _until(lambda: _is_refused(first, trial), seconds=_SETTLE_SECONDS)
    town.result.expect(asked, "the API server does not ask us")

    async def write(arena: Arena, number: int) -> None:
        names = [f"{_WRITER}l{number}-{n}" for n in range(3)]
        writes = [
            arena.creating(member(name, key=f"l{number}-g3", ports=[port]))
            for name, port in zip(names, (8000, 8100, 8100), strict=True)
        ]
        taken, *free = await asyncio.gather(*(arena.insist(write, seconds=_SETTLE_SECONDS) for write in writes))
        is_so = taken.is_refused and sorted(answer.is_done for answer in free) == [False, True]
        town.result.expect(is_so, f"l{number}-g3 of {arena.namespace}: {taken} {free}")
        town.result.counts["stored while we settled in"] += sum(answer.is_done for answer in free)

    await asyncio.gather(*(write(arena, number) for arena in town.arenas for number in range(lots)))


async def _is_refused(arena: Arena, write: Write) -> bool:
    return (await arena.send(write)).is_refused


def _uninstall(rig: Rig) -> None:
    """As if we had never been there."""
    rig.cluster.run_kubectl("delete", CONFIGURATIONS, "--all")
    for name in (RECONCILER, *(replica.name for replica in rig.replicas)):
        rig.stop(name, kill=name != RECONCILER)  # who is asked by nobody any more leaves nothing undone


def _install(rig: Rig) -> None:
    """What ``kubectl apply -f deploy/`` starts."""
    for replica in rig.replicas:
        rig.start_webhook(replica)
    rig.start_reconciler()
    for replica in rig.replicas:
        rig.wait_ready(replica.name, replica.health_port)
    rig.wait_ready(RECONCILER, rig.reconciler_health_port)


async def _is_settled(town: Town, before: StoredWorld, lots: int) -> None:
    """Consistent groups are in the ledger whole, those in conflict not at all, and no Service has changed."""
    planted = lots * len(town.arenas)

    async def is_so() -> bool:
        # Of ten groups: the two whose members exclude each other stay out, with all their five members. One came since.
        return len(await _accepted(town)) == planted * (_LOT * _MEMBERS - 2 * _MEMBERS - 1 + 1)

    begun = time.monotonic()
    expect = town.result.expect
    expect(await _until(is_so), f"{len(await _accepted(town))} Services are accepted, not all that fit")
    town.result.counts["seconds until all that fits was accepted"] = round(time.monotonic() - begun)
    world = await town.world()
    expect(_specs(world) == _specs(before), "a Service has changed by our coming")
    found = _expect_conflicts(town, world, duplicates=2 * planted, others=planted)
    # What others have just deleted, the janitor was not there to release; the look around waits for that.
    untruths = [one for one in find_untruths(world, now=_now()) if one.namespace in NAMESPACES]
    expect(not untruths, f"the ledger lies: {untruths[:1]}")
    await _expect_no_order(town)
    town.result.counts["conflicts reported"] += len(found)
    await _are_told(town, found)


def _expect_conflicts(town: Town, world: StoredWorld, *, duplicates: int, others: int) -> tuple[Finding, ...]:
    """What was planted, and no more; with one address against another, three members that have none differ too."""
    found = find_conflicts(world)
    rules = [finding.rule for finding in found]
    wrong = {rule: rules.count(rule) for rule in sorted(set(rules))}
    planted = {"duplicate-port": duplicates, "not-load-balancer": others, "static-address-mismatch": 5 * others}
    town.result.expect(wrong == {rule: n for rule, n in planted.items() if n}, f"the audit finds {wrong}")
    return found


async def _expect_no_order(town: Town) -> None:
    accepted = [await _accepted(town, arena) for arena in town.arenas]
    # Who of two writers was first is chance.
    first, second = [sorted(s.name.name for s in of if not s.name.name.startswith(_WRITER)) for of in accepted]
    town.result.expect(first == second, "the order in which Services were stored makes a difference")


async def _are_told(town: Town, found: Iterable[Finding]) -> None:
    """An Event on every Service that is in conflict, with the rule's words."""
    wanted = {(one.namespace, one.name, one.rule) for one in found}

    async def untold() -> set[tuple[str, str, str]]:
        notes = [note for arena in town.arenas for note in await _notes(arena)]
        return wanted - {(space, name, rule) for space, name, note in notes for rule in _RULE.findall(note)}

    async def is_so() -> bool:
        return not await untold()

    town.result.expect(await _until(is_so, seconds=60), f"no Event tells of {sorted(await untold())[:1]}")


async def _notes(arena: Arena) -> list[tuple[str, str, str]]:
    """The Events of a namespace: the Service's namespace and name, and what is said."""
    events = await arena.api.request("GET", f"/apis/events.k8s.io/v1/namespaces/{arena.namespace}/events")
    told = ((one["regarding"], one["note"]) for one in json.loads(events)["items"])
    return [(regarding["namespace"], regarding["name"], note) for regarding, note in told]


async def _label_all(town: Town, arena: Arena, lots: int) -> None:
    """Every planted conflict, and of each lot one that is in none."""
    for name in (
        f"l{lot}-{one}"
        for lot in range(lots)
        for one in ("g0-0", "g0-1", *(f"g1-{n}" for n in range(_MEMBERS)), "g2-0", "g3-0")
    ):
        answer = await arena.send(arena.patching(name, {"metadata": {"labels": {"a": "b"}}}))
        town.result.expect(answer.is_done, f"a label on {name} is refused: {answer.text}")
        town.result.counts["harmless updates"] += 1


async def _nothing_is_in_the_way(town: Town, lots: int) -> None:
    """Changes that no rule looks at, in conflict or not; a newly wrong one is refused, with the old one or without."""
    await asyncio.gather(*(_label_all(town, arena, lots) for arena in town.arenas))
    arena = town.arenas[0]
    more = json.dumps(ports_patch(8001, 8300))
    words = ("patch", "svc", "l0-g0-0", "-n", arena.namespace, "--type=merge", "-p", more)
    done = await asyncio.to_thread(partial(town.rig.cluster.run_kubectl, *words, check=False))
    is_warned = done.returncode == 0 and "Warning: still in conflict" in done.stderr
    town.result.expect(is_warned, f"what stays in conflict is not told: {done.stdout}{done.stderr}")
    for name, patch in (("l0-g3-0", ports_patch(8001)), ("l0-g0-0", ports_patch(8001, 8002))):
        answer = await arena.send(arena.patching(name, patch))
        town.result.expect(answer.is_refused, f"a new conflict of {name} is let in: {answer}")
        town.result.counts["new conflicts refused"] += answer.is_refused


async def _fixes_fix(town: Town) -> None:
    """Each of the three conflicts goes away by one update, and then the whole group is accepted."""
    fixes = {
        "l0-g0-0": ports_patch(8000),
        "l0-g1-0": {"metadata": {"annotations": {SHARED_VIP: None}}},
        "l0-g2-0": {"spec": {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False}},
    }
    for arena in town.arenas:
        for name, patch in fixes.items():
            answer = await arena.send(arena.patching(name, patch))
            town.result.expect(answer.is_done, f"a fix of {name} is refused: {answer.text}")
            town.result.counts["fixes"] += 1
        for index in range(2, _MEMBERS):
            # They came without the address that their group has now; applied again, they inherit it.
            await arena.send(arena.patching(f"l0-g1-{index}", {"metadata": {"annotations": {SHARED_VIP: "l0-g1"}}}))
            await arena.send(
                arena.patching(f"l0-g1-{index}", {"spec": {"loadBalancerIP": _address(0, 1, arena.namespace)}})
            )

        async def is_so(arena: Arena = arena) -> bool:
            accepted = {s.name.name for s in await _accepted(town, arena)}
            return accepted.issuperset(
                {f"l0-g{group}-{index}" for group in range(3) for index in range(_MEMBERS)} - {"l0-g1-0"}
            )

        town.result.expect(await _until(is_so, seconds=90), f"a fixed group of {arena.namespace} is not accepted")


async def _absence(town: Town, configurations: list[Manifest]) -> None:
    """No replica answers and ``failurePolicy`` is ``Ignore``: newcomers join together or not at all, members stay."""
    rig, before = town.rig, await town.world()
    ignoring = [{**c, "webhooks": [{**w, "failurePolicy": "Ignore"} for w in c["webhooks"]]} for c in configurations]
    await town.apply(*ignoring)
    for replica in rig.replicas:
        await asyncio.to_thread(rig.stop, replica.name, kill=True)
    # Judged together are those that it finds together: alive, it lets in who comes alone, and refuses who comes later.
    await asyncio.to_thread(rig.stop, RECONCILER, kill=True)
    for arena, is_backwards in zip(town.arenas, (False, True), strict=True):
        await _past_us(arena, town.result, is_backwards=is_backwards)
    await asyncio.to_thread(rig.start_reconciler)
    for replica in rig.replicas:
        await asyncio.to_thread(rig.start_webhook, replica)
    for replica in rig.replicas:
        await asyncio.to_thread(rig.wait_ready, replica.name, replica.health_port)
    await town.apply(*configurations)

    async def is_so() -> bool:
        told = {(space, name) for arena in town.arenas for space, name, _ in await _notes(arena)}
        accepted = {s.name for s in await _accepted(town)}
        judged = (
            ((a.namespace, "quiet") in accepted) and told >= {(a.namespace, n) for n in _LATE} for a in town.arenas
        )
        return all(judged)

    expect = town.result.expect
    expect(await _until(is_so, seconds=90), "not all that were stored meanwhile were judged")
    for arena in town.arenas:
        told = await _until(partial(_says_conflict, arena, "l0-g5"), seconds=30)
        expect(told, f"the SharedVIP {arena.namespace}/l0-g5 does not say that two are not let in")
    for arena in town.arenas:
        accepted = {s.name.name for s in await _accepted(town, arena)}
        expect(not accepted & _LATE, f"in conflict, and accepted in {arena.namespace}: {accepted & _LATE}")
        lost = {s.name.name for s in await _accepted(town, arena, of=before)} - accepted - _LATE
        expect(not lost, f"members lost their place: {lost}")
        claims = [_claims(world, arena, key="l0-g6") for world in (before, await town.world())]
        expect(claims[0] == claims[1], f"the claims of {arena.namespace}/l0-g6 are others: {claims}")
    await _expect_no_order(town)


async def _says_conflict(arena: Arena, key: str) -> bool:
    path = f"/apis/sharedvip.dev/v1alpha1/namespaces/{arena.namespace}/sharedvips/{key}"
    try:
        conditions = json.loads(await arena.api.request("GET", path)).get("status", {}).get("conditions", [])
    except ClusterError:
        return False
    return [one["reason"] for one in conditions if one["type"] == "Ready"] == ["Conflict"]


async def _past_us(arena: Arena, result: Result, *, is_backwards: bool) -> None:
    """A newcomer that fits, two of which one does not, and a member that takes another's port."""
    quiet = await arena.send(arena.creating(member("quiet", key="l0-g4", ports=[8100])))
    result.expect(quiet.is_done, "with failurePolicy Ignore a dead webhook is in the way")
    two = (member("fits", key="l0-g5", ports=[8200]), member("thief", key="l0-g5", ports=[8000]))
    for one in two[::-1] if is_backwards else two:
        await arena.store(one)
    taken = await arena.send(arena.patching("l0-g6-0", ports_patch(8000, 8001)))
    result.expect(taken.is_done, f"with failurePolicy Ignore a dead webhook is in the way of an update: {taken}")
    result.counts["stored while the webhook was away"] += 4


def _claims(world: StoredWorld, arena: Arena, *, key: str) -> list[tuple[str, str]]:
    name = GroupName(arena.namespace, key)
    return [(c.service, str(c.listener)) for ledger in world.ledgers if ledger.name == name for c in ledger.claims]


async def _accepted(town: Town, arena: Arena | None = None, *, of: StoredWorld | None = None) -> list[ServiceView]:
    world = of or await town.world()
    ledgers = {ledger.name: ledger for ledger in world.ledgers}
    wanted = {one.namespace for one in ([arena] if arena else town.arenas)}
    return [
        s for s in world.services if s.name.namespace in wanted and s.group and is_accepted(ledgers.get(s.group), s)
    ]


def _specs(world: StoredWorld) -> list[ServiceView]:
    """Of those that were there before us."""
    there = (service for service in world.services if not service.name.name.startswith(_WRITER))
    return sorted(there, key=lambda service: service.name)


def _now() -> datetime:
    return datetime.now(UTC)
