"""sharedvip comes into a cluster that lives already, and goes away for a while: nothing breaks, order is no matter.

Each lot is ten groups of five: one with a port twice, one with two static addresses, one with a ClusterIP Service, the
rest fit. The same lot is stored in two namespaces in opposite orders.
"""

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import yaml

from cli.audit import read_world
from cli.demo.stage import RECONCILER
from sharedvip.annotations import SHARED_VIP
from sharedvip.audit import Finding, StoredWorld, find_conflicts, find_untruths
from sharedvip.ledger import is_accepted
from sharedvip.model import ServiceView
from soak.arena import Arena, Manifest, member, ports_patch
from soak.result import Result
from soak.rig import Rig

_MEMBERS: Final = 5
_LOT: Final = 10
_AT_ONCE: Final = 16
_SETTLE_SECONDS: Final = 300.0
_CONFIGURATIONS: Final = "validatingwebhookconfiguration,mutatingwebhookconfiguration"
_RULE: Final = re.compile(r"\[([a-z-]+)\]")
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
        done = await asyncio.to_thread(self.rig.cluster.run_kubectl, "get", _CONFIGURATIONS, "-o", "json")
        items: list[Manifest] = json.loads(done.stdout)["items"]
        return [{**one, "metadata": {"name": one["metadata"]["name"]}} for one in items]

    async def apply(self, *documents: Manifest) -> None:
        """``kubectl apply``."""
        await asyncio.to_thread(self.rig.cluster.run_kubectl, "apply", "-f", "-", input=yaml.safe_dump_all(documents))


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
    await _is_settled(town, before, lots)
    await _nothing_is_in_the_way(town)
    await _fixes_fix(town)
    await _absence(town, configurations)
    town.result.rounds += 1


def _uninstall(rig: Rig) -> None:
    """As if we had never been there."""
    rig.cluster.run_kubectl("delete", _CONFIGURATIONS, "--all")
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
        # Of ten groups: the two whose members exclude each other stay out, with all their five members.
        return len(await _accepted(town)) == planted * (_LOT * _MEMBERS - 2 * _MEMBERS - 1)

    begun = time.monotonic()
    expect = town.result.expect
    expect(await _until(is_so), f"{len(await _accepted(town))} Services are accepted, not all that fit")
    town.result.counts["seconds until all that fits was accepted"] = round(time.monotonic() - begun)
    world = await town.world()
    expect(_specs(world) == _specs(before), "a Service has changed by our coming")
    found = find_conflicts(world)
    rules = [finding.rule for finding in found]
    wrong = {rule: rules.count(rule) for rule in sorted(set(rules))}
    # With one address against another, the three members that have none differ too.
    told = {"duplicate-port": 2 * planted, "not-load-balancer": planted, "static-address-mismatch": 5 * planted}
    expect(wrong == told, f"the audit finds {wrong}, planted were {told}")
    expect(not find_untruths(world, now=_now()), f"the ledger lies: {find_untruths(world, now=_now())[:1]}")
    first, second = [sorted(s.name.name for s in await _accepted(town, arena)) for arena in town.arenas]
    expect(first == second, "the order in which Services were stored makes a difference")
    town.result.counts["conflicts reported"] += len(found)
    await _are_told(town, found)


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


async def _nothing_is_in_the_way(town: Town) -> None:
    """Changes that no rule looks at, in conflict or not; a newly wrong one is refused, with the old one or without."""
    arena, label = town.arenas[0], {"metadata": {"labels": {"a": "b"}}}
    for name in ("l0-g0-0", "l0-g0-2", "l0-g1-0", "l0-g2-0", "l0-g3-0"):
        answer = await arena.send(arena.patching(name, label))
        town.result.expect(answer.is_done, f"a label on {name} is refused: {answer.text}")
        town.result.counts["harmless updates"] += 1
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
    arena, rig = town.arenas[0], town.rig
    ignoring = [{**c, "webhooks": [{**w, "failurePolicy": "Ignore"} for w in c["webhooks"]]} for c in configurations]
    await town.apply(*ignoring)
    for replica in rig.replicas:
        await asyncio.to_thread(rig.stop, replica.name, kill=True)
    quiet = arena.send(arena.creating(member("quiet", key="l0-g4", ports=[8100])))
    town.result.expect((await quiet).is_done, "with failurePolicy Ignore a dead webhook is in the way")
    await arena.store(member("fits", key="l0-g5", ports=[8100]), member("thief", key="l0-g5", ports=[8000]))
    for replica in rig.replicas:
        await asyncio.to_thread(rig.start_webhook, replica)
    for replica in rig.replicas:
        await asyncio.to_thread(rig.wait_ready, replica.name, replica.health_port)
    await town.apply(*configurations)

    async def is_so() -> bool:
        return "quiet" in {s.name.name for s in await _accepted(town, arena)}

    town.result.expect(await _until(is_so, seconds=60), "a newcomer that fits is not accepted")
    accepted = {s.name.name for s in await _accepted(town, arena)}
    town.result.expect(not accepted & {"fits", "thief"}, "newcomers were accepted one without the other")
    stayed = {f"l0-g5-{index}" for index in range(_MEMBERS)}
    town.result.expect(accepted >= stayed, f"members lost their place: {stayed - accepted}")
    town.result.counts["stored while the webhook was away"] += 3


async def _accepted(town: Town, arena: Arena | None = None) -> list[ServiceView]:
    world = await town.world()
    ledgers = {ledger.name: ledger for ledger in world.ledgers}
    wanted = {one.namespace for one in ([arena] if arena else town.arenas)}
    return [
        s for s in world.services if s.name.namespace in wanted and s.group and is_accepted(ledgers.get(s.group), s)
    ]


def _specs(world: StoredWorld) -> list[ServiceView]:
    return sorted(world.services, key=lambda service: service.name)


def _now() -> datetime:
    return datetime.now(UTC)
