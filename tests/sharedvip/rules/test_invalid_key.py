"""The rule ``invalid-key``, case by case."""

import pytest

from sharedvip.rules.invalid_key import check
from tests.builders import lines, service, situation

FIELD = "metadata.annotations[ako.vmware.com/enable-shared-vip]"
REMEDY = "must be 1 to 63 letters, digits, '-', '_' or '.', with a letter or digit at both ends [invalid-key]"


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        pytest.param("shared-vip-key-1", None, id="the seed's key is allowed"),
        pytest.param("a", None, id="one letter is allowed"),
        pytest.param("Web_1.example", None, id="all characters of a label value are allowed"),
        pytest.param("k" * 63, None, id="63 characters are allowed"),
        pytest.param(None, None, id="no annotation is allowed"),
        pytest.param("", "is empty", id="an empty key is refused"),
        pytest.param("k" * 64, f"'{'k' * 64}' has 64 characters, too many for a sharing key", id="64 are too many"),
        pytest.param("web/a", "'web/a' is not a sharing key", id="a slash is refused: AKO would cut there"),
        pytest.param("web key", "'web key' is not a sharing key", id="a space is refused"),
        pytest.param("-web", "'-web' is not a sharing key", id="a dash at the beginning is refused"),
        pytest.param("web.", "'web.' is not a sharing key", id="a dot at the end is refused"),
        pytest.param("wéb", "'wéb' is not a sharing key", id="a letter outside ASCII is refused"),
        pytest.param("web\n", "'web\\n' is not a sharing key", id="a line break at the end is refused, and shown"),
        pytest.param(
            "k" * 81,
            f"'{'k' * 80}' and 1 more characters has 81 characters, too many for a sharing key",
            id="a very long key is shown shortened",
        ),
    ],
)
def test_a_key_is_a_label_value(key: str | None, problem: str | None) -> None:
    """What may be a label value may be a key, and nothing else."""
    expected = [f"{FIELD}: {problem}; {REMEDY}"] if problem else []

    assert expected == lines(check(service(key=key), situation()))


def test_the_whole_message_of_an_empty_key() -> None:
    """The message a user reads, in full."""
    [denial] = check(service(key=""), situation())

    assert str(denial) == (
        "metadata.annotations[ako.vmware.com/enable-shared-vip]: is empty; must be 1 to 63 letters, digits, "
        "'-', '_' or '.', with a letter or digit at both ends [invalid-key]"
    )
