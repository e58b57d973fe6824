"""What Prometheus sees of admission; it never decides anything."""

from collections.abc import Iterable
from typing import Final, Protocol

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, Metric
from prometheus_client.registry import Collector


class Late(Protocol):
    """Whoever counts a moment after the event."""

    def catch_up(self) -> None:
        """Count all that has happened."""


class _Latecomers(Collector):
    """Has no metrics of its own. The registry asks in the order of registration: the first lets the others be right."""

    def collect(self) -> Iterable[Metric]:
        catch_up()
        return ()


def catch_up() -> None:
    """Have everybody count what has happened."""
    for late in LATE:
        late.catch_up()


LATE: Final[list[Late]] = []
REGISTRY.register(_Latecomers())

REQUESTS: Final = Counter(
    "sharedvip_admission_requests_total",
    "Admission requests, by webhook, operation and verdict.",
    ("webhook", "operation", "verdict"),
)
REFUSALS: Final = Counter("sharedvip_admission_refusals_total", "Violations that were refused, by rule.", ("rule",))
FAILURES: Final = Counter(
    "sharedvip_admission_failures_total",
    "Requests that were answered with no decision, by webhook and reason; the failurePolicy decides them.",
    ("webhook", "reason"),
)
SECONDS: Final = Histogram(
    "sharedvip_admission_duration_seconds",
    "From the whole request read to the answer.",
    ("webhook",),
    buckets=(0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
IN_FLIGHT: Final = Gauge("sharedvip_admission_in_flight", "Requests being decided.")
LEDGER_WRITES: Final = Counter("sharedvip_ledger_writes_total", "Writes to the ledger by admission.", ("purpose",))
CLAIM_CONFLICTS: Final = Counter(
    "sharedvip_ledger_conflicts_total", "Claims that the API server refused, by reason.", ("reason",)
)
RETRIES: Final = Counter(
    "sharedvip_ledger_retries_total",
    "Requests that were decided anew after a live look, by what the first decision met.",
    ("reason",),
)
CLAIMS_WAITING: Final = Gauge(
    "sharedvip_claims_waiting", "Claims whose Service the caches do not show: on its way, or never to come."
)
CLAIM_OLDEST: Final = Gauge(
    "sharedvip_claim_oldest_waiting_seconds",
    "How long the first claim without its Service has waited; 0: there is none.",
)
CLAIM_SECONDS: Final = Histogram(
    "sharedvip_claim_confirmation_seconds",
    "From a claim to its Service being seen, by whichever replica admitted it.",
    # From one write later (some ms) to the grace of 65 s, after which a claim is given up.
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 65),
)
CLIENT_REFUSALS: Final = Counter(
    "sharedvip_client_refusals_total", "Connections with a verified client certificate of a name that may not call."
)
