"""Who applies while replicas change is answered with what is stored by that request, and with nothing less."""

import asyncio
from typing import cast

import pytest

from cluster.api import KubernetesApi
from soak.arena import Answer, Arena, Write
from soak.result import Result
from soak.serving import apply_until

NO_API = cast("KubernetesApi", None)
EXISTS = Answer(409, 'services "r1-a" already exists')


class Answering(Arena):
    """An API server that gives everybody the same answer."""

    def __init__(self, answer: Answer) -> None:
        """``answer`` is what it says."""
        super().__init__(NO_API, "nowhere")
        self._answer = answer

    async def send(self, write: Write) -> Answer:
        """Once."""
        del write
        await asyncio.sleep(0)
        return self._answer


@pytest.mark.parametrize(
    ("answer", "applied"),
    [
        pytest.param(Answer(200), 3, id="it is stored"),
        pytest.param(EXISTS, 0, id="another had stored it: nothing of this apply is"),
        pytest.param(Answer(500, "no webhook"), 0, id="an error"),
        pytest.param(Answer(0, "cut off"), 0, id="no answer"),
    ],
)
def test_only_what_is_stored_was_applied(answer: Answer, applied: int) -> None:
    """Three applies of one group, while the storm lasts."""
    result = Result("serving", "one group")

    async def story() -> None:
        storm = asyncio.create_task(asyncio.sleep(0))
        await apply_until(storm, Answering(answer), result)

    asyncio.run(story())
    assert (result.rounds, result.counts["applied"], len(result.breaches)) == (3, applied, 3 - applied)


def test_who_insists_takes_what_is_there_for_done() -> None:
    """The request before, which got no answer, may have stored it."""
    write = Write("POST", "/", b"{}")

    assert asyncio.run(Answering(EXISTS).insist(write, seconds=0.0)).is_final
