"""An update that changes nothing that is judged gets the answer of the last one, as long as that is still right."""

import gc
import json
from datetime import UTC, datetime
from typing import Any, cast

import msgspec
import pytest

from cluster.api import KubernetesApi
from cluster.ip_addresses import AddressLocks
from cluster.reflector import ObjectName
from cluster.services import ServiceCache
from cluster.shared_vip_cache import SharedVipCache
from cluster.shared_vips import SharedVipStore
from sharedvip.annotations import LOAD_BALANCER_IP, SHARED_VIP
from sharedvip.model import Policy, ServiceView
from sharedvip.parse import ServiceObject, parse_service
from tests.builders import GROUP, KEY, service_object
from webhook import standing
from webhook.admission import Admission, parse_asked
from webhook.answer import Answer
from webhook.claiming import Claiming
from webhook.review import AdmissionRequest, parse_review
from webhook.view import View
from webhook.world import World

PORT: dict[str, object] = {"name": "tcp-80", "port": 80, "protocol": "TCP", "targetPort": 8080}
NO_API = cast("KubernetesApi", None)
"""What nobody asks here: updates that change nothing are answered from the caches."""


def stored(name: str, *ports: str, **spec: object) -> ServiceObject:
    """A Service as the API server stores it."""
    found = service_object(name, *ports, spec=spec)
    cast("dict[str, Any]", found)["metadata"]["uid"] = f"uid-of-{name}"
    return found


def update(old: ServiceObject, new: ServiceObject | None = None, **metadata: object) -> AdmissionRequest:
    """An update to ``new``, or of the metadata alone."""
    changed = json.loads(json.dumps(new if new is not None else old))
    changed["metadata"] |= metadata
    request = {
        "uid": "7",
        "kind": {"group": "", "version": "v1", "kind": "Service"},
        "operation": "UPDATE",
        "name": changed["metadata"]["name"],
        "namespace": changed["metadata"]["namespace"],
        "object": changed,
        "oldObject": old,
    }
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    return parse_review(json.dumps(review).encode())


class Desk:
    """Admission over caches that the test fills."""

    def __init__(self) -> None:
        """Empty caches."""
        self.services, ledgers = ServiceCache(NO_API), SharedVipCache(NO_API)
        world = World(NO_API, services=self.services, ledgers=ledgers, policy=Policy(), now=_now)
        claiming = Claiming(world, store=SharedVipStore(NO_API), locks=AddressLocks(NO_API), now=_now)
        self.admission = Admission(world, claiming)

    def observe(self, *services: ServiceObject) -> None:
        """The watch tells of these."""
        for service in services:
            view = parse_service(service)
            self.services.reflector._put(ObjectName(*view.name), view)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - a watch is another test's subject

    async def decide(self, request: AdmissionRequest) -> Answer:
        """Decide and remember, as the endpoint does."""
        asked = parse_asked(request)
        assert not isinstance(asked, str)
        answer = await self.admission.validate(asked)
        self.admission.standing.keep(request, asked, answer)
        return answer

    def find(self, request: AdmissionRequest) -> Answer | None:
        """What is remembered."""
        return self.admission.standing.find(request)


def is_kept(members: tuple[ServiceView, ...]) -> bool:
    """Whether a view of the group with these members is in memory."""
    return any(isinstance(one, View) for one in gc.get_referrers(members))


def _now() -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC)


def decided(desk: Desk, request: AdmissionRequest) -> Answer:
    """Decide without a loop: what is decided from the caches never waits."""
    work = desk.decide(request)
    with pytest.raises(StopIteration) as done:
        work.send(None)
    return done.value.value


def test_the_second_update_gets_the_answer_of_the_first() -> None:
    """With the warning that the conflict is still there, whatever label changes."""
    desk = Desk()
    web, api = stored("web", "80/TCP"), stored("api", "80/TCP")
    desk.observe(web, api)
    first = decided(desk, update(web, labels={"team": "a"}))

    found = desk.find(update(web, labels={"team": "b"}))

    assert any("still in conflict" in line for line in first.warnings)
    assert found == first


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"selector": {"app": "green"}}, id="another selector"),
        pytest.param({"ports": [{**PORT, "targetPort": "web"}]}, id="another target port"),
        pytest.param({"internalTrafficPolicy": "Local"}, id="what we never read"),
    ],
)
def test_so_does_one_that_changes_what_is_not_judged(change: dict[str, object]) -> None:
    """Whichever of the two came first: no rule reads it."""
    desk = Desk()
    web, api = stored("web", "80/TCP"), stored("api", "80/TCP")
    new = stored("web", "80/TCP", **change)
    desk.observe(web, api)
    first = decided(desk, update(web, labels={"team": "a"}))

    assert any("still in conflict" in line for line in first.warnings)
    assert desk.find(update(web, new)) == desk.find(update(new)) == desk.find(update(new, web)) == first


def test_kubectl_s_own_note_changes_no_answer() -> None:
    """``kubectl apply`` writes the whole manifest into it."""
    desk = Desk()
    web = stored("web", "80/TCP")
    notes = {SHARED_VIP: KEY, "kubectl.kubernetes.io/last-applied-configuration": "{}"}
    desk.observe(web)
    first = decided(desk, update(web, annotations=notes))

    assert desk.find(update(web)) == desk.find(update(web, annotations=notes)) == first
    assert desk.find(update(web, annotations={**notes, LOAD_BALANCER_IP: "10.0.0.1"})) is None


def test_a_port_that_is_none_has_no_answer_of_another() -> None:
    """Python's hash of a number is no secret: that of this one is 80."""
    desk = Desk()
    web = stored("web", "80/TCP")
    desk.observe(web)
    decided(desk, update(web))

    assert desk.find(update(stored("web", "80/TCP", ports=[{**PORT, "port": 80 + 2**61 - 1}]))) is None


def test_what_cannot_be_read_is_told_so() -> None:
    """A target port is no matter, and a Service with ``true`` for one is none all the same."""
    desk = Desk()
    web = stored("web", "80/TCP")
    desk.observe(web)
    decided(desk, update(web))

    assert desk.find(update(web, stored("web", "80/TCP", ports=[{**PORT, "targetPort": True}]))) is None


def test_it_is_forgotten_when_the_group_changes() -> None:
    """The conflict is over as soon as the other Service is told to have moved."""
    desk = Desk()
    web, api = stored("web", "80/TCP"), stored("api", "80/TCP")
    desk.observe(web, api)
    decided(desk, update(web, labels={"team": "a"}))

    desk.observe(stored("api", "81/TCP"))

    assert desk.find(update(web, labels={"team": "b"})) is None
    assert decided(desk, update(web, labels={"team": "b"})).warnings == ()


def test_it_is_forgotten_when_another_group_takes_the_address() -> None:
    """Who holds the static address is part of what is known."""
    desk = Desk()
    web = stored("web", "80/TCP", loadBalancerIP="10.0.0.1")
    desk.observe(web)
    decided(desk, update(web, labels={"team": "a"}))
    other = service_object("other", key=None, spec={"loadBalancerIP": "10.0.0.1"})

    desk.observe(other)

    assert desk.find(update(web, labels={"team": "b"})) is None
    assert any("other" in line for line in decided(desk, update(web, labels={"team": "b"})).warnings)


@pytest.mark.parametrize(
    "new",
    [
        pytest.param(stored("web", "81/TCP"), id="another port"),
        pytest.param(stored("web", "80/TCP", loadBalancerIP="10.0.0.1"), id="an address"),
        pytest.param(service_object("web", "80/TCP", key="another"), id="another key"),
        pytest.param(stored("web", "80/TCP", sessionAffinity="ClientIP"), id="what is warned of"),
    ],
)
def test_an_update_that_changes_something_is_decided(new: ServiceObject) -> None:
    """However often the same Service was asked about."""
    desk = Desk()
    web = stored("web", "80/TCP")
    desk.observe(web)
    decided(desk, update(web, labels={"team": "a"}))

    assert desk.find(update(web, new)) is None
    assert desk.find(update(new)) is None


def test_a_service_that_is_being_deleted_is_decided() -> None:
    """Its answer has no warnings, whatever was said before."""
    desk = Desk()
    web = stored("web", "80/TCP")
    desk.observe(web)
    decided(desk, update(web, labels={"team": "a"}))

    assert desk.find(update(web, deletionTimestamp="2026-01-01T00:00:00Z")) is None


def test_the_first_remembered_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded, and one Service more does not cost all the others."""
    monkeypatch.setattr(standing, "LIMIT", 2)
    desk = Desk()
    services = [stored(name, f"{number}/TCP") for number, name in enumerate(("a", "b", "c"), start=80)]
    desk.observe(*services)
    for service in services:
        decided(desk, update(service))

    assert [desk.find(update(service)) is not None for service in services] == [False, True, True]


def test_of_a_group_that_changes_one_view_is_remembered() -> None:
    """Each holds the group's whole ledger: a thousand Services that were updated while it changed kept a thousand."""
    desk = Desk()
    services = [stored(f"web-{number}", f"{number}/TCP") for number in range(1, 4)]
    desk.observe(*services)
    generations: list[tuple[ServiceView, ...]] = []
    for service in services:
        generations.append(desk.services.members(GROUP))
        decided(desk, update(service))
        desk.observe(stored("api", f"{len(generations)}/UDP"))

    assert [is_kept(members) for members in generations] == [False, False, True]


def test_what_is_found_to_be_old_is_forgotten() -> None:
    """Nobody may ever ask about the others again."""
    desk = Desk()
    services = [stored(name, f"{number}/TCP") for number, name in enumerate(("a", "b"), start=80)]
    desk.observe(*services)
    for service in services:
        decided(desk, update(service))
    members = desk.services.members(GROUP)
    assert is_kept(members)
    desk.observe(stored("c", "82/TCP"))

    assert desk.find(update(services[0])) is None
    assert not is_kept(members)


def test_a_long_answer_is_not_remembered() -> None:
    """One Service may be in conflict with a thousand."""
    desk = Desk()
    web = stored("web", "80/TCP", *(f"{number}/TCP" for number in range(100, 130)))
    desk.observe(web, stored("api", "80/TCP", *(f"{number}/TCP" for number in range(100, 130))))

    assert len(decided(desk, update(web)).warnings) > standing.LONGEST / 150
    assert desk.find(update(web)) is None


def test_a_large_service_is_not_remembered() -> None:
    """Its annotations may have 256 KiB, and 4,096 such answers would be a GiB."""
    desk = Desk()
    web = stored("web", "80/TCP", externalName="x" * standing.LARGEST)
    desk.observe(web)

    decided(desk, update(web))

    assert desk.find(update(web)) is None


def test_what_is_read_is_what_a_whole_decoding_reads() -> None:
    """Cut into pieces or decoded whole: the same view."""
    document = stored("web", "80/TCP", "53/UDP", loadBalancerIP="10.0.0.1", ipFamilies=["IPv4"])
    whole = parse_service(msgspec.json.decode(json.dumps(document).encode(), type=ServiceObject))

    asked = parse_asked(update(document, labels={"ako.vmware.com/enable-shared-vip": "label"}))

    assert not isinstance(asked, str)
    assert asked.old == whole
    assert asked.candidate.sharing_label == "label"
