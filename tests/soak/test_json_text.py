"""What ``json`` cannot write is written."""

import json

from soak.json_text import Pairs, Token, look_up, nested, paths, render


def test_an_ordinary_document_is_ordinary_json() -> None:
    """Written and read again."""
    document: dict[str, object] = {"a": [1, 2.5, None, True, {"b": "\u202eé"}], "": {}}

    assert json.loads(render(document)) == document


def test_keys_twice_and_tokens_stand_as_they_are() -> None:
    """As no encoder would write them."""
    assert render({"a": Pairs((("b", 1), ("b", Token(b"NaN"))))}) == b'{"a":{"b":1,"b":NaN}}'


def test_every_path_leads_somewhere() -> None:
    """Also to the document itself."""
    document = {"a": [{"b": 1}]}

    assert [look_up(document, path) for path in paths(document)] == [document, [{"b": 1}], {"b": 1}, 1]


def test_nesting_is_as_deep_as_asked_for() -> None:
    """Both kinds."""
    assert render(nested(3, is_object=False)) == b"[[[]]]"
    assert render(nested(2, is_object=True)) == b'{"a":{"a":1}}'
