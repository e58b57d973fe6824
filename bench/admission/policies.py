"""Creates through the real API server, under no policy, under a ValidatingAdmissionPolicy and under us.

One writer, one create at a time: what a user waits for. After each, untimed, the Service is deleted and the janitor's
work is done for it, so that every create meets its group as the first one did. It never decides what is good enough.
"""

import re
import statistics
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from bench.admission.kube import APPLY, MERGE_PATCH, Kube, Reply, in_parallel
from bench.admission.population import BenchGroup, JsonObject, Namespace, render_service
from bench.admission.stage import Stage
from bench.generator import percentile
from sharedvip.ledger import object_name

POLICIES: Final = ("none", "vap", "ours")
WRITERS: Final = 16
RIVALS: Final = 8
"""Who want the same port at once."""
_REFUSED_WITH: Final = {"none": 201, "vap": 422, "ours": 403}
"""What a Service that is no LoadBalancer is answered: so one sees whose word holds."""
_TIMES: Final = {"none": 3, "vap": 1, "ours": 3}
"""As many creates: under the ``ValidatingAdmissionPolicy`` one takes two seconds."""
_FIRST_PORT: Final = 20_000
_SECONDS: Final = re.compile(r"^sharedvip_admission_duration_seconds_sum(?:\{[^}]*\})? (\S+)$", re.MULTILINE)
_WRITES: Final = re.compile(r'^sharedvip_ledger_writes_total\{purpose="([^"]+)"\} (\S+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Creates:
    """The creates in one namespace under one policy."""

    namespace: Namespace
    policy: str
    milliseconds: list[float] = field(default_factory=list[float])

    @property
    def p50_ms(self) -> float:
        """Half of them took at most this."""
        return statistics.median(self.milliseconds)

    @property
    def p99_ms(self) -> float:
        """All but one of a hundred."""
        return percentile(sorted(self.milliseconds), 0.99)


@dataclass(frozen=True, slots=True)
class Contention:
    """Sixteen writers at once, each with ports of its own, in one group."""

    rounds: int
    admitted: int
    writes: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Throughs:
    """All that was measured through the API server."""

    creates: tuple[Creates, ...]
    webhook_ms: float
    """Of a create under us, on average: in the webhook, both calls together."""
    apply_ms: float
    """One server-side apply to a ``SharedVIP``, sent as the creates are: the median."""
    doubles: Mapping[str, int]
    """By policy: of ``races``, those after which more than one of the rivals was stored."""
    races: int
    writes_per_create: float
    writes_with_address: float
    """Likewise, in a group that has a static address."""
    writes_with_lock: float
    """Of the first create there, which takes the lock on the address too."""
    updates_ms: float
    updates: int
    writes_per_update: float
    contention: Contention

    def of(self, services: int, policy: str) -> Creates:
        """One of the creates."""
        return next(c for c in self.creates if (c.namespace.services, c.policy) == (services, policy))


def measure(stage: Stage, namespaces: Sequence[Namespace], *, rounds: int, creates: int) -> Throughs:
    """Under each policy in turn, and again, so many rounds; then updates, then sixteen writers."""
    found = tuple(Creates(namespace, policy) for namespace in namespaces for policy in POLICIES)
    written, admitted, seconds = 0.0, 0, 0.0
    applies_ms: list[float] = []
    writer = Writer(stage)
    for _ in range(rounds):
        for policy in POLICIES:
            before = stage.metrics()
            writer.applies_ms.clear()
            entries = [entry for entry in found if entry.policy == policy]
            _create_in_turn(stage, writer, entries, count=creates * _TIMES[policy])
            if policy == "ours":
                # Under the others nothing was claimed, and what gives nothing back writes nothing.
                applies_ms += writer.applies_ms
                after = stage.metrics()
                written += ledger_writes(after) - ledger_writes(before)
                seconds += webhook_seconds(after) - webhook_seconds(before)
                admitted += creates * _TIMES[policy] * len(entries)
    updates, writes = writer.update(namespaces[-1], count=rounds * creates)
    with_lock, with_address = writer.count_with_address(namespaces[-1], creates=rounds * creates)
    races = rounds * creates
    return Throughs(
        found,
        webhook_ms=seconds / admitted * 1000,
        apply_ms=statistics.median(applies_ms),
        doubles={policy: writer.count_doubles(namespaces[1], policy, races=races) for policy in ("vap", "ours")},
        races=races,
        writes_per_create=written / admitted,
        writes_with_address=with_address,
        writes_with_lock=with_lock,
        updates_ms=statistics.median(updates),
        updates=len(updates),
        writes_per_update=writes / len(updates),
        contention=writer.contend(namespaces[-1], rounds=rounds * 4),
    )


def _create_in_turn(stage: Stage, writer: "Writer", entries: Sequence[Creates], *, count: int) -> None:
    """One create in each namespace, and again: what the machine does meanwhile slows all of them alike."""
    for entry in entries:
        stage.set_policy(entry.namespace.name, entry.policy)
        writer.wait_for(entry.namespace, entry.policy)
    for _ in range(count):
        for entry in entries:
            entry.milliseconds.append(writer.create(entry.namespace))


def ledger_writes(metrics: str) -> float:
    """All writes to the ledger so far, whatever for."""
    return sum(float(count) for _, count in _WRITES.findall(metrics))


def webhook_seconds(metrics: str) -> float:
    """The time that all decisions so far have taken together."""
    return sum(map(float, _SECONDS.findall(metrics)))


class Writer:
    """Writes Services as a user would, and tidies up behind them."""

    def __init__(self, stage: Stage) -> None:
        """Use the stage's API server and groups."""
        self._stage = stage
        self._kube: Kube = stage.kube
        self._keeper: Kube = stage.keeper
        self._turn = 0
        self.applies_ms: list[float] = []
        """What each apply to a ``SharedVIP`` took that gave claims back."""

    def wait_for(self, namespace: Namespace, policy: str) -> None:
        """Return when the API server judges by that policy."""
        group = self._group(namespace)
        wrong = render_service(group, name="probe", ports=((_FIRST_PORT, "TCP"),), service_type="ClusterIP")
        path = f"{_services(namespace.name)}?dryRun=All"
        wanted = _REFUSED_WITH[policy]
        self._stage.wait(
            lambda: self._kube.request("POST", path, body=wrong).status == wanted,
            what=f"policy '{policy}' holds in {namespace.name}",
        )

    def create(self, namespace: Namespace) -> float:
        """Create a member with ports of its own, then take it away; how long the create took, in milliseconds."""
        group = self._group(namespace)
        reply = self._post(group, self._next())
        self._take_away(group, [reply.parse()])
        return reply.milliseconds

    def count_with_address(self, namespace: Namespace, *, creates: int) -> tuple[float, float]:
        """Ledger writes of the first create in a group that has a static address, and for each of the others."""
        group = next(g for g in self._stage.groups if g.namespace == namespace.name and g.static_address)
        self._stage.set_policy(namespace.name, "ours")
        self.wait_for(namespace, "ours")
        counts = [ledger_writes(self._stage.metrics())]
        for creating in (1, creates):
            for _ in range(creating):
                self._take_away(group, [self._post(group, self._next()).parse()])
            counts.append(ledger_writes(self._stage.metrics()))
        before, first, last = counts
        return first - before, (last - first) / creates

    def update(self, namespace: Namespace, *, count: int) -> tuple[list[float], float]:
        """Change a label of members, under us: each in milliseconds, and how often the ledger was written for all."""
        self._stage.set_policy(namespace.name, "ours")
        self.wait_for(namespace, "ours")
        before = ledger_writes(self._stage.metrics())
        names = [service["metadata"]["name"] for service in self._stage.services[namespace.name]]
        taken: list[float] = []
        for number in range(count):
            body = {"metadata": {"labels": {"team": f"team-{number}"}}}
            path = f"{_services(namespace.name)}/{names[number % len(names)]}"
            reply = self._kube.request("PATCH", path, body=body, content_type=MERGE_PATCH)
            reply.parse()
            taken.append(reply.milliseconds)
        return taken, ledger_writes(self._stage.metrics()) - before

    def contend(self, namespace: Namespace, *, rounds: int) -> Contention:
        """Sixteen writers released together, each with ports of its own."""
        self._stage.set_policy(namespace.name, "ours")
        self.wait_for(namespace, "ours")
        before = ledger_writes(self._stage.metrics())
        group = self._group(namespace)
        taken: list[float] = []
        admitted = 0
        for _ in range(rounds):
            replies = self._together(group)
            stored = [reply.parse() for reply in replies if reply.status == _CREATED]
            admitted += len(stored)
            taken.extend(reply.milliseconds for reply in replies)
            self._take_away(group, stored)
        written = ledger_writes(self._stage.metrics()) - before
        return Contention(rounds, admitted, written, statistics.median(taken), percentile(sorted(taken), 0.99))

    def count_doubles(self, namespace: Namespace, policy: str, *, races: int) -> int:
        """Of so many races of eight for one port, those after which more than one had it."""
        self._stage.set_policy(namespace.name, policy)
        self.wait_for(namespace, policy)
        group, doubles = self._group(namespace), 0
        for _ in range(races):
            replies = self._together(group, writers=RIVALS, is_for_one_port=True)
            stored = [reply.parse() for reply in replies if reply.status == _CREATED]
            doubles += len(stored) > 1
            self._take_away(group, stored)
        return doubles

    def _together(self, group: BenchGroup, *, writers: int = WRITERS, is_for_one_port: bool = False) -> list[Reply]:
        released, numbers = threading.Barrier(writers), [self._next() for _ in range(writers)]

        def post(number: int) -> Reply:
            self._kube.get("/version")  # the connection is there before the race
            released.wait()
            return self._post(group, number, wants=numbers[0] if is_for_one_port else number)

        return in_parallel(post, numbers, writers=writers)

    def _post(self, group: BenchGroup, number: int, *, wants: int | None = None) -> Reply:
        port = _FIRST_PORT + (number if wants is None else wants) % 10_000
        service = render_service(group, name=f"new-{number}", ports=((port, "TCP"), (port, "UDP")))
        return self._kube.request("POST", _services(group.namespace), body=service)

    def _take_away(self, group: BenchGroup, services: Iterable[JsonObject]) -> None:
        """Delete Services, and take their claims back as the janitor does: an apply of nothing, by the member."""
        name = object_name(group.key)
        path = f"/apis/sharedvip.dev/v1alpha1/namespaces/{group.namespace}/sharedvips/{name}"
        nothing = {
            "apiVersion": "sharedvip.dev/v1alpha1",
            "kind": "SharedVIP",
            "metadata": {"name": name, "namespace": group.namespace},
        }
        for service in services:
            metadata = service["metadata"]
            self._kube.request("DELETE", f"{_services(group.namespace)}/{metadata['name']}").parse()
            member = quote(f"{metadata['name']}.{metadata['uid']}")
            reply = self._keeper.request("PATCH", f"{path}?fieldManager={member}", body=nothing, content_type=APPLY)
            reply.parse()
            self.applies_ms.append(reply.milliseconds)

    def _group(self, namespace: Namespace) -> BenchGroup:
        """A group without a static address: with one, a create also looks at the address's lock."""
        return next(g for g in self._stage.groups if g.namespace == namespace.name and not g.static_address)

    def _next(self) -> int:
        self._turn += 1
        return self._turn


_CREATED: Final = 201


def _services(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/services"
