"""The fuzzer's requests: the same from the same seed, of every kind, and few names where claims are made."""

import json
from itertools import islice

import pytest

from soak import mutations
from soak.json_text import Pairs
from soak.mutations import STORED_ONE_IN, cases, member, review
from soak.oracle import expect
from tests.soak.seeds import chance

NAMESPACES = ("fuzz-a", "fuzz-b")


def test_the_same_seed_gives_the_same_bytes() -> None:
    """What was found is found again; another seed gives others."""
    one, same, other = (list(islice(cases(seed, namespaces=NAMESPACES), 200)) for seed in (7, 7, 8))

    assert one == same
    assert one != other


def test_every_kind_of_answer_is_asked_for() -> None:
    """A fuzzer that is always refused at the door finds nothing behind it."""
    made = islice(cases(7, namespaces=NAMESPACES), 1000)
    expected = [expect(case.body, path=case.path, namespaces=NAMESPACES) for case in made]

    assert sum(one.statuses == {400} for one in expected) > 100
    assert sum(one.statuses == {200} and one.allowed is None for one in expected) > 100
    assert {one.allowed for one in expected} == {True, False, None}
    assert any(503 in one.statuses for one in expected)


def test_a_review_is_one_without_a_mutation() -> None:
    """It is judged, and most are dry runs: a claim whose Service never comes is in the way for its grace."""
    with_chance = chance()
    made = [review(with_chance, namespace="fuzz-a") for _ in range(10 * STORED_ONE_IN)]

    for one in made:
        assert expect(json.dumps(one).encode(), path="/validate", namespaces=NAMESPACES).statuses == {200}
    assert 0 < sum(not one["request"]["dryRun"] for one in made) < len(made) / 10


def test_groups_stay_small() -> None:
    """Few keys, few ports: ledgers as users have them."""
    with_chance = chance()
    made = [member(with_chance, namespace="fuzz-a") for _ in range(500)]

    assert len({json.dumps(one["metadata"]["annotations"]) for one in made}) <= 8
    assert len({json.dumps(port) for one in made for port in one["spec"]["ports"]}) <= 24


def test_what_has_lost_everything_is_a_case_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once in 50,000 cases, and then the fuzzer ended: three fields there were, and three were dropped."""
    monkeypatch.setattr(mutations, "_MUTATIONS", (mutations.drop,))
    monkeypatch.setattr(mutations, "_MOST_MUTATIONS", 60)
    with_chance = chance()

    made = [mutations.mutated(with_chance, path="/validate", namespaces=NAMESPACES) for _ in range(200)]

    assert any(case.body == b"{}" for case in made)


def test_pairs_are_no_plain_object() -> None:
    """So that a mutation after another one leaves them alone."""
    assert not isinstance(Pairs(()), dict)
