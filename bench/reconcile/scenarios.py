"""The scenarios: build from nothing, boot, resync, idle, rolling restart; each measures, none judges."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import uvloop

from bench.reconcile.gauges import (
    GROUPS,
    PASSES,
    Call,
    Metrics,
    clear_journal,
    cpu_seconds,
    fetch,
    fetch_journal,
    fetch_metrics,
    memory_mib,
)
from bench.reconcile.population import ROLLING, Rollout, groups, pod_address, rolling_groups
from bench.reconcile.results import Build, Idle, Results, Rolling, Sizes, Steady, Use
from bench.reconcile.stage import RECONCILER, SIMULATOR, Controller, Progress, Stage
from bench.reconcile.world import StatusWatch, World
from cluster.api import KubernetesApi
from localcluster.commands import API_SERVER, ETCD
from localcluster.waiting import wait_until

LIMIT: Final = 32.0
"""Calls per second that a Controller lets through. Source: ``shared/design/avi.md`` 2.9."""
SHIPPED: Final = 25.0
"""The reconciler's default."""
_PATIENCE_SECONDS: Final = 300.0
_QUIET_SECONDS: Final = 1.5
"""Nothing happened for so long: it is over. A pass waits at most 0.05 s for further events, and 0.4 s for Avi."""
_LOOK_SECONDS: Final = 0.1
_SERVICES_PER_GROUP: Final = 2

Told = TypeVar("Told")


@dataclass(frozen=True, slots=True)
class _Mark:
    """Where the reconciler's counters stood, and the others' processor time."""

    cpu: float
    metrics: Metrics
    simulator: float = 0.0
    cluster: float = 0.0


def measure(sizes: Sizes, *, progress: Progress) -> Results:
    """Everything; three control planes, one after the other."""
    begun = time.monotonic()
    with Stage(Controller.INSTANT, progress=progress) as stage:
        idle = _idle_empty(stage, sizes)
        progress(f"bench: creating {sizes.live_groups} groups while the reconciler runs")
        live = _told(stage, lambda world: _live(stage, world, sizes))
    with Stage(Controller.INSTANT, progress=progress) as stage:
        progress(f"bench: {sizes.groups} groups from nothing, no latency, no limit")
        unlimited = _told(stage, lambda world: _build(stage, world, sizes, rate=None))
    with Stage(Controller.RECORDED, progress=progress) as stage:
        progress(f"bench: {sizes.groups} groups from nothing, recorded latency, {LIMIT:g} calls/s")
        limited = _told(stage, lambda world: _build(stage, world, sizes, rate=LIMIT))
        stage.stop_reconciler()
        progress("bench: boot and resync, nothing to do")
        boot, resync, idle_full = _steady(stage, sizes)
        progress(f"bench: rolling restart of {sizes.pods} pods behind {sizes.services} Services")
        rolling = _told(stage, lambda world: _rolling(stage, world, sizes))
    minutes = (time.monotonic() - begun) / 60
    return Results(live, unlimited, limited, boot, resync, idle, idle_full, rolling, minutes)


@asynccontextmanager
async def _connected(kubeconfig: Path) -> AsyncGenerator[KubernetesApi]:
    api = await KubernetesApi.connect(kubeconfig, user_agent="sharedvip-bench")
    try:
        yield api
    finally:
        await api.close()


def _told(stage: Stage, story: Callable[[World], Coroutine[Any, Any, Told]]) -> Told:
    """Run a story with an administrator's connection, and the webhook's for claims: nobody else may write a ledger."""

    async def whole() -> Told:
        async with _connected(stage.cluster.kubeconfig) as api, _connected(stage.webhook_kubeconfig) as webhook:
            return await story(World(api, admission=webhook))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(whole())


async def _live(stage: Stage, world: World, sizes: Sizes) -> Build:
    """The reconciler runs as shipped, and many Services are created past admission, as AKO was measured."""
    clear_journal(stage.control)
    mark = _mark(stage)
    watch = StatusWatch(world.api)
    watch.start()
    begun = time.monotonic()
    await world.create(groups(sizes.live_groups), is_claimed=False)
    title = f"{sizes.live_groups} groups created while it runs, no latency, shipped limit"
    return await _built(stage, watch, title=title, count=sizes.live_groups, rate=SHIPPED, begun=begun, mark=mark)


async def _build(stage: Stage, world: World, sizes: Sizes, *, rate: float | None) -> Build:
    """All groups are admitted already, nothing is on Avi, and the reconciler starts; its own start counts."""
    await world.create(groups(sizes.groups), is_claimed=True)
    watch = StatusWatch(world.api)
    watch.start()
    clear_journal(stage.control)
    nothing, begun = _Mark(0.0, Metrics({}), *_others(stage)), time.monotonic()
    stage.start_reconciler(rate=rate)
    how = "no latency, no limit" if rate is None else f"recorded latency, {rate:g} calls/s"
    title = f"{sizes.groups:,} groups from nothing, {how}"
    return await _built(stage, watch, title=title, count=sizes.groups, rate=rate, begun=begun, mark=nothing)


async def _built(
    stage: Stage, watch: StatusWatch, *, title: str, count: int, rate: float | None, begun: float, mark: _Mark
) -> Build:
    last = await watch.all_served(
        services=_SERVICES_PER_GROUP * count,
        groups=count,
        seconds=_PATIENCE_SECONDS,
        meanwhile=stage.children.check,
    )
    use, (simulator, cluster) = _use(stage, mark), _others(stage)
    await watch.stop()
    calls = fetch_journal(stage.control)
    return Build(
        title=title,
        groups=count,
        rate=rate,
        seconds=last - begun,
        writes=_counted(calls)[1],
        reads=_counted(calls)[0],
        use=use,
        simulator_cpu_seconds=simulator - mark.simulator,
        cluster_cpu_seconds=cluster - mark.cluster,
        served=tuple(sorted(at - begun for at in watch.services.values())),
    )


def _idle_empty(stage: Stage, sizes: Sizes) -> Idle:
    stage.start_reconciler(rate=SHIPPED)
    stage.wait_for_leader()
    _wait_until_quiet(stage)
    return _idle(stage, groups=0, seconds=sizes.idle_seconds)


def _steady(stage: Stage, sizes: Sizes) -> tuple[Steady, Steady, Idle]:
    """Everything is on Avi and told: the reconciler boots, idles, and looks again."""
    clear_journal(stage.control)
    begun = time.time()
    stage.start_reconciler(rate=LIMIT, resync_seconds=sizes.resync_seconds)
    stage.wait_for_leader()
    boot = _passed(stage, "boot", sizes, begun=begun, mark=_Mark(0.0, Metrics({})))
    idle = _idle(stage, groups=sizes.groups, seconds=sizes.idle_seconds)
    clear_journal(stage.control)
    mark = _mark(stage)
    wait_until(
        lambda: any(call.is_read for call in fetch_journal(stage.control)),
        what="the resync begins",
        deadline_seconds=2 * sizes.resync_seconds,
        meanwhile=stage.children.check,
    )
    begun = min(call.begun for call in fetch_journal(stage.control))
    return boot, _passed(stage, "resync", sizes, begun=begun, mark=mark), idle


def _passed(stage: Stage, title: str, sizes: Sizes, *, begun: float, mark: _Mark) -> Steady:
    """Wait until every group was looked at."""
    wanted = mark.metrics.total(PASSES) + sizes.groups
    wait_until(
        lambda: _metrics(stage).total(PASSES) >= wanted and _metrics(stage).total(GROUPS) >= sizes.groups,
        what=f"{title}: every group is looked at",
        deadline_seconds=_PATIENCE_SECONDS,
        meanwhile=stage.children.check,
    )
    ended, use = _wait_until_quiet(stage), _use(stage, mark)
    calls = fetch_journal(stage.control)
    # On a busy machine it may last until the next resync, whose reads are not its own.
    until = begun + sizes.resync_seconds
    return Steady(
        title=title,
        groups=sizes.groups,
        seconds=ended - begun,
        reads=sum(call.is_read and call.begun < until for call in calls),
        writes=sum(call.is_write for call in calls),
        use=use,
    )


def _idle(stage: Stage, *, groups: int, seconds: float) -> Idle:
    pid = stage.pids[RECONCILER]
    clear_journal(stage.control)
    before, begun = cpu_seconds(pid), time.monotonic()
    time.sleep(seconds)
    used = (cpu_seconds(pid) - before) / (time.monotonic() - begun)
    reads, writes = _counted(fetch_journal(stage.control))
    return Idle(groups=groups, mib=memory_mib(pid), cpu_percent=100 * used, reads=reads, writes=writes)


def _counted(calls: Iterable[Call]) -> tuple[int, int]:
    """Reads and writes."""
    seen = list(calls)
    return sum(call.is_read for call in seen), sum(call.is_write for call in seen)


async def _rolling(stage: Stage, world: World, sizes: Sizes) -> Rolling:
    rollout = Rollout(pods=sizes.pods, services=sizes.services, waves=sizes.waves)
    watch = StatusWatch(world.api)
    behind = tuple(rolling_groups(rollout))
    watch.start()
    await world.create(behind, is_claimed=True)
    await watch.all_served(
        services=_SERVICES_PER_GROUP * sizes.groups + rollout.services,
        groups=sizes.groups + len(behind),
        seconds=_PATIENCE_SECONDS,
        meanwhile=stage.children.check,
    )
    await watch.stop()
    _wait_until_quiet(stage)
    clear_journal(stage.control)
    mark, begun = _mark(stage), time.time()
    events = await world.restart(rollout, behind)
    ended = time.time()
    _wait_until_quiet(stage)
    calls = fetch_journal(stage.control)
    writes = [call for call in calls if call.is_write]
    return Rolling(
        pods=rollout.pods,
        services=rollout.services,
        events=events,
        event_seconds=ended - begun,
        writes=len(writes),
        reads=_counted(calls)[0],
        lag_seconds=max(0.0, _end(writes) - ended),
        is_right=_has_only_new_pods(stage, rollout),
        use=_use(stage, mark),
    )


def _end(calls: list[Call]) -> float:
    return max((call.ended for call in calls), default=0.0)


def _has_only_new_pods(stage: Stage, rollout: Rollout) -> bool:
    """Whether each pool of the Deployment's Services has exactly the new pods, all enabled."""
    wanted = {pod_address(number, is_new=True) for number in range(rollout.pods)}
    pools = [pool for pool in json.loads(fetch(f"{stage.control}/state"))["pool"] if f"~{ROLLING}~" in pool["name"]]
    return len(pools) == rollout.services and all(
        {server["ip"]["addr"] for server in pool["servers"]} == wanted
        and len(pool["servers"]) == len(wanted)
        and all(server.get("enabled", True) for server in pool["servers"])
        for pool in pools
    )


def _wait_until_quiet(stage: Stage) -> float:
    """Return when no pass has ended and no call was made for a while: when the last one was seen, since the epoch."""
    seen, since = _activity(stage), time.time()
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.time() - since < _QUIET_SECONDS:
        stage.children.check()
        time.sleep(_LOOK_SECONDS)
        if (now := _activity(stage)) != seen:
            seen, since = now, time.time()
        if time.monotonic() > deadline:
            raise TimeoutError(f"the reconciler is still busy after {_PATIENCE_SECONDS:g} s")
    return since


def _activity(stage: Stage) -> tuple[float, float]:
    metrics = _metrics(stage)
    return metrics.total(PASSES), metrics.total("sharedvip_avi_calls_total")


def _metrics(stage: Stage) -> Metrics:
    return fetch_metrics(stage.health_port)


def _mark(stage: Stage) -> _Mark:
    return _Mark(cpu_seconds(stage.pids[RECONCILER]), _metrics(stage), *_others(stage))


def _others(stage: Stage) -> tuple[float, float]:
    """Processor time of the simulator, and of API server and etcd."""
    pids = stage.pids
    return cpu_seconds(pids[SIMULATOR]), cpu_seconds(pids[API_SERVER]) + cpu_seconds(pids[ETCD])


def _use(stage: Stage, mark: _Mark) -> Use:
    pid, metrics = stage.pids[RECONCILER], _metrics(stage)
    return Use(
        cpu_seconds=cpu_seconds(pid) - mark.cpu,
        peak_mib=memory_mib(pid, is_peak=True),
        kube_reads=metrics.kube_reads - mark.metrics.kube_reads,
        kube_writes=metrics.kube_writes - mark.metrics.kube_writes,
    )
