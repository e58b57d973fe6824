"""Settings by flag, environment and file; all that is wrong is told at once."""

from pathlib import Path

import pytest

from cli.settings import SettingsError, load
from reconciler.settings import ReconcilerSettings, VipNetwork
from webhook.settings import POOL_SECONDS, WebhookSettings

WEBHOOK = "SHAREDVIP_WEBHOOK_"
RECONCILER = "SHAREDVIP_RECONCILER_"


def test_a_flag_wins_over_the_environment_and_that_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three ways to say three ports."""
    file = tmp_path / "settings.yaml"
    file.write_text("port: 1\nhealth_port: 2\nbody_limit_bytes: 3\n")
    monkeypatch.setenv("SHAREDVIP_WEBHOOK_HEALTH_PORT", "20")
    monkeypatch.setenv("SHAREDVIP_WEBHOOK_PORT", "10")

    settings = load(WebhookSettings, prefix=WEBHOOK, flags={"port": 100, "host": None}, file=file)

    assert (settings.port, settings.health_port, settings.body_limit_bytes) == (100, 20, 3)
    assert settings.host == WebhookSettings().host


def test_the_policy_is_two_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """As flags they stand beside the others; as a value they are one."""
    monkeypatch.setenv("SHAREDVIP_WEBHOOK_IS_DEFAULT_CLASS", "false")

    settings = load(WebhookSettings, prefix=WEBHOOK, flags={"load_balancer_class": "mine/lb"}, file=None)

    assert (settings.policy.load_balancer_class, settings.policy.is_default_class) == ("mine/lb", False)


def test_a_list_is_words_with_commas_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a repeated flag, which wins."""
    monkeypatch.setenv("SHAREDVIP_WEBHOOK_CLIENT_NAMES", "kube-apiserver, other")
    monkeypatch.setenv("SHAREDVIP_WEBHOOK_CLIENT_CA", "/ca.crt")

    def names(**flags: object) -> tuple[str, ...]:
        return load(WebhookSettings, prefix=WEBHOOK, flags=flags, file=None).client_names

    assert names() == ("kube-apiserver", "other")
    assert names(client_names=["me"]) == ("me",)


def test_connections_are_kept_longer_than_the_api_server_keeps_them() -> None:
    """It must be its turn to close: it would use one that we just closed, and that call would fail."""
    assert WebhookSettings().keep_alive_seconds > POOL_SECONDS
    assert WebhookSettings(keep_alive_seconds=POOL_SECONDS).problems == (
        "keep_alive_seconds: 90 must be more than the API server's 90; for example 120",
    )


def test_names_without_an_authority_compare_nothing() -> None:
    """Whoever sets them believes that they protect something."""
    assert WebhookSettings(client_names=("kube-apiserver",)).problems == (
        "client_names: nothing is compared without client_ca; for example /etc/sharedvip/client-ca/ca.crt",
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param(["net1"], (VipNetwork("net1"),), id="a name"),
        pytest.param(["net1=10.0.0.0/24"], (VipNetwork("net1", "10.0.0.0/24"),), id="with its subnet"),
        pytest.param(
            ["net1=10.0.0.0/24=2001:db8::/64"], (VipNetwork("net1", "10.0.0.0/24", "2001:db8::/64"),), id="dual stack"
        ),
        pytest.param("net1, net2", (VipNetwork("net1"), VipNetwork("net2")), id="several, as the environment has them"),
        pytest.param(
            [{"name": "net1", "cidr": "10.0.0.0/24"}], (VipNetwork("net1", "10.0.0.0/24"),), id="as a file has them"
        ),
    ],
)
def test_networks_in_words(words: object, expected: tuple[VipNetwork, ...]) -> None:
    """``--avi-vip-network``."""
    flags = {"mode": "guard", "cluster_name": "c", "avi_vip_networks": words}

    assert load(ReconcilerSettings, prefix=RECONCILER, flags=flags, file=None).avi_vip_networks == expected


def test_all_that_is_wrong_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be read, and what can be read and makes no sense."""
    monkeypatch.setenv("SHAREDVIP_WEBHOOK_DRAIN_SECONDS", "soon")

    with pytest.raises(SettingsError) as caught:
        load(WebhookSettings, prefix=WEBHOOK, flags={"port": 99999, "in_flight_limit": 0}, file=None)

    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "drain_seconds",
        "port",
        "in_flight_limit",
    ]
    assert "'soon' is wrong" in caught.value.problems[0]


def test_a_missing_setting_is_told() -> None:
    """The reconciler cannot guess the cluster's name."""
    with pytest.raises(SettingsError) as caught:
        load(ReconcilerSettings, prefix=RECONCILER, flags={"mode": "guard"}, file=None)

    assert caught.value.problems == ("cluster_name: must be set",)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param("prot: 1\n", "has 'prot', which is no setting", id="an unknown setting"),
        pytest.param("- 1\n", "must hold 'setting: value' lines", id="a list"),
        pytest.param("a: [\n", "cannot be read", id="no YAML"),
        pytest.param(None, "cannot be read", id="no file"),
    ],
)
def test_a_wrong_file_is_told(tmp_path: Path, content: str | None, expected: str) -> None:
    """With its name."""
    file = tmp_path / "settings.yaml"
    if content is not None:
        file.write_text(content)

    with pytest.raises(SettingsError) as caught:
        load(WebhookSettings, prefix=WEBHOOK, flags={}, file=file)

    assert expected in str(caught.value)
    assert str(file) in str(caught.value)
