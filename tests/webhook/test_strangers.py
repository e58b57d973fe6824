"""Whoever reaches the port and is no API server can have nothing done in our name that an API server would not ask."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

import pytest

from cluster.api import KubernetesApi
from cluster.ip_addresses import AddressLocks
from cluster.services import ServiceCache
from cluster.shared_vip_cache import SharedVipCache
from cluster.shared_vips import SharedVipStore
from sharedvip.model import Policy, ServiceName, ServiceView
from tests.builders import NAMESPACE, service
from webhook.admission import Admission
from webhook.claiming import Claiming
from webhook.review import BadReviewError
from webhook.view import Asked
from webhook.world import World

NO_API = cast("KubernetesApi", None)


def _now() -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC)


def admission() -> Admission:
    """One that must ask nobody."""
    services, ledgers = ServiceCache(NO_API), SharedVipCache(NO_API)
    world = World(NO_API, services=services, ledgers=ledgers, policy=Policy(), now=_now)
    return Admission(world, Claiming(world, store=SharedVipStore(NO_API), locks=AddressLocks(NO_API), now=_now))


@pytest.mark.parametrize(
    "stranger",
    [
        pytest.param(service("\0" * 100_000), id="a name of 100,000 NULs"),
        pytest.param(service("web/../x"), id="a name that is a path"),
        pytest.param(service("web", uid="u" * 129), id="a uid longer than a field manager"),
        pytest.param(replace(service("web"), name=ServiceName("..", "web")), id="a namespace that is a path"),
    ],
)
def test_what_no_api_server_sends_is_asked_of_no_api_server(stranger: ServiceView) -> None:
    """The fuzzer's name of NULs became a field manager, whose refusal cost kube-apiserver 23 GB: it was killed."""
    with pytest.raises(BadReviewError, match=r"^request\.object is not a Service: "):
        asyncio.run(admission().validate(Asked(stranger, None)))


def test_what_needs_no_ledger_is_answered_all_the_same() -> None:
    """It is the API server's to refuse such names."""
    stranger = service("\0", key=None, namespace=NAMESPACE)

    assert asyncio.run(admission().validate(Asked(stranger, None))).denials == ()


@pytest.mark.parametrize("is_old", [False, True])
def test_nor_is_it_where_a_service_leaves(*, is_old: bool) -> None:
    """Who came past admission is claimed for first, with its uid as part of the field manager."""
    old = service("web", load_balancer_ip="10.0.0.1")
    stranger = replace(old, uid="\0" * 100_000)
    asked = Asked(replace(old if is_old else stranger, sharing_key=None), stranger if is_old else old)
    field = "oldObject" if is_old else "object"

    with pytest.raises(BadReviewError, match=rf"^request\.{field} is not a Service: "):
        asyncio.run(admission().validate(asked))
