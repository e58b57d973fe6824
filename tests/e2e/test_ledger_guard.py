"""Nobody but sharedvip writes what a ledger says, whatever his rights: claims speak for Services on their way."""

import json
from typing import Any

import pytest

from tests.builders import service_object
from tests.e2e.scene import Scene

pytestmark = pytest.mark.e2e

Object = dict[str, Any]

CLAIM = {
    "port": 80,
    "protocol": "TCP",
    "service": "thief",
    "uid": "1",
    "claimedAt": "2026-01-01T00:00:00.000000Z",
}
WRITTEN_BY_US = "is written by sharedvip alone"


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param({"spec": {"claims": []}}, id="claims are taken away"),
        pytest.param({"spec": {"claims": [CLAIM]}}, id="a claim is given to another"),
        pytest.param({"spec": {"staticAddress": "192.0.2.99"}}, id="the address is changed"),
    ],
)
def test_a_hand_may_not_change_what_is_claimed(scene: Scene, edit: dict[str, object]) -> None:
    """It is told what to do instead, and the ledger is as it was."""
    scene.apply(service_object("one", "80"))
    before = scene.claims()

    done = scene.kubectl("patch", "svip", "shared-vip-key-1", "--type=merge", "-p", json.dumps(edit), may_fail=True)

    assert done.returncode == 1
    assert f"{WRITTEN_BY_US}; change the Services instead" in done.stderr
    assert scene.claims() == before == {("one", 80, "TCP")}


def test_a_hand_may_not_take_a_claim_over_by_force(scene: Scene) -> None:
    """Server-side apply with ``--force-conflicts`` is an update like any other."""
    scene.apply(service_object("one", "80"))
    ledger = {
        "apiVersion": "sharedvip.dev/v1alpha1",
        "kind": "SharedVIP",
        "metadata": {"name": "shared-vip-key-1"},
        "spec": {"key": "shared-vip-key-1", "claims": [CLAIM]},
    }

    done = scene.kubectl(
        "apply", "--server-side", "--force-conflicts", "-f", "-", given=json.dumps(ledger), may_fail=True
    )

    assert WRITTEN_BY_US in done.stderr
    assert scene.claims() == {("one", 80, "TCP")}


def owners(scene: Scene) -> list[Object]:
    """Who owns which fields of the ledger."""
    read = scene.kubectl("get", "svip", "shared-vip-key-1", "--show-managed-fields", "-o", "json").stdout
    return json.loads(read)["metadata"]["managedFields"]


@pytest.mark.parametrize("of", [pytest.param("", id="the ledger"), pytest.param("status", id="its status")])
@pytest.mark.parametrize(
    "take_away",
    [
        pytest.param('[{"op": "replace", "path": "/metadata/managedFields", "value": [{}]}]', id="all owners"),
        pytest.param('[{"op": "remove", "path": "/metadata/managedFields/NUMBER"}]', id="one owner"),
        pytest.param(
            '[{"op": "replace", "path": "/metadata/managedFields/NUMBER/fieldsV1", "value": {"f:spec": {}}}]',
            id="what one owns",
        ),
    ],
)
def test_a_hand_may_not_change_whose_the_claims_are(scene: Scene, take_away: str, of: str) -> None:
    """A create that a late replica judged would write over what nobody owns."""
    scene.apply(service_object("one", "80"))
    scene.apply(service_object("two", "81"))
    before = owners(scene)
    number = next(number for number, entry in enumerate(before) if entry["manager"].startswith("one."))
    edit = take_away.replace("NUMBER", str(number))

    done = scene.kubectl(
        "patch", "svip", "shared-vip-key-1", f"--subresource={of}", "--type=json", "-p", edit, may_fail=True
    )

    # Through the status nothing of it is written, whatever is asked.
    assert of or "metadata.managedFields: it says whose each claim is" in done.stderr
    assert [entry for entry in owners(scene) if "." in entry["manager"]] == [e for e in before if "." in e["manager"]]


def test_a_hand_may_neither_make_nor_delete_a_ledger_in_use(scene: Scene) -> None:
    """It comes with the first Service and goes with the last."""
    scene.apply(service_object("one", "80"))
    own = {"apiVersion": "sharedvip.dev/v1alpha1", "kind": "SharedVIP", "metadata": {"name": "a"}, "spec": {"key": "a"}}

    made = scene.kubectl("create", "-f", "-", given=json.dumps(own), may_fail=True)
    deleted = scene.kubectl("delete", "svip", "shared-vip-key-1", "--wait=false", may_fail=True)

    assert f"a SharedVIP {WRITTEN_BY_US}, from what the Services ask for" in made.stderr
    assert "it goes by itself when no Service claims anything" in deleted.stderr
    assert "deletionTimestamp" not in scene.read("svip", "shared-vip-key-1")["metadata"]


def test_labels_and_finalizers_of_a_ledger_are_free(scene: Scene) -> None:
    """Tools label what they see; and who has lost the reconciler must get rid of its finalizer."""
    scene.apply(service_object("one", "80"))
    scene.wait_for_one_address("one")

    scene.kubectl("label", "svip", "shared-vip-key-1", "a=b")
    scene.kubectl("patch", "svip", "shared-vip-key-1", "--type=merge", "-p", '{"metadata":{"finalizers":[]}}')

    assert scene.read("svip", "shared-vip-key-1")["metadata"]["labels"] == {"a": "b"}


def test_a_namespace_goes_with_its_ledgers(scene: Scene) -> None:
    """Nobody of ours is asked, and nothing of it is left on Avi."""
    scene.apply(service_object("one", "80"))
    scene.wait_for_one_address("one")

    scene.kubectl("delete", "namespace", scene.namespace, "--wait=false")

    scene.wait(
        "the namespace is gone",
        lambda: "NotFound" in scene.kubectl("get", "namespace", scene.namespace, may_fail=True).stderr,
    )
    assert scene.on_avi() == ()
