"""Which texts are sharing keys; the rule invalid-key tells the story of each."""

from sharedvip.keys import MAX_KEY_LENGTH, is_valid_key


def test_the_longest_key_has_63_characters() -> None:
    """A label value's length."""
    assert is_valid_key("k" * MAX_KEY_LENGTH)
    assert not is_valid_key("k" * (MAX_KEY_LENGTH + 1))
    assert MAX_KEY_LENGTH == 63


def test_an_empty_text_is_no_key() -> None:
    """A label value may be empty, a key may not."""
    assert not is_valid_key("")
