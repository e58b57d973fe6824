"""How a value beside the peers' values is told; the rules' tests assert the sentences."""

from sharedvip.disagreement import Disagreement, names_by_value
from tests.builders import peer

PEERS = (peer("c", l4_rule="fast"), peer("a", l4_rule="fast"), peer("b"))
THEIRS = {"": ("b",), "fast": ("a", "c")}


def test_peers_are_gathered_by_value_in_one_order() -> None:
    """The sentence does not depend on the order in which the peers came."""
    assert list(names_by_value(PEERS, lambda p: p.shared.l4_rule).items()) == list(THEIRS.items())
    assert list(names_by_value(reversed(PEERS), lambda p: p.shared.l4_rule).items()) == list(THEIRS.items())


def test_only_peers_with_another_value_are_in_the_way() -> None:
    """A peer that agrees is nobody to look up."""
    assert Disagreement("k", "fast", THEIRS, without="one").peers == ("b",)
    assert Disagreement("k", "slow", THEIRS, without="one").peers == ("a", "b", "c")


def test_who_agrees_with_all_disagrees_with_none() -> None:
    """No peers in the way: nothing to tell."""
    assert Disagreement("k", "fast", {"fast": ("a",)}, without="one").peers == ()


def test_peers_agree_only_if_all_do() -> None:
    """Half of a group is no authority on what to set."""
    assert Disagreement("k", "slow", THEIRS, without="one").agreed is None
    assert Disagreement("k", "slow", {"fast": ("a",)}, without="one").agreed == "fast"
    assert Disagreement("k", "slow", {}, without="one").agreed is None
