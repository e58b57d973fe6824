"""The settings that AKO's operators know, from a file, from variables and in code; what is wrong is told at once."""

from dataclasses import replace
from pathlib import Path

import pytest

from cli.settings import load
from reconciler.networks import NodeNetwork, Selector, VipNetwork
from reconciler.settings import ReconcilerSettings

ROOT = Path(__file__).parents[2]
PREFIX = "SHAREDVIP_RECONCILER_"
GOOD = ReconcilerSettings(
    cluster_name="production-1", avi_controller="avi.example.com", avi_credentials_directory=Path("/avi")
)
FILE = """
cluster_name: c1
avi_controller: avi.example.com
avi_credentials_directory: /avi
avi_vip_networks:
- {name: net1, cidr: 10.0.0.0/24, cidr_v6: "2001:db8::/64"}
- {name: "", uuid: network-7}
avi_node_networks:
- {name: net1, cidrs: [10.1.0.0/24, 10.2.0.0/24]}
avi_enable_rhi: true
avi_bgp_peer_labels: [leaf, spine]
service_type: NodePort
node_port_selector: role=worker
blocked_namespaces: [kube-system, default]
"""
VARIABLES = {
    "cluster_name": "c1",
    "avi_controller": "avi.example.com",
    "avi_credentials_directory": "/avi",
    "avi_vip_networks": "net1=10.0.0.0/24=2001:db8::/64",
    "avi_node_networks": "net1=10.1.0.0/24=10.2.0.0/24",
    "avi_enable_rhi": "true",
    "avi_bgp_peer_labels": "leaf, spine",
    "service_type": "NodePort",
    "node_port_selector": "role=worker",
    "blocked_namespaces": "kube-system,default",
}


def test_a_file_and_variables_say_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists in the one, texts in the others."""
    path = tmp_path / "settings.yaml"
    path.write_text(FILE)
    by_file = load(ReconcilerSettings, prefix=PREFIX, flags={}, file=path)
    for name, text in VARIABLES.items():
        monkeypatch.setenv(PREFIX + name.upper(), text)
    by_variable = load(ReconcilerSettings, prefix=PREFIX, flags={}, file=None)

    for settings in (by_file, by_variable):
        assert settings.avi_vip_networks[0] == VipNetwork("net1", "10.0.0.0/24", "2001:db8::/64")
        assert settings.node_networks == (NodeNetwork("net1", ("10.1.0.0/24", "10.2.0.0/24")),)
        assert settings.peer_labels == ("leaf", "spine")
        assert settings.nodes == Selector("role", "worker")
        assert settings.namespaces is None
        assert settings.blocked == {"kube-system", "default"}
        assert (settings.avi_enable_rhi, settings.service_type) == (True, "NodePort")
    assert by_file.avi_vip_networks[1] == VipNetwork("", uuid="network-7")


def test_all_that_is_wrong_is_told_at_once() -> None:
    """One line each."""
    wrong = replace(
        GOOD,
        avi_vip_networks=(VipNetwork(""),),
        avi_node_networks="=10.0.0.0/24,net2,net3=10.0.0.0/33,net4=10.0.0.0/8,net5=10.0.0.0/8,net6=10.0.0.0/8",
        avi_bgp_peer_labels="leaf",
        node_port_selector="=worker",
    )

    assert list(wrong.problems) == [
        "avi_vip_networks: a network must have a name; for example 'net1'",
        "avi_node_networks: 6 networks; there must be at most 5",
        "avi_node_networks: '' must have a name and a subnet; for example 'net1=10.0.0.0/24'",
        "avi_node_networks: 'net2' must have a name and a subnet; for example 'net1=10.0.0.0/24'",
        "avi_node_networks: '10.0.0.0/33' must be a subnet; for example '10.0.0.0/24'",
        "avi_bgp_peer_labels: 'leaf' must come with avi_enable_rhi: true",
        "node_port_selector: '=worker' must be a label; for example 'key=value'",
    ]


def test_every_field_that_the_page_names_is_a_setting() -> None:
    """``docs/reference/settings-ako.md``: its second column."""
    page = (ROOT / "docs/reference/settings-ako.md").read_text().partition("## Annotations")[0]
    rows = [row.split("|") for row in page.splitlines() if row.startswith("| `")]
    fields = {*ReconcilerSettings.__dataclass_fields__, "is_default_class"}
    named = {word.partition("[")[0] for row in rows for word in row[2].replace(",", " ").replace("`", " ").split()}
    ours = {word for word in named if "_" in word}

    assert ours - {".cidr_v6"} <= fields
    # Everything that AKO has too; the others are ours alone.
    assert {"avi_vip_networks", "service_type", "blocked_namespaces", "avi_auto_fqdn"} <= ours
