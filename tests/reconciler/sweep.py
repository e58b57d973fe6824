"""The crash sweep's words: what users do, what goes wrong at which call, and what must be so in the end; no test.

Every case is generated: a scenario, the number of a call in it, and what happens to that call. Afterwards nobody does
anything: the reconciler's own tries must lead to exactly what a fresh reconciler builds from the same cluster.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple, cast

from cluster.errors import ClusterError
from reconciler.avi_errors import AviError
from sharedvip.model import GroupName, ServiceView
from simulator.faults import Fault
from simulator.render import Rendering, rendered
from simulator.writes import Caller
from tests.builders import service
from tests.reconciler.controller import OUR_TYPES, START, Avi, Stack, process, stack
from tests.reconciler.fake_kubernetes import FakeKubernetes
from tests.reconciler.world import Endpoint, Slice, two_pods

EXTRA_CALLS: Final = 10
"""How many calls more than undisturbed a spoiled call may cost, at most: the call itself once more, the group looked up
(4 lists) by the pass that met the trouble, and once more where that was spoiled, or 5 lists by the next process."""

TRIES: Final = 4
"""How many looks the loop may need; the second finds what the first left in doubt."""

PATIENCE_SECONDS: Final = 1.0
_LATE_SECONDS: Final = 1.2
"""A time-out: the answer comes later than the client waits."""

LB1 = service("lb1", "80/TCP")
LB2 = service("lb2", "80/UDP")
ELSEWHERE = GroupName("default", "shared-vip-key-2")
FIRST_ADDRESS, SECOND_ADDRESS = "100.64.250.1", "100.64.250.2"

_PODS: Final = (Slice((Endpoint(("10.244.9.9",)), Endpoint(("10.244.9.10",)))),)
_LINK: Final = re.compile(r".*/api/(\w+)/[^#]*#(.*)")
_NOT_COMPARED: Final = frozenset({"uuid", "url", "_last_modified"})


class KilledError(Exception):
    """The process is no more: nobody hears of it, and nothing is told."""


class Scenario(NamedTuple):
    """What users do, once everything is as they wanted it before."""

    name: str
    before: tuple[ServiceView, ...]
    change: Callable[[FakeKubernetes], None]
    moves_vip: bool = False
    """Whether the group is meant to leave its VIP."""
    loses: str = ""
    """Answers to this method and path are lost once, whatever else happens: what is there must be adopted."""
    is_restarted: bool = False
    """A new process meets the change; its reads are swept too."""


def _create(kubernetes: FakeKubernetes) -> None:
    kubernetes.admit(LB1, LB2, at=START)
    _give_pods(kubernetes)


def _join(kubernetes: FakeKubernetes) -> None:
    kubernetes.admit(LB2, at=START)
    _give_pods(kubernetes)


def _endpoints(kubernetes: FakeKubernetes) -> None:
    kubernetes.endpoint_slices[LB1.name] = _PODS


def _port_change(kubernetes: FakeKubernetes) -> None:
    kubernetes.admit(service("lb1", "443/TCP"), at=START)


def _static(address: str) -> ServiceView:
    return service("lb1", "80/TCP", load_balancer_ip=address)


def _address(kubernetes: FakeKubernetes) -> None:
    kubernetes.admit(_static(SECOND_ADDRESS), at=START)


def _leave(kubernetes: FakeKubernetes) -> None:
    kubernetes.apply(replace(LB2, sharing_key=None))


def _delete(kubernetes: FakeKubernetes) -> None:
    kubernetes.delete(LB1.name, LB2.name)


def _key_change(kubernetes: FakeKubernetes) -> None:
    kubernetes.admit(service("lb2", "80/UDP", key=ELSEWHERE.key), at=START)


def _give_pods(kubernetes: FakeKubernetes) -> None:
    for each in kubernetes.stored.values():
        if each.name not in kubernetes.endpoint_slices:
            pods = tuple(s for port in each.ports for s in two_pods(port.listener.protocol))
            kubernetes.endpoint_slices[each.name] = pods


SCENARIOS: Final = (
    Scenario("create", (), _create),
    Scenario("join", (LB1,), _join),
    Scenario("endpoints", (LB1, LB2), _endpoints),
    Scenario("port change", (LB1, LB2), _port_change),
    Scenario("static address", (_static(FIRST_ADDRESS),), _address, moves_vip=True),
    Scenario("leave", (LB1, LB2), _leave),
    Scenario("delete", (LB1, LB2), _delete),
    Scenario("key change", (LB1, LB2), _key_change),
    Scenario("adopt after lost reply", (), _create, loses="POST"),
    Scenario("restart", (LB1,), _join, is_restarted=True),
)

_STATUSES: Final = (400, 401, 403, 404, 409, 412, 429, 500, 503)

Spoil = Callable[[int], Fault | None]


def _status(status: int) -> Spoil:
    return lambda nth: Fault(action="status", path="^/api/", nth=nth, status=status)


TROUBLES: Final[dict[str, Spoil]] = {
    "killed": lambda _nth: None,
    "reply lost": lambda nth: Fault(action="lose", path="^/api/", nth=nth),
    "never arrived": lambda nth: Fault(action="drop", path="^/api/", nth=nth),
    "time-out": lambda nth: Fault(action="delay", path="^/api/", nth=nth, seconds=_LATE_SECONDS),
    "half a body": lambda nth: Fault(action="cut", path="^/api/", nth=nth),
    "half a document": lambda nth: Fault(action="truncate", path="^/api/", nth=nth),
    **{str(status): _status(status) for status in _STATUSES},
}


class Case(NamedTuple):
    """One cell of the matrix."""

    scenario: Scenario
    has_macro: bool
    nth: int
    trouble: str

    def __str__(self) -> str:
        """For people."""
        way = "macro" if self.has_macro else "one by one"
        return f"{self.scenario.name} ({way}), call {self.nth}: {self.trouble}"


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a case."""

    case: Case
    extra_calls: int
    tries: int
    problems: tuple[str, ...] = ()


@dataclass
class Bench:
    """One scenario, done once undisturbed: what each of its cases is measured against."""

    avi: Avi
    scenario: Scenario
    has_macro: bool
    cluster: str
    whole: Stack = field(init=False)
    death: "_Death" = field(default_factory=lambda: _Death(0))
    calls: int = 0
    graph: dict[str, Any] = field(default_factory=dict[str, Any])

    @asynccontextmanager
    async def prepared(self) -> AsyncGenerator["Bench"]:
        """What a fresh reconciler builds from the end; how many calls the way there takes when nothing goes wrong.

        One client serves all processes of a bench: what a process knows is in everything else.
        """
        async with stack(
            self.avi,
            FakeKubernetes(),
            cluster=self.cluster,
            is_read=False,
            observe=self._observe,
            patience_seconds=PATIENCE_SECONDS,
        ) as whole:
            self.whole = whole
            await self._build_afresh()
            undisturbed = await self.run(Case(self.scenario, self.has_macro, 0, "none"))
            assert not undisturbed.problems, undisturbed.problems
            self.calls = undisturbed.extra_calls
            yield self

    async def _build_afresh(self) -> None:
        kubernetes = FakeKubernetes()
        kubernetes.admit(*self.scenario.before, at=START)
        self.scenario.change(kubernetes)
        fresh = FakeKubernetes(endpoint_slices=dict(kubernetes.endpoint_slices))
        fresh.admit(*(each for each in kubernetes.stored.values() if each.is_member), at=START)
        _give_pods(fresh)
        await self._process(fresh).look_at_all()
        self.graph = self._graph()
        self.purge()

    def _observe(self, method: str, status: int) -> None:
        self.death.observe(method, status)

    def cases(self) -> Iterator[Case]:
        """Every call number with every trouble."""
        for nth in range(1, self.calls + 1):
            for trouble in TROUBLES:
                yield Case(self.scenario, self.has_macro, nth, trouble)

    async def run(self, case: Case) -> Result:
        """One case, from nothing on Avi to nothing on Avi."""
        kubernetes = FakeKubernetes()
        try:
            return await self._run(case, kubernetes)
        finally:
            self.avi.running.faults.clear()
            if case.trouble == "time-out":
                await self._late_call()
            self.purge()

    async def _late_call(self) -> None:
        """Wait until the Controller has done what nobody waited for: the next case would count it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(2 * _LATE_SECONDS):
                while not any(e.milliseconds >= 1000 * _LATE_SECONDS for e in self.avi.running.journal.entries()):  # noqa: ASYNC110 - the journal has no event
                    await asyncio.sleep(0.01)

    async def _run(self, case: Case, kubernetes: FakeKubernetes) -> Result:
        self.death = _Death(case.nth if case.trouble == "killed" else 0)
        kubernetes.admit(*self.scenario.before, at=START)
        _give_pods(kubernetes)
        reconciler = self._process(kubernetes)
        await _until_settled(reconciler)
        before = kubernetes.vips(*self.scenario.before)
        self._begin(case, kubernetes)
        if self.scenario.is_restarted:
            reconciler = self._process(kubernetes)
        try:
            tries = await _until_settled(reconciler)
        except KilledError:
            reconciler = self._process(kubernetes)
            tries = await _until_settled(reconciler)
        return await self._judged(case, reconciler, before=before, tries=tries)

    def _process(self, kubernetes: FakeKubernetes) -> Stack:
        return process(self.whole.client, kubernetes, self.whole.settings, has_macro=self.has_macro)

    def _begin(self, case: Case, kubernetes: FakeKubernetes) -> None:
        self.scenario.change(kubernetes)
        _give_pods(kubernetes)
        self.avi.forget()
        self.death.begin()
        if self.scenario.loses:
            self.avi.running.faults.set(Fault(action="lose", method=self.scenario.loses, path="^/api/"))
        if case.nth and (fault := TROUBLES[case.trouble](case.nth)):
            self.avi.running.faults.set(fault)

    async def _judged(self, case: Case, reconciler: Stack, *, before: list[tuple[str, ...]], tries: int) -> Result:
        calls = len([call for call in self.avi.calls() if "log" not in call])
        logins = self.avi.calls().count("POST login")
        self.avi.running.faults.clear()
        problems = [
            *(["it does not settle"] if tries > TRIES else []),
            *([f"{calls - self.calls} calls more"] if case.nth and calls - self.calls > EXTRA_CALLS else []),
            *([f"{logins} logins"] if logins > 2 else []),
            *self._differences(),
            *self._told(reconciler, before),
            *await _restless(reconciler),
        ]
        return Result(case, calls - self.calls, tries, tuple(problems))

    def _differences(self) -> Iterator[str]:
        graph = self._graph()
        for name in sorted(graph.keys() ^ self.graph.keys()):
            yield f"{'orphan' if name in graph else 'missing'}: {name}"
        for name in sorted(graph.keys() & self.graph.keys()):
            if graph[name] != self.graph[name]:
                yield f"not as built afresh: {name}: {graph[name]} instead of {self.graph[name]}"

    def _told(self, reconciler: Stack, before: list[tuple[str, ...]]) -> Iterator[str]:
        kubernetes = reconciler.kubernetes
        for each in kubernetes.stored.values():
            if each.is_member and each.group is not None:
                if (reason := kubernetes.verdicts[each.name].reason) != "Programmed":
                    yield f"{each.name.name} is told {reason}"
                if each.vips != (reconciler.side.view.group(each.group).vip,):
                    yield f"{each.name.name} is told {each.vips}"
            elif each.vips or each.has_ready_condition:
                yield f"{each.name.name} left, and its status still says {each.vips}"
        stayed = [kubernetes.stored.get(old.name) for old in self.scenario.before]
        for old, now, vips in zip(self.scenario.before, stayed, before, strict=True):
            if now and now.group == old.group and not self.scenario.moves_vip and now.vips != vips:
                yield f"{old.name.name} lost its VIP: {now.vips} instead of {vips}"
        if not any(each.is_member for each in kubernetes.stored.values()) and kubernetes.ledgers:
            yield "a ledger is left"

    def purge(self) -> None:
        """Delete all that is on Avi of this cluster, who refers before whom it refers to."""
        controller = self.avi.running.controller
        for kind in OUR_TYPES:
            for record in controller.store.of_kind(kind):
                if record.name.startswith(f"sharedvip~{self.cluster}~"):
                    controller.delete(kind, record.uuid, Caller(None, username="sweep"))

    def _graph(self) -> dict[str, Any]:
        store = self.avi.running.controller.store
        prefix = f"sharedvip~{self.cluster}~"
        has_chosen = all(each.load_balancer_ip for each in self.scenario.before or (LB1,))
        found: dict[str, Any] = {}
        for kind in OUR_TYPES:
            for record in store.of_kind(kind):
                if record.name.startswith(prefix):
                    name = f"{kind} {record.name.removeprefix(prefix)}"
                    assert name not in found, f"twice: {name}"
                    document = rendered(store, record, Rendering("", is_named=True))
                    found[name] = _comparable(document, has_address=has_chosen)
        return found


class _Death:
    """Ends the process right after the answer to the n-th call has come, before anybody looks at it."""

    def __init__(self, nth: int) -> None:
        self._nth = nth
        self._is_counting = False

    def begin(self) -> None:
        """Count from here."""
        self._is_counting = True

    def observe(self, _method: str, _status: int) -> None:
        """As ``AviClient``'s."""
        if self._is_counting and self._nth:
            self._nth -= 1
            if not self._nth:
                raise KilledError


async def _until_settled(reconciler: Stack) -> int:
    """As ``loop.Loop`` does it, without its pauses."""
    for tries in range(1, TRIES + 1):
        if await _look(reconciler):
            return tries
    return TRIES + 1


async def _look(reconciler: Stack) -> bool:
    is_well = True
    if reconciler.side.unknown is not None:
        try:
            await reconciler.side.read()
        except AviError:
            is_well = False
    for group in sorted({*reconciler.kubernetes.groups(), *reconciler.side.view.groups()}):
        try:
            await reconciler.look(group)
        except (AviError, ClusterError):
            is_well = False
    for leaver in reconciler.kubernetes.leavers():
        await reconciler.statuses.withdraw(leaver)
    return is_well


async def _restless(reconciler: Stack) -> list[str]:
    """What it would still do, or believes wrongly, when all is done."""
    was = {group: reconciler.side.view.group(group) for group in reconciler.side.view.groups()}
    await reconciler.side.read()
    groups = sorted({*reconciler.kubernetes.groups(), *reconciler.side.view.groups()})
    calls = sum([await reconciler.look(group) for group in groups])
    found = [f"{calls} calls when all is done"] if calls else []
    is_now = {group: reconciler.side.view.group(group) for group in reconciler.side.view.groups()}
    if {g: sorted(part.uuid for part in o) for g, o in was.items()} != {
        g: sorted(part.uuid for part in o) for g, o in is_now.items()
    }:
        found.append("it believed what was not so")
    return found


def _comparable(value: object, *, has_address: bool) -> Any:  # noqa: ANN401 - JSON
    """A document without what differs from one building to the next; references by name."""
    if isinstance(value, dict):
        document = cast("dict[str, object]", value)
        left_out = _NOT_COMPARED if has_address else _NOT_COMPARED | {"ip_address"}
        return {k: _comparable(v, has_address=has_address) for k, v in document.items() if k not in left_out}
    if isinstance(value, list):
        return [_comparable(entry, has_address=has_address) for entry in cast("list[object]", value)]
    if isinstance(value, str) and (link := _LINK.fullmatch(value)):
        return f"{link[1]} {link[2]}"
    return value
