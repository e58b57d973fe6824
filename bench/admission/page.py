"""The page of one run: tables, a plot beside it, and how it was measured; it leaves out no figure that looks bad."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from bench.admission.load import CONNECTIONS
from bench.admission.machine import describe_machine, describe_versions
from bench.admission.plot import render_plot
from bench.admission.policies import POLICIES, RIVALS
from bench.admission.population import MEMBERS
from bench.admission.results import FLOOR, UPDATE, Results, Verdict, verdicts
from localcluster.moment import describe_moment

_NAMES: Final = {"none": "no policy", "vap": "ValidatingAdmissionPolicy", "ours": "sharedvip"}
PLOT: Final = "bench-admission.svg"
_WHERE_IT_GOES: Final = (
    "The write of an admitted create is one server-side apply to the group's `SharedVIP`, before the answer. "
    "Whoever is the first of a group to bring a static address also creates that address's `IPAddress`. "
    "After the answer the reconciler writes the status of the `SharedVIP`, and in full mode that of the Service. "
    "What a decision costs, and what is still too much: [ADR 6](../adr/0006-what-a-decision-costs.md)."
)


def render_page(results: Results, *, is_quick: bool) -> str:
    """The whole page, in Markdown."""
    found = verdicts(results)
    missed = sum(not verdict.is_met for verdict in found)
    summary = (
        "Every target is met." if not missed else f"**{missed} of {len(found)} targets are missed**, marked below."
    )
    parts = (
        "# What admission costs",
        "Written by `make bench-admission`; do not edit."
        + (" **A quick run: its figures show that the command works, and nothing else.**" if is_quick else ""),
        summary,
        "## Targets",
        _table(("target", "found", "met"), _rows(found)),
        "## Decisions without a ledger write",
        _decisions(results),
        "## Creates through the API server",
        _creates(results),
        f"![Creates against the number of Services]({PLOT})",
        _ledger(results),
        _WHERE_IT_GOES,
        "## How it was measured",
        _method(results),
    )
    return "\n\n".join(parts) + "\n"


def render_creates_plot(results: Results) -> str:
    """The SVG beside the page."""
    lines = {
        _NAMES[policy]: [(float(size), results.policies.of(size, policy).p50_ms) for size in results.sizes]
        for policy in POLICIES
    }
    return render_plot(
        lines,
        title="One create of a member Service, median",
        x_label="Services in the namespace",
        y_label="milliseconds",
    )


def _rows(found: Iterable[Verdict]) -> Iterator[tuple[str, ...]]:
    return ((v.target, v.found, "yes" if v.is_met else "**no**") for v in found)


def _decisions(results: Results) -> str:
    floor, ours = results.decisions[FLOOR], results.decisions[UPDATE]
    head = (
        "who",
        "requests/s",
        "of the floor",
        "our update is",
        "p50 ms",
        "p99 ms",
        "server's processor µs a request",
        "generator busy",
    )
    rows = (
        (
            summary.name,
            f"{summary.rate:,.0f}",
            f"{summary.rate_ratio(floor):.2f}",
            f"{ours.rate_ratio(summary):.1f} times",
            f"{summary.p50_ms:.2f}",
            f"{summary.p99_ms:.2f}",
            f"{summary.cpu_us:.0f}",
            f"{summary.generator_busy:.0%}",
        )
        for summary in results.decisions.values()
    )
    return _table(head, rows)


def _creates(results: Results) -> str:
    head = ("Services in the namespace", *(f"{_NAMES[policy]}: p50 (p99) ms" for policy in POLICIES))
    rows = (
        (
            f"{size:,}",
            *(f"{c.p50_ms:.1f} ({c.p99_ms:.1f})" for c in (results.policies.of(size, policy) for policy in POLICIES)),
        )
        for size in results.sizes
    )
    return _table(head, rows)


def _ledger(results: Results) -> str:
    through, contention = results.policies, results.policies.contention
    rows = (
        (
            f"{RIVALS} writers at once want one port, beside {results.sizes[1]} Services: it was stored twice",
            (
                f"in {through.doubles['vap']} of {through.races} rounds under the ValidatingAdmissionPolicy, "
                f"in {through.doubles['ours']} under us"
            ),
        ),
        ("a create under us: in the webhook, both calls together (mean)", f"{through.webhook_ms:.1f} ms"),
        ("one server-side apply to a `SharedVIP`, sent as the creates are (p50)", f"{through.apply_ms:.1f} ms"),
        ("ledger writes for an admitted create", f"{through.writes_per_create:.2f}"),
        ("likewise, in a group with a static address", f"{through.writes_with_address:.2f}"),
        ("likewise, of the first one there, which takes the lock too", f"{through.writes_with_lock:.2f}"),
        (f"an irrelevant update (p50 of {through.updates})", f"{through.updates_ms:.1f} ms"),
        ("ledger writes for an irrelevant update", f"{through.writes_per_update:.2f}"),
        (
            f"16 writers at once in one group, {contention.rounds} rounds: admitted",
            f"{contention.admitted} of {contention.rounds * 16}",
        ),
        ("likewise: ledger writes for each admitted", f"{contention.writes / max(1, contention.admitted):.2f}"),
        ("likewise: p50 and p99 of a create", f"{contention.p50_ms:.0f} and {contention.p99_ms:.0f} ms"),
        (
            f"start of the webhook to ready with {results.services:,} Services",
            " and ".join(f"{seconds:.1f} s" for seconds in results.ready_seconds),
        ),
        (f"resident memory of the webhook, ready with {results.services:,} Services", f"{results.ready_mib:.0f} MiB"),
        ("resident memory of the webhook after the run", f"{results.memory_mib:.0f} MiB"),
    )
    return _table(("", "found"), rows)


def _method(results: Results) -> str:
    where = (
        "What is measured has one processor to itself; the load generator and the control plane share another."
        if results.has_own_processor
        else "**This machine has one processor: the generator and the control plane take time from what is measured.**"
    )
    lines = (
        f"- {describe_moment()}; {describe_machine()}.",
        f"- {describe_versions()}.",
        (
            f"- {results.services:,} Services of {results.groups:,} groups of {MEMBERS}, at a real API server; "
            "every fourth group has a static address."
        ),
        f"- {where}",
        (
            f"- {CONNECTIONS} keep-alive TLS connections (ECDSA P-256, HTTP/1.1) in a closed loop; targets in turn, "
            "several rounds, medians; ratios are medians of the rounds' ratios."
        ),
        (
            f"- Reviews: {results.body_bytes:,} bytes, of each Service of a namespace of {results.review_namespace:,}. "
            "An irrelevant update changes a label; a refusal creates a `ClusterIP` Service with the annotation."
        ),
        (
            "- The floor is a plain ASGI endpoint in a FastAPI route, under the same uvicorn settings, that reads the "
            "body and allows. Our endpoint is reached before FastAPI's middlewares "
            "([ADR 2](../adr/0002-asgi-endpoints.md)), decodes, judges, counts and logs a line."
        ),
        (
            "- An update that changes nothing that a rule reads gets the answer of the last such one of its Service, "
            "until anything is told of its group (`webhook/standing.py`); the warm-up asks once about each Service. "
            "Another target port has to be read to see that no rule does. OPA is asked about all three kinds, with "
            "the same reviews; of a refused one its policies also find the ports to be taken."
        ),
        (
            "- OPA runs with `GOMAXPROCS=1`; its two policies are `bench/admission/rego/`, the admission policy is "
            "`bench/admission/vap.yaml`. All three know three rules, we all of `docs/reference/rules.md`."
        ),
        (
            "- Creates: one writer, one at a time, in each namespace in turn, so that what the machine does meanwhile "
            "slows all alike; each Service is deleted and its claim taken back before the next. "
            "Under us both webhooks are asked, `/mutate` and `/validate`."
        ),
    )
    return "\n".join(lines)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
