"""The oracle: what it calls right and wrong, without a server; and that it notices each kind of wrong answer."""

import json
from typing import Any

import pytest

from soak.json_text import Path, look_up
from soak.mutations import review
from soak.oracle import Expected, expect, find_fault
from tests.soak.seeds import chance

NAMESPACES = ("fuzz-a",)


def created(*path: str | int, value: object = None, **request: object) -> bytes:
    """The review of a create, with one value replaced."""
    whole: dict[str, Any] = review(chance(3), namespace="fuzz-a")
    whole["request"] |= {"operation": "CREATE", "oldObject": None, "uid": "7", **request}
    if path:
        _set(whole, path, value)
    return json.dumps(whole).encode()


def left(**spec: object) -> bytes:
    """The review of an update that takes the annotation away."""
    whole: dict[str, Any] = json.loads(created(operation="UPDATE"))
    whole["request"]["oldObject"] = json.loads(created())["request"]["object"]
    whole["request"]["object"]["metadata"]["annotations"] = {}
    whole["request"]["object"]["spec"].pop("loadBalancerIP", None)
    whole["request"]["object"]["spec"] |= spec
    return json.dumps(whole).encode()


def _set(whole: dict[str, Any], path: Path, value: object) -> None:
    look_up(whole, path[:-1])[path[-1]] = value


SPEC = ("request", "object", "spec")
METADATA = ("request", "object", "metadata")


@pytest.mark.parametrize(
    ("body", "statuses", "allowed"),
    [
        pytest.param(created(), {200}, None, id="a member: the world decides"),
        pytest.param(created(*SPEC, "type", value="ClusterIP"), {200}, False, id="the annotation on another type"),
        pytest.param(created(*METADATA, "annotations", value={}), {200}, True, id="no annotation"),
        pytest.param(left(), {200}, True, id="the annotation goes"),
        pytest.param(left(loadBalancerIP="10.0.0.1"), {200}, None, id="with an address: the world decides"),
        pytest.param(created(*METADATA, "deletionTimestamp", value="now"), {200}, True, id="it is being deleted"),
        pytest.param(created(operation="DELETE"), {200}, True, id="an operation that is waved through"),
        pytest.param(created(kind={"kind": "Pod", "version": "v1"}), {200}, True, id="another kind"),
        pytest.param(created(object=None), {200}, True, id="no object"),
        pytest.param(created(operation="UPDATE"), {400}, None, id="an update of nothing"),
        pytest.param(created("request", "uid", value=7), {400}, None, id="a number for a text"),
        pytest.param(created(*SPEC, "ports", value="80"), {400}, None, id="a text for a list"),
        pytest.param(created(*SPEC, "ports", value=[{"port": True}]), {400}, None, id="a flag for a number"),
        pytest.param(created(*SPEC, "ports", value=[{"port": 80.0}]), {200, 400}, None, id="80.0 for 80"),
        pytest.param(created(*SPEC, "unread", value=7), {200}, None, id="what nobody reads"),
        pytest.param(created("apiVersion", value="v1"), {400}, None, id="another version"),
        pytest.param(created().replace(b"80", b"NaN"), {400}, None, id="NaN"),
        pytest.param(b'{"a"', {400}, None, id="half of it"),
        pytest.param(b"", {400}, None, id="nothing"),
        pytest.param(created().replace(b"fuzz", b"\xff", 1), {200, 400}, None, id="no UTF-8"),
        pytest.param(b"[" * 100_000, {200, 400}, None, id="too deep for Python too"),
        pytest.param(created(*METADATA, "namespace", value="nowhere"), {200, 503}, None, id="no such namespace"),
        pytest.param(created(*METADATA, "uid", value="x" * 300), {200, 400}, None, id="no uid of Kubernetes"),
    ],
)
def test_what_is_right(body: bytes, statuses: set[int], allowed: bool | None) -> None:  # noqa: FBT001 - a parameter of the test
    """For ``/validate``."""
    expected = expect(body, path="/validate", namespaces=NAMESPACES)

    assert (expected.statuses, expected.allowed) == (statuses, allowed)


def test_mutating_never_refuses() -> None:
    """Whatever type it is of."""
    assert expect(created(*SPEC, "type", value="x"), path="/mutate", namespaces=NAMESPACES).allowed is True


def answer(**response: object) -> bytes:
    """An AdmissionReview with a yes, or with something else."""
    said = {"uid": "7", "allowed": True, **response}
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": said}).encode()


YES = Expected(frozenset({200}), "7", allowed=True)
EITHER = Expected(frozenset({200, 400, 503}), "7")
NO = {"code": 403, "message": "spec.ports[0]: …"}


@pytest.mark.parametrize(
    ("status", "content", "expected"),
    [
        pytest.param(200, answer(), YES, id="a yes"),
        pytest.param(200, answer(allowed=False, status=NO), EITHER, id="a no with its reason"),
        pytest.param(400, b"no JSON\n", EITHER, id="a sentence"),
        pytest.param(503, b"the ledger cannot be asked\n", EITHER, id="nobody knows"),
    ],
)
def test_a_right_answer_has_no_fault(status: int, content: bytes, expected: Expected) -> None:
    """Twins of what follows."""
    assert find_fault(status, content, expected, path="/validate") == ""


@pytest.mark.parametrize(
    ("status", "content", "expected"),
    [
        pytest.param(500, b"Internal Server Error\n", EITHER, id="a 500"),
        pytest.param(0, b"", EITHER, id="no answer"),
        pytest.param(400, b"no JSON\n", YES, id="a refusal of what is right"),
        pytest.param(400, b'Traceback: File "x.py"\n', EITHER, id="a traceback"),
        pytest.param(503, b"the webhook failed; its log says where\n", EITHER, id="a bug that was caught"),
        pytest.param(200, b"ok", EITHER, id="no JSON"),
        pytest.param(200, b"{}", EITHER, id="no review"),
        pytest.param(200, answer(uid="8"), YES, id="another's uid"),
        pytest.param(200, answer(allowed=False, status=NO), YES, id="a no where yes is right"),
        pytest.param(200, answer(allowed=1), EITHER, id="a number for a flag"),
        pytest.param(200, answer(allowed=False, status={"code": 500, "message": "x"}), EITHER, id="a no with a 500"),
        pytest.param(200, answer(allowed=False, status={"code": 403, "message": ""}), EITHER, id="a no without reason"),
        pytest.param(200, answer(patch="W10="), YES, id="a patch by who only validates"),
    ],
)
def test_a_wrong_answer_is_noticed(status: int, content: bytes, expected: Expected) -> None:
    """Each kind."""
    assert find_fault(status, content, expected, path="/validate")
