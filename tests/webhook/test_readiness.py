"""When a replica is to get no requests; ``test_cut_off.py`` and ``test_server.py`` show it on running ones."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import cast

import pytest

from cluster.services import ServiceCache
from cluster.shared_vip_cache import SharedVipCache
from sharedvip.leaving import LATEST_SECONDS
from sharedvip.model import Policy
from tests.cluster.scripted import ScriptedApi, follow, in_no_time, page
from webhook.clients import Certificate
from webhook.ending import Ending
from webhook.readiness import Readiness
from webhook.settings import WebhookSettings
from webhook.world import World


@pytest.mark.parametrize(
    ("age", "problems"),
    [
        pytest.param(LATEST_SECONDS, (), id="as late as one that decides may be"),
        pytest.param(LATEST_SECONDS + 1, ("what is known of Services is 181 s old",), id="later"),
    ],
)
def test_who_lets_nobody_join_with_an_address_is_not_ready(
    monkeypatch: pytest.MonkeyPatch, age: float, problems: tuple[str, ...]
) -> None:
    """Its siblings may; the API server may still talk to it, of old things."""
    scripts = ScriptedApi([page()]), ScriptedApi([page()])
    services, ledgers = ServiceCache(scripts[0].api), SharedVipCache(scripts[1].api)
    for cache, script in zip((services, ledgers), scripts, strict=True):
        in_no_time(lambda run=cache.run, script=script: follow(run, script))
    world = World(scripts[0].api, services=services, ledgers=ledgers, policy=Policy(), now=lambda: datetime.now(UTC))
    valid = cast("Certificate", SimpleNamespace(faults=tuple))

    monkeypatch.setattr(services.reflector, "age_seconds", lambda: age)
    assert Readiness(world, valid, settings=WebhookSettings(), ending=Ending())() == problems
