"""PATCH as a pure function: what each verb and operation makes of a document, and what it refuses."""

import pytest

from simulator.patches import patched
from simulator.refusals import RefusedError
from tests.contracts.client import Document

STORED: Document = {"name": "p", "port": 80, "tags": ["a", "b"], "servers": [{"ip": "1", "port": 1}, {"ip": "2"}]}


def operation(op: str, path: str, value: object = None) -> Document:
    """One json_patch operation as a whole patch."""
    return {"json_patch": [{"op": op, "path": path, "value": value}]}


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        pytest.param({"add": {"new": 1}}, {"new": 1}, id="adding a scalar sets it"),
        pytest.param({"add": {"tags": "c"}}, {"tags": ["a", "b", "c"]}, id="adding one entry appends it"),
        pytest.param({"add": {"fresh": ["x"]}}, {"fresh": ["x"]}, id="adding to no list makes one"),
        pytest.param({"replace": {"tags": []}}, {"tags": []}, id="replacing a list may empty it"),
        pytest.param({"delete": {"port": 80}}, {"port": None}, id="deleting a scalar unsets it"),
        pytest.param({"delete": {"tags": ["a", "z"]}}, {"tags": ["b"]}, id="deleting entries leaves the others"),
        pytest.param({"delete": {"tags": ""}}, {"tags": None}, id="deleting a list by no list unsets it"),
        pytest.param({"delete": {"servers": [{"ip": "1"}]}}, {"servers": [{"ip": "2"}]}, id="a part means its message"),
        pytest.param({"add": {"tags": ["c"]}, "delete": {"tags": ["a"]}}, {"tags": ["b", "c"]}, id="verbs in order"),
        pytest.param(operation("add", "/tags/0", "c"), {"tags": ["c", "a", "b"]}, id="inserted at an index"),
        pytest.param(operation("remove", "/tags/1"), {"tags": ["a"]}, id="removed at an index"),
        pytest.param(operation("replace", "/tags/1", "c"), {"tags": ["a", "c"]}, id="replaced at an index"),
        pytest.param(operation("remove", "/port"), {"port": None}, id="removed a field"),
        pytest.param(operation("add", "/a~1b~0c", 1), {"a/b~c": 1}, id="escaped names"),
    ],
)
def test_a_patch_changes_what_it_names(patch: Document, expected: Document) -> None:
    """And nothing else, and not the stored document."""
    before = repr(STORED)
    whole = {key: value for key, value in {**STORED, **expected}.items() if value is not None}

    assert patched(STORED, patch) == whole
    assert repr(STORED) == before


@pytest.mark.parametrize(
    "patch",
    [
        {},
        {"port": 81},
        {"add": 1},
        operation("move", "/port"),
        operation("remove", "port"),
        operation("remove", "/nothing"),
        operation("replace", "/tags/9"),
        operation("replace", "/tags/x"),
        operation("add", "/nothing/below"),
        operation("add", "/port/below"),
    ],
)
def test_a_patch_that_fits_nothing_is_refused(patch: Document) -> None:
    """400."""
    with pytest.raises(RefusedError) as refusal:
        patched(STORED, patch)

    assert refusal.value.status == 400
