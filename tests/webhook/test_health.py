"""The health port: ready or not, and what will soon speak against it."""

import asyncio

import pytest

import certs.metrics
from tests.webhook.reviews import Reply, post
from webhook.app import create_health_app


def get(path: str, *, problems: tuple[str, ...] = (), warnings: tuple[str, ...] = ()) -> Reply:
    """What a probe gets."""
    app = create_health_app(lambda: problems, warnings=lambda: warnings)
    reply = asyncio.run(post(app, path=path, method="GET", query=b"", headers=()))
    assert reply is not None
    return reply


@pytest.mark.parametrize(
    ("problems", "warnings", "status", "text"),
    [
        pytest.param((), (), 200, "ok", id="nothing speaks against it"),
        pytest.param(
            (), ("hurry", "too"), 200, "ok\nwarning: hurry\nwarning: too", id="a warning makes nobody unready"
        ),
        pytest.param(("a", "b"), (), 503, "a\nb", id="every problem is told"),
        pytest.param(("a",), ("hurry",), 503, "a\nwarning: hurry", id="with the warnings after them"),
    ],
)
def test_readyz_tells_problems_and_warnings(
    problems: tuple[str, ...], warnings: tuple[str, ...], status: int, text: str
) -> None:
    """One line each."""
    reply = get("/readyz", problems=problems, warnings=warnings)

    assert (reply.status, reply.text) == (status, text)


def test_livez_answers_whatever_is_wrong() -> None:
    """A restart would not help."""
    assert (get("/livez", problems=("stopping",)).status, get("/livez").text) == (200, "ok")


@pytest.mark.parametrize(
    "name",
    [
        "sharedvip_admission_requests_total",
        "sharedvip_admission_refusals_total",
        "sharedvip_admission_duration_seconds",
        "sharedvip_admission_in_flight",
        "sharedvip_ledger_writes_total",
        "sharedvip_ledger_conflicts_total",
        "sharedvip_ledger_retries_total",
        "sharedvip_claims_waiting",
        "sharedvip_claim_oldest_waiting_seconds",
        "sharedvip_claim_confirmation_seconds",
        "sharedvip_cache_staleness_seconds",
        "sharedvip_cache_age_seconds",
        "sharedvip_client_refusals_total",
        "sharedvip_admission_failures_total",
        "sharedvip_certificate_expiry_timestamp_seconds",
    ],
)
def test_metrics_are_there_from_the_start(name: str) -> None:
    """A dashboard shows no data only where there is none."""
    assert certs.metrics.EXPIRY  # imported, as by the server
    assert f"# TYPE {name.removesuffix('_total')}" in get("/metrics").text


def test_half_of_the_latency_buckets_are_below_five_milliseconds() -> None:
    """Where nearly all decisions are."""
    from webhook.metrics import SECONDS  # noqa: PLC0415 - beside its only use

    SECONDS.labels("test").observe(0.0001)
    edges = [line for line in get("/metrics").text.splitlines() if 'duration_seconds_bucket{le="0.00' in line]

    assert len([line for line in edges if 'webhook="test"' in line]) == 5
