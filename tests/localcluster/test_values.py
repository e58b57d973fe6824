"""The pure parts: ports, nodes, command lines and files of credentials."""

import ipaddress
import itertools
import ssl
from dataclasses import replace
from pathlib import Path

from localcluster.binaries import Binaries
from localcluster.commands import CONTROLLERS, Layout, api_server_command, controller_manager_command, kwok_command
from localcluster.credentials import User, write_certificates, write_kubeconfig, write_tokens
from localcluster.nodes import is_ready, render_node
from localcluster.ports import free_ports

TAINT = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


def layout(directory: Path) -> Layout:
    """A layout of programs that are not there."""
    names = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "kwok")
    binaries = Binaries({name: Path("/bin") / name for name in names}, (Path("/a.yaml"), Path("/b.yaml")))
    return Layout(directory, binaries, api_server_port=1, etcd_port=2, etcd_peer_port=3)


def test_ports_differ() -> None:
    """A cluster gets as many different ports as it has listeners, none where outgoing connections come from."""
    ports = free_ports(20)

    assert len(set(ports)) == 20
    assert all(20_000 <= port < 32_768 for port in ports)


def test_nodes_do_not_share_addresses() -> None:
    """Node addresses and pod networks of 300 nodes are apart from each other and from the Services' network."""
    nodes = [render_node(number) for number in range(300)]
    addresses = {node["status"]["addresses"][0]["address"] for node in nodes}
    networks = sorted(ipaddress.ip_network(node["spec"]["podCIDR"]) for node in nodes)

    assert len(addresses) == 300
    assert not any(left.overlaps(right) for left, right in itertools.pairwise(networks))
    assert not any(network.overlaps(ipaddress.ip_network("10.96.0.0/16")) for network in networks)


def test_a_node_is_ready_when_pods_can_come() -> None:
    """Ready alone is not enough: a taint keeps pods away."""
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}

    assert is_ready({"spec": {}, "status": ready})
    assert not is_ready({"spec": {"taints": [TAINT]}, "status": ready})
    assert not is_ready({"spec": {}, "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}})
    assert not is_ready(render_node(0))


def test_commands_stay_on_loopback_and_in_the_folder(tmp_path: Path) -> None:
    """The API server listens on loopback, keeps its files in the cluster's folder, and kwok gets every stage."""
    words = api_server_command(layout(tmp_path))

    assert words[0] == "/bin/kube-apiserver"
    assert "--bind-address=127.0.0.1" in words
    assert f"--cert-dir={tmp_path}" in words
    assert f"--controllers={','.join(CONTROLLERS)}" in controller_manager_command(layout(tmp_path))
    assert kwok_command(layout(tmp_path))[-2:] == ("--config=/a.yaml", "--config=/b.yaml")


def test_whoever_runs_a_control_plane_may_set_further_flags(tmp_path: Path) -> None:
    """After ours, so that they win."""
    flags = ("--admission-control-config-file=/admission.yaml",)

    assert api_server_command(replace(layout(tmp_path), api_server_flags=flags))[-1:] == flags


def test_secrets_are_for_their_owner_only(tmp_path: Path) -> None:
    """Whatever proves an identity has mode 0600, also when it replaces a file that had not."""
    (tmp_path / "kubeconfig").touch(mode=0o644)
    write_certificates(tmp_path)
    write_tokens(tmp_path, users=[User("someone", "secret")])
    write_kubeconfig(tmp_path / "kubeconfig", server="https://127.0.0.1:1", ca=tmp_path / "ca.crt", token="secret")  # noqa: S106 - a word for this test

    private = ("server.key", "service-account.key", "tokens.csv", "kubeconfig")
    assert {name: (tmp_path / name).stat().st_mode & 0o777 for name in private} == dict.fromkeys(private, 0o600)


def test_the_certificates_pass_the_strictest_reader(tmp_path: Path) -> None:
    """The authority loads where a verifier wants RFC 5280 to the letter, as Python 3.13 does by default."""
    write_certificates(tmp_path)
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
    context.verify_flags |= ssl.VERIFY_X509_STRICT

    assert [entry["subject"] for entry in context.get_ca_certs()] == [((("commonName", "local cluster authority"),),)]
