"""Weather over the whole reconciler on a real control plane: what sleeps, dies and comes back; one always leads."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from localcluster.cluster import LocalCluster
from localcluster.commands import ETCD
from reconciler.run import FAILED
from reconciler.settings import ReconcilerSettings, VipNetwork
from tests.builders import KEY
from tests.reconciler.controller import Avi
from tests.reconciler.live import Process, World, are_ready, fact, has_columns, install, program, service, until

TAKEOVER_SECONDS = 90.0
"""The Lease lasts 15 s; the rest is for a machine that has other work."""


@pytest.mark.e2e
def test_a_leader_that_slept_through_its_lease_writes_nothing_when_it_wakes(world: World) -> None:
    """A suspended machine, or a pause of the process: both believe to lead, and what is due to the sleeper is done."""

    async def versions() -> list[str]:
        found = [await world.get(*words) for words in (("service", "web"), ("sharedvip", KEY))]
        return [each["metadata"]["resourceVersion"] for each in found]

    async def story() -> None:
        with program(world) as sleeper:
            try:
                await world.apply(service("web", "80/TCP", namespace=world.namespace))
                await until("it is programmed", lambda: are_ready(world, "web"), seconds=TAKEOVER_SECONDS)
                with program(world) as successor:
                    try:
                        sleeper.send_signal(signal.SIGSTOP)
                        await world.apply(service("web", "80/TCP", "443/TCP", namespace=world.namespace))
                        await until(
                            "the other one leads",
                            lambda: fact(lambda: "pool group~TCP~443" in world.names()),
                            seconds=TAKEOVER_SECONDS,
                        )
                        await until("all is told", lambda: has_columns(world, KEY, "80/TCP,443/TCP", "True"))
                        built, told = world.names(), await versions()
                        world.avi.forget()
                        sleeper.send_signal(signal.SIGCONT)
                        assert await asyncio.to_thread(sleeper.wait, TAKEOVER_SECONDS) == FAILED
                        assert world.avi.calls(writes_only=True) == []
                        assert (world.names(), await versions()) == (built, told)
                        await world.kubectl("delete", "service", "web")
                        await until("nothing is on Avi", lambda: fact(lambda: world.names() == []))
                    finally:
                        successor.terminate()
            finally:
                sleeper.kill()

    world.tell(story)


@pytest.mark.e2e
def test_the_group_follows_whatever_of_the_control_plane_dies(avi: Avi, cluster_name: str, tmp_path: Path) -> None:
    """SIGKILL to the API server, then to etcd, with a change after each; then etcd is gone for longer than the Lease.

    A control plane of its own.
    """
    with LocalCluster(nodes=1, progress=lambda _line: None, directory=tmp_path) as cluster:
        kubeconfig = install(cluster)
        cluster.create_namespace("weather")

        settings = ReconcilerSettings(
            cluster_name=cluster_name,
            avi_controller=avi.running.access.url,
            avi_credentials_directory=avi.credentials(),
            avi_vip_networks=(VipNetwork("net1"),),
            health_host="127.0.0.1",
            health_port=0,
        )
        world = World(cluster, "weather", avi, settings, kubeconfig)

        async def story() -> None:
            async with world.reconciler() as process:
                await world.apply(service("a", "1/TCP", namespace="weather"))
                await until("it is programmed", lambda: are_ready(world, "a"))
                vip = await world.vip("a")
                breaks: list[tuple[str, Callable[[], Awaitable[None]]]] = [
                    ("b", lambda: asyncio.to_thread(cluster.restart_apiserver, kill=True)),
                    ("c", lambda: asyncio.to_thread(cluster.restart_etcd, kill=True)),
                ]
                for name, broken in breaks:
                    await broken()
                    await world.apply(service(name, f"{ord(name)}/TCP", namespace="weather"))
                    await until(f"{name} is programmed", lambda name=name: are_ready(world, name))
                    assert await world.vip(name) == vip
                assert not process.task.done()
                await _etcd_sleeps(world, process)
                assert world.names().count("virtualservice group") == 1
            async with world.reconciler():
                await world.apply(service("d", "100/TCP", namespace="weather"))
                await until("d is programmed", lambda: are_ready(world, "d"), seconds=TAKEOVER_SECONDS)
                assert await world.vip("d") == vip
                await world.kubectl("delete", "service", "a", "b", "c", "d")
                await until("nothing is on Avi", lambda: fact(lambda: world.names() == []))

        world.tell(story)


async def _etcd_sleeps(world: World, process: Process) -> None:
    """For longer than the Lease: nobody can be sure to lead, so the process ends, and nothing is written to Avi."""
    world.avi.forget()
    etcd = world.cluster.processes[ETCD]
    os.killpg(etcd, signal.SIGSTOP)
    try:
        assert await asyncio.wait_for(asyncio.shield(process.task), TAKEOVER_SECONDS) == FAILED
        assert world.avi.calls(writes_only=True) == []
    finally:
        os.killpg(etcd, signal.SIGCONT)
