"""The page says what was found, and plainly what was missed."""

import xml.etree.ElementTree as ET
from dataclasses import replace

from bench.admission import results as names
from bench.admission.load import Summary
from bench.admission.page import render_creates_plot, render_page
from bench.admission.plot import render_plot
from bench.admission.policies import POLICIES, Contention, Creates, Throughs, ledger_writes
from bench.admission.population import Namespace
from bench.admission.results import Results, verdicts


def summary(name: str, rate: float, p99_ms: float = 4.0) -> Summary:
    """Three rounds alike."""
    return Summary(name, (rate,) * 3, (1000 / rate,) * 3, (p99_ms,) * 3, cpu_us=1e6 / rate, generator_busy=0.5)


def results() -> Results:
    """A run that meets every target."""
    decisions = [
        summary(names.FLOOR, 10_000),
        summary(names.UPDATE, 9_000, 5.0),
        summary(names.PORTS, 8_200, 5.8),
        summary(names.REFUSAL, 8_500, 5.5),
        summary(names.INDEXED, 3_000, 30.0),
        summary(names.INVENTORY, 100, 500.0),
        summary(names.INDEXED_PORTS, 3_000, 30.0),
        summary(names.INVENTORY_PORTS, 100, 500.0),
        summary(names.INDEXED_REFUSAL, 3_000, 30.0),
        summary(names.INVENTORY_REFUSAL, 100, 500.0),
    ]
    sizes = {10: (8.0, 9.0, 12.0), 100: (8.0, 15.0, 12.5), 5000: (8.0, 500.0, 12.8)}
    creates = tuple(
        Creates(Namespace(f"ns-{size}", size), policy, [milliseconds])
        for size, found in sizes.items()
        for policy, milliseconds in zip(POLICIES, found, strict=True)
    )
    contention = Contention(rounds=4, admitted=64, writes=64, p50_ms=50, p99_ms=90)
    through = Throughs(
        creates,
        webhook_ms=9.5,
        apply_ms=4.5,
        doubles={"vap": 93, "ours": 0},
        races=100,
        writes_per_create=1,
        writes_with_address=1,
        writes_with_lock=1,
        updates_ms=9,
        updates=40,
        writes_per_update=0,
        contention=contention,
    )
    return Results(
        services=10_000,
        groups=2_000,
        body_bytes=4_000,
        review_namespace=1_000,
        decisions={summary.name: summary for summary in decisions},
        policies=through,
        ready_seconds=(2.0, 2.1),
        ready_mib=95.0,
        memory_mib=99.0,
        has_own_processor=True,
    )


def missed(found: Results) -> list[str]:
    """The targets that are missed."""
    return [verdict.target for verdict in verdicts(found) if not verdict.is_met]


def test_a_run_that_meets_every_target_says_so() -> None:
    """In its first lines."""
    page = render_page(results(), is_quick=False)

    assert missed(results()) == []
    assert "Every target is met." in page
    assert "**no**" not in page


def test_every_target_can_be_missed() -> None:
    """Each by the figure it is about, and by nothing else."""
    good = results()
    slow_ports = {**good.decisions, names.PORTS: summary(names.PORTS, 1_000, 600.0)}
    slow_refusals = {**good.decisions, names.REFUSAL: summary(names.REFUSAL, 1_000, 600.0)}
    slow = {**good.decisions, names.UPDATE: summary(names.UPDATE, 1_000, 600.0)}
    steep = [
        replace(c, milliseconds=[600.0]) if (c.policy, c.namespace.services) == ("ours", 5000) else c
        for c in good.policies.creates
    ]

    assert len(missed(replace(good, decisions=slow))) == 6
    assert len(missed(replace(good, decisions=slow_ports))) == 6
    assert len(missed(replace(good, decisions=slow_refusals))) == 6
    assert len(missed(replace(good, policies=replace(good.policies, creates=tuple(steep))))) == 2
    assert missed(replace(good, memory_mib=100.1)) == ["resident memory: at most 100 MiB"]
    assert len(missed(replace(good, policies=replace(good.policies, writes_per_create=1.01)))) == 1
    assert len(missed(replace(good, policies=replace(good.policies, writes_with_address=2.0)))) == 1
    assert len(missed(replace(good, policies=replace(good.policies, writes_with_lock=2.0)))) == 1
    assert len(missed(replace(good, policies=replace(good.policies, writes_per_update=0.01)))) == 1


def test_a_missed_target_is_counted_at_the_top_and_marked_below() -> None:
    """Nobody should have to look for it."""
    page = render_page(replace(results(), memory_mib=130.0), is_quick=False)

    assert "**1 of " in page
    assert "| resident memory: at most 100 MiB | 130 MiB | **no** |" in page


def test_a_quick_run_says_that_its_figures_mean_nothing() -> None:
    """It is for whoever changes the command."""
    assert "quick run" in render_page(results(), is_quick=True)
    assert "quick run" not in render_page(results(), is_quick=False)


def test_ratios_are_of_rounds() -> None:
    """A machine that is slow for one round is slow for both, and changes no ratio."""
    floor = replace(summary("floor", 1.0), rates=(100.0, 50.0, 100.0))
    ours = replace(summary("ours", 1.0), rates=(90.0, 45.0, 90.0))

    assert ours.rate_ratio(floor) == 0.9


def test_the_plot_has_a_line_for_each_policy() -> None:
    """And is well-formed, with a point for each size."""
    root = ET.fromstring(render_creates_plot(results()))  # noqa: S314 - our own text

    assert len(root.findall("{*}circle")) == 9
    texts = [text.text for text in root.findall("{*}text")]
    assert {"no policy", "ValidatingAdmissionPolicy", "sharedvip"} <= set(texts)


def test_places_in_the_plot_follow_the_values() -> None:
    """Upwards and to the right, within the frame."""
    svg = render_plot({"line": [(10.0, 1.0), (5000.0, 100.0)]}, title="t", x_label="x", y_label="y")
    circles = [(float(c.get("cx", "")), float(c.get("cy", ""))) for c in ET.fromstring(svg).findall("{*}circle")]  # noqa: S314 - our own text

    (left, low), (right, high) = circles
    assert 0 < left < right < 640
    assert 360 > low > high > 0


def test_ledger_writes_are_added_up_whatever_for() -> None:
    """And nothing else on the page of metrics is."""
    metrics = (
        '# TYPE sharedvip_ledger_writes_total counter\nsharedvip_ledger_writes_total{purpose="claim"} 3.0\n'
        'sharedvip_ledger_writes_total{purpose="lock"} 1.0\nsharedvip_ledger_writes_created{purpose="claim"} 9.0\n'
    )

    assert ledger_writes(metrics) == 4
