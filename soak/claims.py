"""Claims that must not outlive their reason: deleted holders, requests refused after us, ports given up."""

import asyncio
import json
import time
from dataclasses import replace
from typing import Final

from cluster.api import MERGE_PATCH
from localcluster.ports import LOOPBACK
from sharedvip.ledger import GRACE
from sharedvip.parse import static_address
from soak.arena import TRY_AGAIN, Answer, Arena, Manifest, Write, member, ports_patch
from soak.result import Result
from soak.rig import Rig

_PATIENCE_SECONDS: Final = GRACE.total_seconds() + 25.0
_QUOTA_SECONDS: Final = 30.0
_LOOK_AGAIN_SECONDS: Final = 0.1
_ADDRESS: Final = "10.127.0.4"
_ANOTHER: Final = "soak-later"
_REFUSED_LABEL: Final = "soak.sharedvip.dev/refused"
_CALL_FAILED: Final = 'failed calling webhook "later.soak.sharedvip.dev"'
_QUOTA: Final[Manifest] = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}}


async def delete_then_create(arena: Arena, *, ticket: str, result: Result) -> None:
    """The holder of a port is deleted; another name asks for the port as soon as that is answered."""
    await arena.store(member(f"{ticket}-a", key=ticket, ticket=ticket))
    await arena.delete(f"{ticket}-a")
    answer = await arena.send(arena.creating(member(f"{ticket}-b", key=ticket, ticket=ticket)))
    result.counts["admitted at once"] += answer.is_done
    result.expect(answer.is_done, f"{ticket}: {answer.text}")


async def give_up_then_take(arena: Arena, *, ticket: str, result: Result) -> None:
    """A member changes its port; another takes the old one as soon as that is answered, as a Helm upgrade does."""
    one, two = (member(f"{ticket}-{n}", key=ticket, ports=[80 + n], ticket=ticket) for n in range(2))
    await arena.store(one, two)
    moved = await arena.send(arena.patching(f"{ticket}-0", ports_patch(82)))
    taken = await arena.send(arena.patching(f"{ticket}-1", ports_patch(80)))
    result.counts["admitted at once"] += taken.is_done
    result.expect(moved.is_done and taken.is_done, f"{ticket}: {moved.text} {taken.text}")


async def refused_later(rig: Rig, arena: Arena, *, is_waited_for: bool, result: Result) -> None:
    """A quota refuses what we admitted: the claim says "try again", and is free once the grace has passed.

    Args:
        rig: For the ledger's text.
        arena: Where; no other Service may be created there meanwhile.
        is_waited_for: Whether to wait until the port is free.
        result: Filled.
    """
    quotas = f"/api/v1/namespaces/{arena.namespace}/resourcequotas"
    hard = {"count/services": "0"}
    await arena.send(Write("POST", quotas, json.dumps({**_QUOTA, "spec": {"hard": hard}}).encode()))
    # What the quota controller would write, which does not run here.
    status = {"status": {"hard": hard, "used": hard}}
    await arena.send(Write("PATCH", f"{quotas}/none/status", json.dumps(status).encode(), MERGE_PATCH))
    await _until_quota_rules(arena)
    begun = time.monotonic()
    lost = await arena.send(arena.creating(member("lost", key="quota", address=_ADDRESS)))
    await arena.send(Write("DELETE", f"{quotas}/none", b""))
    claims = rig.cluster.run_kubectl("get", "svip", "-n", arena.namespace, "quota", "-o", "jsonpath={.spec.claims}")
    result.expect("exceeded quota" in lost.text, f"the quota refused nothing: {lost}")
    result.expect('"lost"' in claims.stdout, "the request that the quota refused left no claim to wait for")
    creating = arena.creating(member("next", key="quota"))
    elsewhere = arena.creating(member("elsewhere", key="another", address=_ADDRESS))
    early, abroad = await _after_quota(arena, creating), await arena.send(elsewhere)
    result.expect(TRY_AGAIN in early.text, f"the next one was not told to try again: {early}")
    result.expect(TRY_AGAIN in abroad.text, f"who wants its address elsewhere was not told to try again: {abroad}")
    result.rounds += 1
    if is_waited_for:
        done = await arena.insist(creating, seconds=_PATIENCE_SECONDS)
        waited = time.monotonic() - begun
        result.counts["seconds until the port was free"] = round(waited)
        result.expect(done.is_done, f"after {waited:.0f} s: {done.text}")
        result.expect(waited > GRACE.total_seconds(), f"a claim was released after {waited:.0f} s, before its grace")
        if _ADDRESS in {static_address(stored) for stored in await arena.services()}:
            # It was mutated in the last moment of the grace, and inherited what its group still claimed: so it has it.
            result.counts["inherited the address"] += 1
            taken = await arena.send(elsewhere)
            result.expect(taken.is_refused, f"an address that was inherited was given to another group: {taken}")
            await arena.delete("next")
        moved, waited = await arena.insist(elsewhere, seconds=_PATIENCE_SECONDS), time.monotonic() - begun
        result.counts["seconds until its address was free"] = round(waited)
        result.expect(moved.is_done, f"its address is not free after {waited:.0f} s: {moved.text}")
    await arena.delete("next", "elsewhere")


async def update_refused_later(rig: Rig, arena: Arena, *, is_waited_for: bool, result: Result) -> None:
    """Another webhook refuses an update that we admitted: the new port is free after the grace, the old one never.

    Args:
        rig: For the webhook's configuration and the ledger's text.
        arena: Where.
        is_waited_for: Whether to wait until the port is free.
        result: Filled.
    """
    await arena.store(member("stays", key="later"))
    rig.cluster.run_kubectl("apply", "-f", "-", input=json.dumps(_another_webhook(arena.namespace)))
    patch = {"metadata": {"labels": {_REFUSED_LABEL: "yes"}}, **ports_patch(80, 81)}
    trial, change = arena.patching("stays", patch), arena.patching("stays", patch)
    trial = replace(trial, path=f"{trial.path}?dryRun=All")
    async with asyncio.timeout(_QUOTA_SECONDS):
        while _CALL_FAILED not in (await arena.send(trial)).text:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
    begun = time.monotonic()
    lost = await arena.send(change)
    rig.cluster.run_kubectl("delete", "validatingwebhookconfiguration", _ANOTHER)
    claims = rig.cluster.run_kubectl("get", "svip", "-n", arena.namespace, "later", "-o", "jsonpath={.spec.claims}")
    result.expect(_CALL_FAILED in lost.text, f"the other webhook refused nothing: {lost}")
    result.expect('"port":81' in claims.stdout, "the update that was refused left no claim to wait for")
    new, old = (arena.creating(member(f"next-{port}", key="later", ports=[port])) for port in (81, 80))
    early, taken = await arena.send(new), await arena.send(old)
    result.expect(TRY_AGAIN in early.text, f"who wants the new port was not told to try again: {early}")
    result.expect("already served" in taken.text, f"the old port is not its holder's any more: {taken}")
    result.rounds += 1
    if is_waited_for:
        done, waited = await arena.insist(new, seconds=_PATIENCE_SECONDS), time.monotonic() - begun
        result.counts["seconds until an update's port was free"] = round(waited)
        result.expect(done.is_done, f"after {waited:.0f} s: {done.text}")
        result.expect(waited > GRACE.total_seconds(), f"a claim was released after {waited:.0f} s, before its grace")
        await arena.delete("next-81")
    await arena.delete("stays")


def _another_webhook(namespace: str) -> Manifest:
    """Which nobody serves, and without whose word nothing that carries the label is stored."""
    webhook = {
        "name": "later.soak.sharedvip.dev",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Fail",
        "clientConfig": {"url": f"https://{LOOPBACK}:1/"},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "objectSelector": {"matchLabels": {_REFUSED_LABEL: "yes"}},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["services"]}],
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": _ANOTHER},
        "webhooks": [webhook],
    }


async def _until_quota_rules(arena: Arena) -> None:
    """The API server's own cache shows a quota a moment late: asked about a Service that shares nothing."""
    trial = arena.creating(member("trial", key=None))
    trial = replace(trial, path=f"{trial.path}?dryRun=All")
    async with asyncio.timeout(_QUOTA_SECONDS):
        while "exceeded quota" not in (await arena.send(trial)).text:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)


async def _after_quota(arena: Arena, write: Write) -> Answer:
    """The first answer that is not the quota's: it is cached for a moment."""
    async with asyncio.timeout(_QUOTA_SECONDS):
        while True:
            answer = await arena.send(write)
            if "exceeded quota" not in answer.text:
                return answer
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
