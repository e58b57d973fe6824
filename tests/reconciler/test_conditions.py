"""What a person reads on a Service when the Avi Controller does not do what is wanted: who, what, and what to do."""

import re
from pathlib import Path

import pytest

from cluster import service_status
from reconciler import avi_errors, group_pass, guard_pass
from reconciler.avi_client import AviRequest
from reconciler.avi_errors import AviError
from simulator.faults import Fault
from simulator.settings import Subnet
from tests.builders import service
from tests.reconciler.controller import Avi
from tests.reconciler.options import Scene, controller, play

WEB = service("web", "80/TCP")
API = service("api", "443/TCP")
OTHER = service("other", "80/TCP", key="another-key")
PAGE = Path(__file__).parents[2] / "docs/reference/conditions.md"

_SAID = {
    "a refusal": (
        Fault(action="status", status=400, body={"error": "Field check failed"}, times=0),
        ("ControllerRefused", "the Avi Controller refused: Field check failed"),
    ),
    "something it refers to is gone": (
        Fault(action="status", method="POST", status=404, body={"error": "Network object not found!"}, times=0),
        ("ControllerRefused", "the Avi Controller refused: Network object not found!"),
    ),
    "it is starting": (
        Fault(action="status", status=503, body={"error": "INITIALIZING"}, times=0),
        ("ControllerUnavailable", "the Avi Controller cannot do it now, and is asked again: INITIALIZING"),
    ),
    "it is upgraded": (
        Fault(action="status", status=403, body={"error": "Configuration is disallowed during upgrade"}, times=0),
        (
            "ControllerUnavailable",
            "the Avi Controller cannot do it now, and is asked again: Configuration is disallowed during upgrade",
        ),
    ),
    "nobody answers": (
        Fault(action="drop", times=0),
        ("ControllerUnreachable", "the Avi Controller does not answer (ConnectionError)"),
    ),
}


@pytest.mark.parametrize(("fault", "said"), _SAID.values(), ids=_SAID.keys())
def test_the_condition_says_in_a_sentence_what_the_controller_did(
    avi: Avi, fault: Fault, said: tuple[str, str]
) -> None:
    """On every member and on the group; the words do not change from one try to the next, so they are written once."""

    async def story(scene: Scene) -> None:
        scene.avi.running.faults.set(fault)
        for _ in range(3):
            with pytest.raises(AviError):
                await scene.look()
        assert [scene.verdict(each) for each in (WEB, API)] == [(False, *said)] * 2
        assert scene.message() == said[1]
        assert scene.kubernetes.writes.count("publish web") == 1
        scene.avi.running.faults.clear()

    play(avi, story, WEB, API)


def test_a_network_that_is_full_is_named_and_an_address_that_comes_free_is_taken(tmp_path: Path) -> None:
    """As the settings name it; a /30 has two addresses, and somebody else has one of them."""
    full = (Subnet("net1", "100.64.0.0/30"),)

    async def story(scene: Scene) -> None:
        for number in (1, 2):
            await scene.make("vsvip", name=f"theirs{number}", vip=[{"vip_id": "0", "auto_allocate_ip": True}])
        with pytest.raises(AviError):
            await scene.look()
        _, reason, message = scene.verdict(WEB)
        assert (reason, message) == ("NoFreeAddress", scene.message())
        assert message.startswith("no free address in network 'net1'; free one there, or give it a larger range (")
        assert scene.kubernetes.vips(WEB, API) == [(), ()]
        assert scene.kubernetes.events == [(name, "Warning", "NoFreeAddress") for name in ("api", "web")]
        store = scene.avi.running.controller.store
        theirs = next(record for record in store.of_kind("vsvip") if record.name == "theirs1")
        await scene.client.request(AviRequest("DELETE", f"vsvip/{theirs.uuid}"))
        assert (await scene.look())[-1] == "POST macro"
        assert scene.verdict(WEB)[1] == "Programmed"

    with controller(tmp_path, subnets=full) as simulated:
        play(simulated, story, WEB, API)


def test_without_a_network_in_the_settings_the_clouds_are_named(tmp_path: Path) -> None:
    """Then the Controller chose, and no name of ours says where."""

    async def story(scene: Scene) -> None:
        for number in (1, 2):
            await scene.make("vsvip", name=f"theirs{number}", vip=[{"vip_id": "0", "auto_allocate_ip": True}])
        with pytest.raises(AviError):
            await scene.look()
        assert scene.message().startswith("no free address in any network of the cloud's IPAM profile; ")

    with controller(tmp_path, subnets=(Subnet("net1", "100.64.0.0/30"),)) as simulated:
        play(simulated, story, WEB, avi_vip_networks=())


def test_every_reason_has_its_row_on_the_page() -> None:
    """And no row is without its reason."""
    documented = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE)

    assert sorted(documented) == sorted(_reasons())


def _reasons() -> set[str]:
    """What the code can say: constants and verdicts spelled out there, and a reason for each kind of error."""
    modules = (group_pass, guard_pass, service_status)
    sources = [Path(module.__file__ or "").read_text() for module in modules]
    spelled = {found for source in sources for found in re.findall(r'reason="(\w+)"', source)}
    named = {group_pass.CONFLICT, group_pass.NOT_LICENSED, group_pass.WAITING, group_pass.NOT_SELECTED}
    errors = {
        each.reason for each in vars(avi_errors).values() if isinstance(each, type) and issubclass(each, AviError)
    }
    return {*spelled, *named, *errors, service_status.OWNED_BY_OTHER}
