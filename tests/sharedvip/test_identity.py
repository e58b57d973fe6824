"""What no stored Service is called: told before anybody is asked about it."""

from dataclasses import replace

import pytest

from sharedvip.identity import find_flaw, is_label
from sharedvip.model import ServiceName
from tests.builders import service


@pytest.mark.parametrize("name", ["a", "0", "web-1", "x" * 63])
def test_a_label_is_a_name(name: str) -> None:
    """As the API server has it; a digit first is allowed to Services since 1.34."""
    assert is_label(name)
    assert find_flaw(service(name, uid="u")) == ""


@pytest.mark.parametrize("name", ["", "-a", "a-", "Web", "a.b", "web/x", "..", "a\n", "x" * 64, "\0" * 100, "é"])
def test_anything_else_is_none(name: str) -> None:
    """What reads as a path, above all."""
    assert not is_label(name)
    assert find_flaw(service(name)) == "its name is not one that a Service can have"
    elsewhere = replace(service("web"), name=ServiceName(name, "web"))
    assert find_flaw(elsewhere) == "its namespace is not the name of one"


@pytest.mark.parametrize("uid", ["a b", "x" * 65, "\0", "a/b", "."])
def test_a_uid_is_short_and_plain(uid: str) -> None:
    """It becomes part of a field manager's name."""
    assert find_flaw(service("web", uid=uid)) == "its uid is not one"
    assert find_flaw(service("web", uid="7d2c0f5e-8c3a-4b62-9a3e-0c6a1f0e9b11")) == ""
