"""The whole reconciler on a real API server and a simulated Avi Controller: what users see, from first to last."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.run import FAILED, STOPPED, WRONG_SETTINGS, run
from reconciler.settings import ReconcilerSettings
from sharedvip.annotations import L4_RULE, SHARED_VIP
from simulator.faults import Fault
from tests.builders import KEY, service_object
from tests.reconciler.live import (
    DEADLINE_SECONDS,
    World,
    are_ready,
    fact,
    has_columns,
    has_event,
    has_reason,
    is_claimed,
    is_left_alone,
    no_address,
    no_ledger,
    service,
    until,
    workload,
)

_ROOT = Path(__file__).parents[2]


@pytest.mark.e2e
def test_two_services_share_a_vip_from_their_first_day_to_their_last(world: World) -> None:
    """They came past admission; all that users do to them shows in Kubernetes and on Avi, with the rights we ship."""

    async def story() -> None:
        lb1, lb2 = "sharedvip-avisvc-lb1", "sharedvip-avisvc-lb2"
        ours = {
            name: service(name, port, namespace=world.namespace) for name, port in ((lb1, "80/TCP"), (lb2, "80/UDP"))
        }
        async with world.reconciler() as process:
            await world.apply(workload("avi-server", replicas=2), *ours.values())
            await until("both are programmed", lambda: are_ready(world, lb1, lb2))
            vip = await world.vip(lb1)
            assert vip == await world.vip(lb2)
            assert world.avi.calls(writes_only=True).count("POST macro") == 1
            await until(
                "the pods are servers",
                lambda: fact(lambda: (world.servers("TCP~80"), world.servers("UDP~80")) == (2, 2)),
            )
            await until(
                "the columns tell", lambda: has_columns(world, KEY, vip, f"{lb1},{lb2}", "80/TCP,80/UDP", "True")
            )
            await world.kubectl("scale", "deployment", "avi-server", "--replicas=3")
            await until("three servers", lambda: fact(lambda: world.servers("TCP~80") == 3))

            await world.apply(service("late", "80/TCP", namespace=world.namespace))
            await until("the newcomer is refused", lambda: has_reason(world, "late", "Conflict"))
            assert "80/TCP is already served on shared VIP" in (await world.condition("late"))["message"]
            assert await world.vip("late") == ""
            assert (await world.vip(lb1), await world.reason(lb1)) == (vip, "Programmed")
            await until("an Event says so", lambda: has_event(world, "late", "Conflict"))

            await world.kubectl("annotate", "service", lb2, f"{SHARED_VIP}-")
            await until("the leaver has nothing of ours", lambda: is_left_alone(world, lb2))
            await until("its pool is gone", lambda: fact(lambda: "pool group~UDP~80" not in world.names()))
            assert await world.vip(lb1) == vip

            await world.kubectl("delete", "service", lb1, lb2)
            await until("the newcomer's turn has come", lambda: has_reason(world, "late", "Programmed"))
            await world.kubectl("delete", "service", "late")
            await until("nothing is on Avi", lambda: fact(lambda: world.names() == []))
            await until("no ledger", lambda: no_ledger(world))
            process.stop.set()
            assert await process.task == STOPPED
        lease = json.loads(
            (
                await asyncio.to_thread(
                    world.cluster.run_kubectl,
                    "get",
                    "lease",
                    "sharedvip-reconciler",
                    "--namespace=sharedvip-system",
                    "--output=json",
                )
            ).stdout
        )
        assert not lease["spec"].get("holderIdentity")

    world.tell(story)


@pytest.mark.e2e
def test_a_value_that_no_ledger_can_hold_is_told(world: World) -> None:
    """It came past admission, which says the same; nothing fails again and again, and what is put right joins."""

    async def story() -> None:
        async with world.reconciler():
            await world.apply(dict(service_object("web", namespace=world.namespace, annotations={L4_RULE: "x" * 300})))
            await until("it is refused", lambda: has_reason(world, "web", "Conflict"))
            said = (await world.condition("web"))["message"]
            assert said.startswith(
                f"metadata.annotations[{L4_RULE}]: cannot be recorded for shared VIP '{KEY}': Too long"
            )
            await world.apply(dict(service_object("web", namespace=world.namespace)))
            await until("it is served", lambda: has_reason(world, "web", "Programmed"))
            await world.kubectl("delete", "service", "web")
            await until("no ledger", lambda: no_ledger(world))

    world.tell(story)


@pytest.mark.e2e
def test_a_static_address_is_locked_for_its_group(world: World) -> None:
    """Another group of the cluster that wants it is told who has it; when it is free, it gets it."""

    async def story() -> None:
        address = "100.64.220.9"
        first = service("first", namespace=world.namespace)
        first["spec"]["loadBalancerIP"] = address
        second = dict(
            service_object("second", key="other-key", namespace=world.namespace, spec={"loadBalancerIP": address})
        )
        async with world.reconciler():
            await world.apply(first)
            await until("the first has it", lambda: has_reason(world, "first", "Programmed"))
            assert await world.vip("first") == address
            holder = (await world.get("ipaddress", address))["spec"]["parentRef"]
            assert (holder["resource"], holder["namespace"], holder["name"]) == ("sharedvips", world.namespace, KEY)
            await world.apply(second)
            await until("the second is refused", lambda: has_reason(world, "second", "Conflict"))
            await world.kubectl("delete", "service", "first", "second")
            await until("the lock is gone", lambda: no_address(world, address))

    world.tell(story)


@pytest.mark.e2e
def test_a_namespace_goes_without_hanging_on_our_finalizer(world: World) -> None:
    """All at once: Services, SharedVIP, what is on Avi; and the lock, which is in no namespace."""

    async def story() -> None:
        address, doomed = "100.64.220.10", f"{world.namespace}-doomed"
        there = replace(world, namespace=doomed)
        await asyncio.to_thread(world.cluster.create_namespace, doomed)
        static = {"loadBalancerIP": address}
        members = [
            dict(service_object(n, p, namespace=doomed, spec=static)) for n, p in (("a", "1/TCP"), ("b", "2/TCP"))
        ]
        async with world.reconciler():
            await there.apply(*members)
            await until("both are programmed", lambda: are_ready(there, "a", "b"))
            await world.kubectl("delete", "namespace", doomed, "--timeout=30s")
            await until("nothing is on Avi", lambda: fact(lambda: world.names() == []))
            await until("the lock is gone", lambda: no_address(world, address))

    world.tell(story)


@pytest.mark.e2e
def test_the_standby_takes_over_and_writes_nothing_twice(world: World) -> None:
    """An orderly end hands over at once; the new leader finds everything as it should be."""

    async def story() -> None:
        async with world.reconciler() as leader:
            await world.apply(workload("avi-server", replicas=1), service("web", namespace=world.namespace))
            await until(
                "it is programmed", lambda: fact(lambda: len(world.names()) == 4 and world.servers("TCP~80") == 1)
            )
            settings = replace(world.settings, avi_credentials_directory=world.avi.credentials())
            async with world.reconciler(settings) as successor:
                leader.stop.set()
                assert await leader.task == STOPPED
                world.avi.forget()
                await world.kubectl("scale", "deployment", "avi-server", "--replicas=2")
                await until("the standby follows", lambda: fact(lambda: world.servers("TCP~80") == 2))
                writes = world.avi.calls(writes_only=True)
                assert set(writes) == {"PATCH pool"}
                await world.kubectl("delete", "service", "web")
                await until("nothing is on Avi", lambda: fact(lambda: world.names() == []))
                assert not successor.task.done()

    world.tell(story)


@pytest.mark.e2e
def test_who_loses_the_lease_ends_with_an_error(world: World) -> None:
    """Somebody else is written into it: no write of ours follows, and a new process begins as a standby."""

    async def story() -> None:
        async with world.reconciler() as process:
            await world.apply(service("web", namespace=world.namespace))
            await until("it leads", lambda: has_reason(world, "web", "Programmed"))
            patch = json.dumps({"spec": {"holderIdentity": "thief", "leaseDurationSeconds": 1}})
            await asyncio.to_thread(
                world.cluster.run_kubectl,
                "patch",
                "lease",
                "sharedvip-reconciler",
                "--namespace=sharedvip-system",
                "--type=merge",
                f"--patch={patch}",
            )
            assert await asyncio.wait_for(process.task, DEADLINE_SECONDS) == FAILED
        async with world.reconciler():
            await world.kubectl("delete", "service", "web")
            await until("the next leader clears up", lambda: fact(lambda: world.names() == []))

    world.tell(story)


@pytest.mark.e2e
def test_guard_mode_keeps_the_ledger_and_leaves_status_and_avi_alone(world: World) -> None:
    """AKO programs Avi and owns the statuses; we claim for who is there, and warn who does not fit."""

    async def story() -> None:
        guard = replace(world.settings, mode="guard", avi_credentials_directory=None)
        async with world.reconciler(guard):
            await world.apply(service("web", namespace=world.namespace))
            await until("it is claimed", lambda: is_claimed(world, "web"))
            await world.apply(service("late", namespace=world.namespace))
            await until("an Event warns", lambda: has_event(world, "late", "Conflict"))
            for name in ("web", "late"):
                assert (await world.get("service", name))["status"] == {"loadBalancer": {}}
            ako = json.dumps({"status": {"loadBalancer": {"ingress": [{"ip": "10.9.8.7"}]}}})
            await world.kubectl("patch", "service", "web", "--subresource=status", "--type=merge", f"--patch={ako}")
            await until("the ledger knows the VIP", lambda: has_columns(world, KEY, "10.9.8.7", "web", "True"))
            await world.kubectl("delete", "service", "web", "late")
            await until("no ledger", lambda: no_ledger(world))
        assert world.avi.calls() == []

    world.tell(story)


@pytest.mark.e2e
def test_a_controller_that_is_away_at_the_start_ends_nothing(world: World) -> None:
    """The ledger is kept, the condition says what is wrong, and when it comes everything is built without an event."""

    async def story() -> None:
        world.avi.running.faults.set(Fault(action="status", path="/login", body={"error": "INITIALIZING"}, times=0))
        async with world.reconciler() as process:
            await world.apply(service("web", namespace=world.namespace))
            await until("the condition tells", lambda: has_reason(world, "web", "ControllerUnavailable"))
            assert "INITIALIZING" in (await world.condition("web"))["message"]
            assert await is_claimed(world, "web")
            world.avi.running.faults.clear()
            await until("it is built", lambda: has_reason(world, "web", "Programmed"))
            await world.kubectl("delete", "service", "web")
            await until("nothing is on Avi", lambda: fact(lambda: world.names() == []))
            assert not process.task.done()

    world.tell(story)


@pytest.mark.e2e
def test_an_address_that_another_wrote_into_a_status_is_left_to_it(world: World) -> None:
    """An Event and our condition name the owner; when the address is taken out, ours comes by itself."""

    async def story() -> None:
        await world.apply(service("web", namespace=world.namespace))
        ako = json.dumps({"status": {"loadBalancer": {"ingress": [{"ip": "10.9.8.7"}]}}})
        whose = ("--subresource=status", "--type=merge", "--field-manager=ako", f"--patch={ako}")
        await world.kubectl("patch", "service", "web", *whose)
        async with world.reconciler():
            await until("an Event tells", lambda: has_event(world, "web", "StatusOwnedByOther"))
            await until("and the condition", lambda: has_reason(world, "web", "StatusOwnedByOther"))
            assert (await world.condition("web"))["status"] == "False"
            assert await world.vip("web") == "10.9.8.7"
            gone = json.dumps({"status": {"loadBalancer": None}})
            await world.kubectl("patch", "service", "web", *whose[:2], "--field-manager=hand", f"--patch={gone}")
            await until("it is ours when the other let go", lambda: has_reason(world, "web", "Programmed"))
            assert await world.vip("web") not in {"", "10.9.8.7"}
            await world.kubectl("delete", "service", "web")
            await until("no ledger", lambda: no_ledger(world))

    world.tell(story)


@pytest.mark.e2e
def test_the_process_serves_its_health_and_ends_by_sigterm(world: World, tmp_path: Path) -> None:
    """Ready as soon as it has synced, metrics in Prometheus' format, exit code 0."""
    script = tmp_path / "main.py"
    script.write_text(
        "import asyncio, pathlib, sys\n"
        "from reconciler.run import run\n"
        "from reconciler.settings import ReconcilerSettings\n"
        "settings = ReconcilerSettings(cluster_name='c', mode='guard', health_host='127.0.0.1', health_port=0)\n"
        "sys.exit(asyncio.run(run(settings, kubeconfig=pathlib.Path(sys.argv[1]))))\n"
    )
    environment = {"PYTHONPATH": str(_ROOT), "PATH": os.environ["PATH"], "NO_COLOR": "1"}
    with subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, "-u", str(script), str(world.kubeconfig)], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        port = next(line for line in process.stdout if "health.listening" in line).rpartition("port=")[2].strip()
        next(line for line in process.stdout if "lease.acquired" in line)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        told = {
            path: direct.open(f"http://127.0.0.1:{port}/{path}").read().decode()
            for path in ("livez", "readyz", "metrics")
        }
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        assert process.wait(DEADLINE_SECONDS) == STOPPED
    assert (told["livez"], told["readyz"]) == ("ok", "ok")
    assert "sharedvip_reconciler_queue_depth" in told["metrics"]
    assert "sharedvip_cache_objects" in told["metrics"]


def test_wrong_settings_end_before_anything_begins() -> None:
    """All of them are told at once, and nobody is asked."""
    settings = ReconcilerSettings(cluster_name="no good", workers=0)

    assert asyncio.run(run(settings, kubeconfig=Path("nowhere"))) == WRONG_SETTINGS


def test_a_kubeconfig_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """And no traceback."""
    settings = ReconcilerSettings(cluster_name="c", mode="guard", health_port=0)

    assert asyncio.run(run(settings, kubeconfig=tmp_path / "nowhere")) == FAILED
