"""Licence tiers: what one virtual service may serve, and what those read who cannot be served."""

from collections.abc import Generator
from datetime import timedelta

import pytest

from reconciler.licence import licensed
from sharedvip.ledger import Claim
from tests.builders import listeners, service
from tests.reconciler.controller import START, Avi
from tests.reconciler.options import Scene, controller, play

TCP = service("tcp", "80/TCP", "443/TCP")
UDP = service("udp", "80/UDP")


@pytest.fixture(scope="module", params=["BASIC", "ESSENTIALS"])
def poor(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Avi]:
    """A Controller with less than an Enterprise licence."""
    tier: str = request.param
    with controller(tmp_path_factory.mktemp(tier), licence_tier=tier) as avi:
        yield avi


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Generator[Avi]:
    """A Controller with an Enterprise licence."""
    with controller(tmp_path_factory.mktemp("rich")) as avi:
        yield avi


@pytest.mark.parametrize("protocol", ["TCP", "UDP", "SCTP"])
def test_a_group_of_one_protocol_is_served_without_the_licence(poor: Avi, protocol: str) -> None:
    """AKO's graph is refused: its rules name the protocol, which such a licence does not have."""
    web = service("web", f"80/{protocol}", f"81/{protocol}")

    async def story(scene: Scene) -> None:
        assert await scene.look() == ["POST macro"]
        assert await scene.look() == []
        rules = scene.body("l4policyset")["l4_connection_policy"]["rules"]
        assert [rule["match"] for rule in rules] == [
            {"port": {"match_criteria": "IS_IN", "ports": [port]}} for port in (80, 81)
        ]

    kubernetes = play(poor, story, web)
    assert kubernetes.verdicts[web.name].reason == "Programmed"


def test_who_comes_later_with_another_protocol_reads_why_and_disturbs_nobody(poor: Avi) -> None:
    """The group's first protocol keeps its VIP and follows its endpoints; the newcomer has a condition."""

    async def story(scene: Scene) -> None:
        await scene.look()
        before = scene.kubernetes.vips(TCP)
        scene.kubernetes.admit(UDP, at=START + timedelta(seconds=1))
        assert await scene.look() == []
        assert scene.kubernetes.vips(TCP, UDP) == [*before, ()]
        is_ready, reason, message = scene.verdict(UDP)
        assert (is_ready, reason) == (False, "NotLicensed")
        tier = poor.running.controller.settings.licence_tier
        assert message == (
            f"80/UDP cannot be served beside TCP: the Avi Controller's licence tier {tier} has one protocol per "
            "virtual service; use another sharing key for it, or an Enterprise licence"
        )
        assert scene.message() == message
        scene.kubernetes.endpoint_slices[TCP.name] = ()
        assert await scene.look() == ["PATCH pool", "PATCH pool"]

    play(poor, story, TCP)


def test_all_three_protocols_share_one_virtual_service_with_the_licence(rich: Avi) -> None:
    """One port, three protocols: overrides per service, rules by protocol, a pool and a monitor each."""
    web = service("web", "80/TCP")
    others = service("dns", "80/UDP"), service("sig", "80/SCTP")

    async def story(scene: Scene) -> None:
        assert await scene.look() == ["POST macro"]
        vs = scene.body("virtualservice")
        assert vs["network_profile_ref"] == "System-TCP-Proxy"
        assert [s.get("override_network_profile_ref", "") for s in vs["services"]] == [
            "System-SCTP-Proxy",
            "",
            "System-UDP-Fast-Path",
        ]
        rules = scene.body("l4policyset")["l4_connection_policy"]["rules"]
        told = [(r["match"]["protocol"]["protocol"], r["action"]["select_pool"]["pool_ref"]) for r in rules]
        assert told == [(f"PROTOCOL_{p}", scene.name(f"{p}~80")) for p in ("SCTP", "TCP", "UDP")]
        for protocol in ("SCTP", "TCP", "UDP"):
            assert scene.body("pool", f"{protocol}~80")["health_monitor_refs"] == [f"System-{protocol}"]
        assert await scene.look() == []

    kubernetes = play(rich, story, web, *others)
    assert len(set(kubernetes.vips(web, *others))) == 1


def test_the_first_protocol_is_the_one_that_was_claimed_first() -> None:
    """Not the one that comes first in a list."""
    serving = dict.fromkeys(listeners("80/TCP", "80/UDP", "81/UDP"))
    claims = [
        Claim(listener, "web", "uid", START - timedelta(seconds=number)) for number, listener in enumerate(serving)
    ]

    licence = licensed(serving, claims, tier="BASIC")

    assert licence.protocol == "UDP"
    assert licence.without == {*listeners("80/TCP")}


def test_while_nobody_knows_the_licence_nobody_is_left_out() -> None:
    """A Controller that is away at the start takes no VIP out of a status."""
    serving = dict.fromkeys(listeners("80/TCP", "80/UDP"))

    assert licensed(serving, (), tier="").without == frozenset()
