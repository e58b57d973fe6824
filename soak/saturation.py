"""The API server full of ordinary users' Service writes and reads, while admission goes on deciding; it judges nothing.

Each write takes a seat for seconds, as the API server waits for a webhook that never answers: so the seats of every
ordinary priority level are taken, and whoever comes next waits in a queue, or is told 429. Our own calls must not.
"""

import asyncio
import contextlib
import json
import re
import socket
import ssl
from collections import Counter
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

import aiohttp

from cli.demo.stage import Stage
from localcluster.ports import LOOPBACK
from sharedvip.parse import static_address
from soak.arena import Arena, member
from soak.races import round_address
from soak.result import Result

USERS: Final = 150
"""Half people, half service accounts: fair queuing gives each its share, so one loud user would not do."""
AT_ONCE: Final = 6
"""Requests of each user: 900 at once are more than the 600 seats an API server has by default."""
SLOW_SECONDS: Final = 10
SLOW_LABEL: Final = "soak.sharedvip.dev/slow"
LEVEL: Final = "sharedvip"
_DISPATCHED: Final = "apiserver_flowcontrol_dispatched_requests_total"
_QUEUED: Final = "apiserver_flowcontrol_current_inqueue_requests"
_REJECTED: Final = "apiserver_flowcontrol_rejected_requests_total"
_SAMPLE: Final = re.compile(r"^(\w+)\{(.*)\} (\S+)$", re.MULTILINE)
_ORDINARY: Final = frozenset({"workload-low", "global-default"})
_SETTLE_SECONDS: Final = 60.0
_DECISIONS: Final = 3
_PAUSE_SECONDS: Final = 0.05
_SLOW_SERVICE: Final = json.dumps(
    {**member("", key=None), "metadata": {"generateName": "slow-", "labels": {SLOW_LABEL: "yes"}}}
).encode()


class Crowd(NamedTuple):
    """What API Priority and Fairness counts, by its own metrics."""

    dispatched: Mapping[str, int]
    """Requests that got a seat, by FlowSchema."""
    waiting: int
    """Requests in the queues of the ordinary levels."""
    rejected: int
    """Of the ordinary levels: told 429."""


async def crowd(arena: Arena) -> Crowd:
    """Now; the administrator's own requests are exempt."""
    text = (await arena.api.request("GET", "/metrics", timeout_seconds=60)).decode()
    dispatched, waiting, rejected = Counter[str](), 0, 0
    for name, labels, value in _SAMPLE.findall(text):
        where = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        if name == _DISPATCHED:
            dispatched[where["flow_schema"]] += int(float(value))
        elif name in {_QUEUED, _REJECTED} and where["priority_level"] in _ORDINARY:
            waiting += int(float(value)) if name == _QUEUED else 0
            rejected += int(float(value)) if name == _REJECTED else 0
    return Crowd(dispatched, waiting, rejected)


async def saturated(stage: Stage, arena: Arena, *, rounds: int, result: Result) -> None:
    """Members are created by somebody whom the API server never keeps waiting: each must be decided all the same."""
    async with _saturating(stage, arena):
        before = await _until_full(arena)
        for _ in range(rounds):
            await _decide_three(arena, result)
        after = await crowd(arena)
    ours = after.dispatched.get(LEVEL, 0) - before.dispatched.get(LEVEL, 0)
    result.counts["calls of ours in our own level"] = ours
    result.counts["ordinary requests in queues"] = after.waiting
    result.counts["ordinary requests told 429"] = after.rejected
    result.expect(after.waiting > 0, "in the end nobody was waiting: the API server was not full")
    # A claim for each of three, and more where something has to be looked at.
    result.expect(ours >= _DECISIONS * rounds, f"{ours} calls in our level for {_DECISIONS * rounds} decisions")


async def _decide_three(arena: Arena, result: Result) -> None:
    """Two that fit, of which one inherits the other's address, and one that does not."""
    ticket = arena.ticket()
    address = round_address(ticket)
    made = [
        member(f"{ticket}-{n}", key=ticket, ports=[80 + n % 2], address="" if n else address, ticket=ticket)
        for n in range(_DECISIONS)
    ]
    answers = [await arena.send(arena.creating(one)) for one in made]
    result.rounds += 1
    result.counts["admitted"] += sum(answer.is_done for answer in answers)
    result.counts["refused by us"] += sum(answer.is_refused for answer in answers)
    is_right = answers[0].is_done and answers[1].is_done and answers[2].is_refused
    result.expect(is_right, f"{ticket}: {[str(answer) for answer in answers]}")
    addresses = {static_address(service) for service in await arena.services(ticket)}
    result.expect(addresses == {address}, f"{ticket}: nobody inherited: {addresses}")
    await arena.delete_round(ticket)


async def _until_full(arena: Arena) -> Crowd:
    async with asyncio.timeout(_SETTLE_SECONDS):
        while (found := await crowd(arena)).waiting < USERS:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.5)
    return found


@asynccontextmanager
async def _saturating(stage: Stage, arena: Arena) -> AsyncGenerator[None]:
    """While the block runs, all users ask all the time."""
    with _deaf() as port:
        objects = _installed(port, arena.namespace)
        await asyncio.to_thread(stage.cluster.run_kubectl, "apply", "-f", "-", input=objects)
        async with _session(stage) as session:
            users = [asyncio.create_task(_use(session, arena, number)) for number in range(USERS * AT_ONCE)]
            try:
                yield
            finally:
                for user in users:
                    user.cancel()
                await asyncio.gather(*users, return_exceptions=True)
                await asyncio.to_thread(stage.cluster.run_kubectl, "delete", "-f", "-", input=objects)


@contextlib.contextmanager
def _deaf() -> Generator[int]:
    """A port that takes connections, and never says a word."""
    with socket.create_server((LOOPBACK, 0), backlog=4096) as listening:
        yield listening.getsockname()[1]


def _installed(port: int, namespace: str) -> str:
    """What makes a write slow, and lets everybody write."""
    meta = {"name": f"{namespace}-saturation"}
    webhook = {
        "name": "slow.soak.sharedvip.dev",
        "admissionReviewVersions": ["v1"],
        "clientConfig": {"url": f"https://{LOOPBACK}:{port}/"},
        "failurePolicy": "Ignore",
        "matchPolicy": "Exact",
        "objectSelector": {"matchLabels": {SLOW_LABEL: "yes"}},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["services"]}],
        "sideEffects": "None",
        "timeoutSeconds": SLOW_SECONDS,
    }
    everybody = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:authenticated"}
    editor = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"}
    configuration = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": meta,
        "webhooks": [webhook],
    }
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {**meta, "namespace": namespace},
        "subjects": [everybody],
        "roleRef": editor,
    }
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [configuration, binding]})


@asynccontextmanager
async def _session(stage: Stage) -> AsyncGenerator[aiohttp.ClientSession]:
    """The administrator, who speaks for all users."""
    cluster = stage.cluster
    token = json.loads(cluster.kubeconfig.read_text())["users"][0]["user"]["token"]
    connector = aiohttp.TCPConnector(limit=0, ssl=ssl.create_default_context(cafile=str(cluster.ca)))
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    async with aiohttp.ClientSession(cluster.server, connector=connector, headers=headers) as session:
        yield session


async def _use(session: aiohttp.ClientSession, arena: Arena, number: int) -> None:
    """One place of one user: a write, then a read, again and again; nobody cares what it is told."""
    user = number % USERS
    name = f"system:serviceaccount:{arena.namespace}:robot-{user}" if user % 2 else f"person-{user}"
    path = f"/api/v1/namespaces/{arena.namespace}/services"
    asked = {"Impersonate-User": name}
    while True:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with session.post(f"{path}?dryRun=All", data=_SLOW_SERVICE, headers=asked) as reply:
                await reply.read()
            async with session.get(f"{path}?limit=500", headers=asked) as reply:
                await reply.read()
        await asyncio.sleep(_PAUSE_SECONDS)
