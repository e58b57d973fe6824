"""Comparison: what we want must be there, whatever else is."""

import pytest

from reconciler.compare import differing_fields
from reconciler.graph import Json


@pytest.mark.parametrize(
    ("wanted", "there", "is_same"),
    [
        pytest.param({"a": 1}, {"a": 1, "b": 2}, True, id="what was added does not count"),
        pytest.param({"a": 1}, {}, False, id="what is missing counts"),
        pytest.param({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, True, id="nor inside an object"),
        pytest.param({"a": [{"b": 1}]}, {"a": [{"b": 1, "c": 2}]}, True, id="nor inside a list's object"),
        pytest.param({"a": [1, 2]}, {"a": [2, 1]}, False, id="a list's order counts"),
        pytest.param({"a": [1]}, {"a": [1, 2]}, False, id="a list's length counts"),
        pytest.param({"a": []}, {}, True, id="an empty list may be left out"),
        pytest.param({"a": []}, {"a": [1]}, False, id="but must be empty"),
        pytest.param({"a": [1]}, {"a": "x"}, False, id="a text is no list"),
        pytest.param({"p_ref": "/api/pool?name=x"}, {"p_ref": "https://c/api/pool/pool-1#x"}, True, id="by #name"),
        pytest.param({"p_ref": "/api/pool?name=x"}, {"p_ref": "https://c/api/pool/pool-1"}, True, id="by uuid"),
        pytest.param({"p_ref": "/api/pool?name=x"}, {"p_ref": "https://c/api/pool/pool-2#y"}, False, id="another one"),
    ],
)
def test_fields_are_compared_by_what_is_wanted(
    wanted: dict[str, Json], there: dict[str, Json], *, is_same: bool
) -> None:
    """The Controller adds defaults, and writes references in its own way."""
    assert (differing_fields(wanted, there, names={"pool-1": "x"}) == ()) == is_same
