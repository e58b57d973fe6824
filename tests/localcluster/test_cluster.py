"""The control plane is real, ready when it says so, and gone when it is stopped."""

import json
import os
import signal
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import pytest

from localcluster.cluster import KubectlFailed, LocalCluster
from localcluster.processes import ProcessDied
from localcluster.waiting import wait_until
from tests.localcluster.observe import processes_about

pytestmark = pytest.mark.e2e

NAMES: Final = {"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok"}
START_SECONDS: Final = 60
STOP_SECONDS: Final = 30


@pytest.fixture(scope="module")
def beside() -> Generator[LocalCluster]:
    """A second cluster beside the shared one, which these tests may ill-treat."""
    with LocalCluster(progress=lambda _: None) as running:
        yield running


def get_json(cluster: LocalCluster, *args: str) -> dict[str, Any]:
    """What ``kubectl get`` answers."""
    return json.loads(cluster.run_kubectl("get", *args, "-o", "json").stdout)


def test_nodes_are_ready_at_once(cluster: LocalCluster) -> None:
    """When start returns, pods can be placed: no Node has a taint left."""
    nodes = get_json(cluster, "nodes")["items"]

    assert [node["metadata"]["name"] for node in nodes][:2] == ["kwok-0", "kwok-1"]
    assert all("taints" not in node["spec"] for node in nodes)


def test_a_deployment_gets_pods_and_endpoints(cluster: LocalCluster, namespace: str) -> None:
    """Pods become Ready with an address, and the EndpointSlice of their Service names exactly these."""
    cluster.run_kubectl("create", "deployment", "web", "--image=none", "--replicas=3", f"--namespace={namespace}")
    cluster.run_kubectl("expose", "deployment", "web", "--port=80", f"--namespace={namespace}")
    cluster.run_kubectl("rollout", "status", "deployment/web", "--timeout=20s", f"--namespace={namespace}")
    pods = {pod["status"]["podIP"] for pod in get_json(cluster, "pods", f"--namespace={namespace}")["items"]}

    assert len(pods) == 3
    wait_until(
        lambda: ready_addresses(cluster, namespace) == pods, what="the EndpointSlice has the pods", deadline_seconds=20
    )


def ready_addresses(cluster: LocalCluster, namespace: str) -> set[str]:
    """The ready addresses in the namespace's EndpointSlices."""
    slices = get_json(cluster, "endpointslices", f"--namespace={namespace}")["items"]
    endpoints: list[dict[str, Any]] = []
    for one in slices:
        endpoints.extend(one["endpoints"] or [])
    return {address for endpoint in endpoints if endpoint["conditions"]["ready"] for address in endpoint["addresses"]}


def test_a_bare_pod_runs_in_a_fresh_namespace(cluster: LocalCluster, namespace: str) -> None:
    """The namespace's service account is there already, so nothing refuses the pod."""
    cluster.run_kubectl("run", "alone", "--image=none", f"--namespace={namespace}")
    cluster.run_kubectl("wait", "pod/alone", "--for=condition=Ready", "--timeout=20s", f"--namespace={namespace}")


def test_a_deleted_namespace_goes_away(cluster: LocalCluster) -> None:
    """The namespace controller removes what is in it, then the namespace."""
    cluster.create_namespace("short-lived")
    cluster.run_kubectl("create", "configmap", "note", "--namespace=short-lived")
    cluster.run_kubectl("delete", "namespace", "short-lived", "--timeout=20s")

    assert cluster.run_kubectl("get", "namespace", "short-lived", check=False).returncode == 1


def test_a_service_account_is_itself(cluster: LocalCluster, namespace: str) -> None:
    """Its kubeconfig carries its identity and its namespace, may do no more than RBAC says, and is private."""
    kubeconfig = cluster.service_account_kubeconfig(namespace, "default")
    told = cluster.run_kubectl("auth", "whoami", "-o", "json", kubeconfig=kubeconfig).stdout

    assert json.loads(told)["status"]["userInfo"]["username"] == f"system:serviceaccount:{namespace}:default"
    with pytest.raises(
        KubectlFailed, match=f'cannot list resource "pods" in API group "" in the namespace "{namespace}"'
    ):
        cluster.run_kubectl("get", "pods", kubeconfig=kubeconfig)
    assert kubeconfig.stat().st_mode & 0o777 == 0o600
    assert cluster.directory.stat().st_mode & 0o777 == 0o700


def test_the_server_proves_itself(cluster: LocalCluster) -> None:
    """The CA file verifies the API server by the strictest rules; its version is the pinned one."""
    context = ssl.create_default_context(cafile=str(cluster.ca))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    with urllib.request.urlopen(f"{cluster.server}/version", context=context, timeout=10) as reply:  # noqa: S310 - https
        version = json.load(reply)["gitVersion"]

    assert version == "v1.36.3"


def test_kubectl_tells_why(cluster: LocalCluster) -> None:
    """A failed command raises with kubectl's words; without check it is only returned; a late one is ended."""
    with pytest.raises(KubectlFailed, match=r"^kubectl get nothing: error: the server doesn't have a resource type"):
        cluster.run_kubectl("get", "nothing")
    assert cluster.run_kubectl("get", "nothing", check=False).returncode == 1
    with pytest.raises(KubectlFailed, match=r"^kubectl get nodes --watch: not done within 0\.5 s$"):
        cluster.run_kubectl("get", "nodes", "--watch", deadline_seconds=0.5)


def test_kubectl_reads_what_it_is_given(cluster: LocalCluster, namespace: str) -> None:
    """A manifest goes in by stdin."""
    manifest = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "note"}})
    cluster.run_kubectl("create", f"--namespace={namespace}", "-f", "-", input=manifest)

    assert get_json(cluster, "configmap", "note", f"--namespace={namespace}")["metadata"]["name"] == "note"


def test_two_clusters_do_not_meet(cluster: LocalCluster, beside: LocalCluster, namespace: str) -> None:
    """They share no port, no folder, no process and no object."""
    assert cluster.server != beside.server
    assert cluster.directory != beside.directory
    assert set(cluster.processes) == set(beside.processes) == NAMES
    assert not set(cluster.processes.values()) & set(beside.processes.values())
    assert beside.run_kubectl("get", "namespace", namespace, check=False).returncode == 1


@pytest.mark.parametrize(
    ("name", "kill"),
    [
        pytest.param("kube-apiserver", False, id="a stopped API server"),
        pytest.param("kube-apiserver", True, id="a killed API server"),
        pytest.param("etcd", True, id="a killed etcd"),
    ],
)
def test_a_restart_keeps_the_objects(beside: LocalCluster, name: str, kill: bool) -> None:  # noqa: FBT001 - a table's column
    """After the restart of the API server or of etcd, at the same address, what was stored is there."""
    note = f"note-{name}-{kill}".lower()
    beside.run_kubectl("create", "configmap", note)
    before = dict(beside.processes)
    (beside.restart_apiserver if name == "kube-apiserver" else beside.restart_etcd)(kill=kill)

    assert get_json(beside, "configmap", note)["metadata"]["name"] == note
    changed = {process for process in NAMES if beside.processes[process] != before[process]}
    assert changed == {name}


def test_nodes_can_be_added(beside: LocalCluster) -> None:
    """New Nodes continue the numbers and are ready when the call returns."""
    before = len(get_json(beside, "nodes")["items"])
    beside.add_nodes(2)
    names = {node["metadata"]["name"] for node in get_json(beside, "nodes")["items"]}

    assert names == {f"kwok-{number}" for number in range(before + 2)}


def test_what_is_not_started_is_left_alone() -> None:
    """Stopping it is no mistake; asking for its server is."""
    cluster = LocalCluster(progress=lambda _: None)
    cluster.stop()

    with pytest.raises(RuntimeError, match=r"^this cluster is not started$"):
        _ = cluster.server


def test_a_cluster_is_started_once(beside: LocalCluster) -> None:
    """A second start would forget the first one's processes."""
    with pytest.raises(RuntimeError, match=r"^this cluster is already started$"):
        beside.start()


@pytest.mark.parametrize(
    ("words", "attempts"),
    [
        pytest.param("no API today", 1, id="for a reason that would come again"),
        pytest.param("bind: address already in use", 3, id="because somebody takes each port"),
    ],
)
def test_a_failed_start_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, attempts: int
) -> None:
    """The error has the program's words, nothing stays; other ports are tried only if that may help."""
    assets = tmp_path / "assets"
    assets.mkdir()
    (assets / "kube-apiserver").write_text(f"#!/bin/sh\necho $1 >> {assets}/started\necho {words}\nexit 7\n")
    (assets / "kube-apiserver").chmod(0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    with pytest.raises(ProcessDied, match=f"^kube-apiserver ended with 7; the end of its log:\n{words}$"):
        LocalCluster(progress=lambda _: None, directory=tmp_path / "clusters").start()

    etcds = (assets / "started").read_text().splitlines()
    assert len(etcds) == len(set(etcds)) == attempts
    assert processes_about(str(tmp_path)) == []
    assert list((tmp_path / "clusters").iterdir()) == []


def start_up(directory: Path) -> subprocess.Popen[str]:
    """``python -m localcluster up`` in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-m", "localcluster", "up", "--directory", str(directory)]
    return subprocess.Popen(  # noqa: S603 - our own words
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize(
    ("number", "awaited"),
    [
        pytest.param(signal.SIGINT, "kubeconfig", id="Ctrl-C when it is up"),
        pytest.param(signal.SIGTERM, "*/kube-apiserver.log", id="SIGTERM in the middle of the start"),
    ],
)
def test_a_signal_leaves_nothing(tmp_path: Path, number: signal.Signals, awaited: str) -> None:
    """The command stops everything and removes its kubeconfig and folder, whenever the signal comes."""
    with start_up(tmp_path) as command:
        wait_until(lambda: bool(list(tmp_path.glob(awaited))), what=awaited, deadline_seconds=START_SECONDS)
        command.send_signal(number)
        _, words = command.communicate(timeout=STOP_SECONDS)

    assert (command.returncode, words.splitlines()[-1]) == (130, "localcluster: stopped")
    assert processes_about(str(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a child ask to die with its parent")
def test_a_killed_command_leaves_no_process(tmp_path: Path) -> None:
    """After SIGKILL only files stay; the kernel ends every process."""
    with start_up(tmp_path) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == f"KUBECONFIG={tmp_path / 'kubeconfig'}\n"
        assert len(processes_about(str(tmp_path))) == len(NAMES) + 1
        command.kill()

    wait_until(lambda: processes_about(str(tmp_path)) == [], what="all are gone", deadline_seconds=10)
