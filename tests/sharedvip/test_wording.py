"""How messages spell values and Services."""

import pytest

from sharedvip.wording import joined, quoted, services


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("web", "'web'", id="a plain text is quoted"),
        pytest.param("", "''", id="an empty text is visible"),
        pytest.param("wéb 1", "'wéb 1'", id="what a terminal shows stays as it is"),
        pytest.param("a\nb\tc", "'a\\nb\\tc'", id="line breaks and tabs are escaped"),
        pytest.param("\x1b[31m", "'\\x1b[31m'", id="a terminal's control sequence is escaped"),
        pytest.param("a\u202eb", "'a\\u202eb'", id="a mark that turns the writing around is escaped"),
        pytest.param("\udcff", "'\\udcff'", id="half a surrogate pair is escaped, so that it can be encoded"),
        pytest.param("it's \\n", "'it\\'s \\\\n'", id="quotes and backslashes stay unambiguous"),
        pytest.param("x" * 80, f"'{'x' * 80}'", id="eighty characters are shown"),
        pytest.param("x" * 100, f"'{'x' * 80}' and 20 more characters", id="a longer text is cut, and says so"),
    ],
)
def test_a_text_is_shown_on_one_line(text: str, expected: str) -> None:
    """Whatever a user typed, the message stays one readable line."""
    assert quoted(text) == expected


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        pytest.param(1, "'n00'", id="one"),
        pytest.param(2, "'n00', 'n01'", id="two"),
        pytest.param(10, ", ".join(f"'n0{i}'" for i in range(10)), id="ten are all named"),
        pytest.param(12, ", ".join(f"'n0{i}'" for i in range(10)) + " and 2 more", id="of twelve ten are named"),
    ],
)
def test_names_are_listed_sorted_and_not_endlessly(count: int, expected: str) -> None:
    """Messages stay readable on a terminal."""
    assert joined(f"n{i:02}" for i in reversed(range(count))) == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        pytest.param(["a"], "Service 'a' shares", id="one Service shares"),
        pytest.param(["b", "a"], "Services 'a', 'b' share", id="two Services share"),
        pytest.param(["a", "a"], "Service 'a' shares", id="one named twice is one"),
    ],
)
def test_the_verb_fits_the_number(names: list[str], expected: str) -> None:
    """English."""
    assert services(names, one="shares", many="share") == expected


def test_services_without_a_verb_end_without_a_space() -> None:
    """The list may stand at the end of a sentence."""
    assert services(["a"]) == "Service 'a'"
