"""Decisions are counted and logged a moment later, and nobody who reads the numbers can tell."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from sharedvip.model import Denial
from tests.webhook.samples import sample
from webhook import reports
from webhook.answer import Answer, Verdict, denied
from webhook.reports import AT_ONCE, Reports
from webhook.review import GroupVersionKind, ServiceRequest

DEADLINE_SECONDS = 30.0


def request(name: str = "web") -> ServiceRequest:
    """A create."""
    return ServiceRequest("7", "CREATE", GroupVersionKind("", "v1", "Service"), name, "shop")


def counted(verdict: Verdict) -> float:
    """As Prometheus reads it."""
    return sample("sharedvip_admission_requests_total", webhook="trial", operation="CREATE", verdict=verdict.value)


def refused(rule: str) -> float:
    """Likewise."""
    return sample("sharedvip_admission_refusals_total", rule=rule)


@pytest.fixture
def at_leisure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A moment that does not end within the test."""
    monkeypatch.setattr(reports, "MOMENT_SECONDS", 3600)


@pytest.mark.usefixtures("at_leisure")
def test_whoever_reads_the_metrics_reads_all() -> None:
    """The numbers are right at every scrape."""

    async def story() -> None:
        before = counted(Verdict.ALLOWED), counted(Verdict.DENIED)
        waiting = Reports("trial")
        waiting.add(request(), Answer(), seconds=0.001)
        waiting.add(request(), denied(()), seconds=0.001)
        assert (counted(Verdict.ALLOWED), counted(Verdict.DENIED)) == (before[0] + 1, before[1] + 1)

    asyncio.run(story())


@pytest.mark.usefixtures("at_leisure")
def test_each_violation_is_counted_by_its_rule() -> None:
    """A request may break several, and one more than once; what is allowed breaks none."""
    taken = Denial("duplicate-port", "spec.ports[0]", "is taken", "choose another", "80/TCP", ("other",))
    also_taken = replace(taken, field="spec.ports[1]")
    no_key = Denial("invalid-key", "metadata.annotations", "is no key", "choose another", "?", ())
    rules = ("duplicate-port", "invalid-key")

    async def story() -> None:
        before = [refused(rule) for rule in rules]
        waiting = Reports("trial")
        for answer in (denied((taken, also_taken, no_key)), Answer()):
            waiting.add(request(), answer, seconds=0.001)
        assert [refused(rule) for rule in rules] == [before[0] + 2, before[1] + 1]

    asyncio.run(story())


@pytest.mark.usefixtures("at_leisure")
def test_what_waits_is_told_when_it_is_enough() -> None:
    """Nothing piles up under load; each line says when its decision was."""

    async def story() -> None:
        waiting, begun = Reports("trial"), datetime.now(UTC)
        with capture_logs() as lines:
            for number in range(AT_ONCE + 1):
                waiting.add(request(f"web-{number}"), Answer(), seconds=0.001)
            assert [line["name"] for line in lines] == [f"web-{number}" for number in range(AT_ONCE)]
            assert begun <= lines[0]["timestamp"] <= lines[-1]["timestamp"] <= datetime.now(UTC)
            waiting.catch_up()
            assert len(lines) == AT_ONCE + 1

    asyncio.run(story())


def test_what_waits_is_told_after_a_moment() -> None:
    """One decision an hour has its line at once, as a person sees it."""

    async def story() -> None:
        waiting = Reports("trial")
        with capture_logs() as lines:
            for name in ("web", "web-2"):
                waiting.add(request(name), Answer(), seconds=0.001)
                async with asyncio.timeout(DEADLINE_SECONDS):
                    while name not in [line["name"] for line in lines]:  # noqa: ASYNC110 - the log tells nobody
                        await asyncio.sleep(0.001)

    asyncio.run(story())
