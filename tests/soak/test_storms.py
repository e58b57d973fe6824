"""What storms count: an edit that changed a ledger is a breach, one that changed nothing is none; no blow is one."""

import asyncio
import json
from collections.abc import Iterable
from typing import cast

import pytest

from cluster.api import MERGE_PATCH, KubernetesApi
from soak import storms
from soak.arena import Answer, Arena, Write
from soak.result import Result
from soak.storms import edit_by_hand, until_struck

NO_API = cast("KubernetesApi", None)
MANAGERS = ("web.1", "sharedvip-reconciler")
LEDGER = {
    "metadata": {
        "name": "key",
        "resourceVersion": "41",
        "generation": 3,
        "managedFields": [{"manager": one} for one in MANAGERS],
    }
}
BY_POLICY = "sharedvips.sharedvip.dev \"key\" is forbidden: ValidatingAdmissionPolicy 'sharedvip-ledger' denied request"


class Answering(Arena):
    """An API server that stores a ledger, or says no."""

    def __init__(self, answer: Answer, *, generation: int, managers: Iterable[str] = MANAGERS) -> None:
        """``generation`` and ``managers`` are those of what is stored then."""
        super().__init__(NO_API, "nowhere")
        self._answer = answer
        metadata = {"generation": generation, "managedFields": [{"manager": one} for one in managers]}
        self._stored = json.dumps({"metadata": metadata}).encode()
        self.asked: list[Write] = []

    async def exchange(self, write: Write) -> tuple[Answer, bytes]:
        """Once."""
        self.asked.append(write)
        return self._answer, self._stored if self._answer.is_applied else b""


def edit(version: str) -> tuple[bytes, str]:
    """What only says which version was read."""
    return version.encode(), MERGE_PATCH


def edited(answer: Answer, *, generation: int = 3, managers: Iterable[str] = MANAGERS) -> Result:
    """What one edit is counted as."""
    result = Result("hand-edits", "one edit")
    asyncio.run(edit_by_hand(Answering(answer, generation=generation, managers=managers), LEDGER, edit, result))
    return result


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        pytest.param(Answer(200), "that changed nothing", id="nothing there to be taken"),
        pytest.param(Answer(403, BY_POLICY), "refused", id="the policy's no"),
        pytest.param(Answer(422, BY_POLICY), "refused", id="the policy's no, as Invalid"),
        pytest.param(Answer(403, "no right"), "without a verdict", id="somebody else's no"),
        pytest.param(Answer(422, "no such claim"), "that fit no ledger", id="the schema's no"),
        pytest.param(Answer(404, "not found"), "of what was gone", id="its group is over"),
        pytest.param(Answer(409, "the object has been modified"), "too late", id="it was written meanwhile"),
        pytest.param(Answer(0, "cut off"), "without a verdict", id="no answer"),
    ],
)
def test_an_edit_that_changes_nothing_is_called_by_what_stopped_it(answer: Answer, what: str) -> None:
    """Only the policy's refusals count as such."""
    result = edited(answer)

    assert dict(result.counts) == {f"hand edits {what}": 1}
    assert result.breaches == []


def test_an_edit_that_changed_a_ledger_is_a_breach() -> None:
    """It is another generation of the one that was read, whoever writes meanwhile; or its claims are another's."""
    assert edited(Answer(200), managers=("web.1", "a hand")).breaches == []
    assert edited(Answer(200), managers=("sharedvip-reconciler",)).breaches != []
    result = edited(Answer(200), generation=4)

    assert dict(result.counts) == {"hand edits let in": 1}
    assert [breach.partition(":")[0] for breach in result.breaches] == ["a hand edit of key was let in"]


def test_every_edit_says_which_version_it_has_read() -> None:
    """So that a change by somebody else in between is not taken for the edit's."""
    arena, result = Answering(Answer(200), generation=3), Result("hand-edits", "every edit")

    for one in storms.EDITS:
        asyncio.run(edit_by_hand(arena, LEDGER, one, result))

    assert all(b'"41"' in write.body for write in arena.asked)
    assert len(arena.asked) == len(storms.EDITS)


def test_a_storm_that_struck_nothing_is_a_breach(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its twin has struck once."""
    monkeypatch.setattr(storms, "FIRST_BLOW_SECONDS", 0.0)
    calm, stormy = Result("calm", ""), Result("stormy", "")
    stormy.counts["blows"] = 1

    for result in (calm, stormy):
        asyncio.run(until_struck(result, "blows"))

    assert (calm.breaches, stormy.breaches) == (["no blows: there was no storm"], [])
