"""What the reconcile benchmark reads, judges and prints."""

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

from bench.reconcile.command import write
from bench.reconcile.gauges import parse_journal, parse_metrics
from bench.reconcile.page import render_text
from bench.reconcile.results import Build, Idle, Results, Rolling, Steady, Use, promises

USE = Use(cpu_seconds=1.0, peak_mib=100.0, kube_reads=3, kube_writes=4)
BUILD = Build(
    title="10 groups",
    groups=10,
    rate=32.0,
    seconds=0.35,
    writes=10,
    reads=5,
    use=USE,
    simulator_cpu_seconds=0.1,
    cluster_cpu_seconds=0.2,
    served=(0.1, 0.2, 0.35),
)
STEADY = Steady(title="boot", groups=10, seconds=1.0, reads=30, writes=0, use=USE)
RESULTS = Results(
    live=replace(BUILD, title="live"),
    unlimited=replace(BUILD, rate=None),
    limited=BUILD,
    boot=STEADY,
    resync=replace(STEADY, title="resync"),
    idle=Idle(groups=0, mib=70.0, cpu_percent=0.3),
    idle_full=Idle(groups=10, mib=80.0, cpu_percent=0.4),
    rolling=Rolling(
        pods=10, services=2, events=100, event_seconds=1.0, writes=5, reads=0, lag_seconds=0.5, is_right=True, use=USE
    ),
)


def missed(results: Results) -> list[str]:
    """The promises that are not kept."""
    return [each.what for each in promises(results) if not each.is_kept]


def test_the_bound_is_writes_by_rate() -> None:
    """And there is none without a limit."""
    assert (BUILD.bound_seconds, round(BUILD.ratio, 2)) == (0.3125, 1.12)
    assert RESULTS.unlimited.bound_seconds == 0.0


def test_some_groups_are_told_before_others() -> None:
    """Two Services each; of more than there are nobody knows."""
    build = replace(BUILD, served=(0.1, 0.2, 0.3, 0.4))

    assert [build.seconds_of(groups) for groups in (0, 1, 2, 3)] == [0.0, 0.2, 0.4, 0.0]


def test_every_promise_can_be_kept() -> None:
    """With good numbers."""
    assert missed(RESULTS) == []


def test_every_promise_can_be_missed() -> None:
    """Each by its own number, and by no other."""
    hungry = replace(USE, peak_mib=250.1)
    worse = (
        replace(RESULTS, limited=replace(BUILD, seconds=0.376)),
        replace(RESULTS, limited=replace(BUILD, writes=50, seconds=1.0)),
        replace(RESULTS, unlimited=replace(RESULTS.unlimited, use=hungry)),
        replace(RESULTS, live=replace(BUILD, seconds=30.0)),
        replace(RESULTS, boot=replace(STEADY, reads=31)),
        replace(RESULTS, resync=replace(RESULTS.resync, writes=1)),
        replace(RESULTS, rolling=replace(RESULTS.rolling, is_right=False)),
    )

    assert [missed(each) for each in worse] == [[promise.what] for promise in promises(RESULTS)]


def test_a_miss_is_said_plainly() -> None:
    """On the terminal."""
    printed = render_text(replace(RESULTS, boot=replace(STEADY, reads=31)))

    assert "MISSED  boot at 10 groups" in printed
    assert printed.count("MISSED") == 1


def test_page_and_plot_are_written(tmp_path: Path) -> None:
    """A table with every promise; a plot that a reader of XML accepts, with a line for each build."""
    write(replace(RESULTS, rolling=replace(RESULTS.rolling, is_right=False)), tmp_path)

    page = (tmp_path / "bench-reconcile.md").read_text()
    plot = ET.parse(tmp_path / "bench-reconcile.svg").getroot()  # noqa: S314 - our own file
    assert page.count("| kept |") == len(promises(RESULTS)) - 1
    assert page.count("**missed**") == 1
    assert f"**1 of {len(promises(RESULTS))} targets are missed**" in page
    assert "avisdk " in page
    assert len(plot.findall("{http://www.w3.org/2000/svg}polyline")) == 3


def test_metrics_are_summed_over_labels() -> None:
    """Reads and writes of the API server are told apart by method."""
    page = """\
# HELP rest_client_requests_total x
rest_client_requests_total{code="200",method="GET"} 5.0
rest_client_requests_total{code="200",method="WATCH"} 3.0
rest_client_requests_total{code="200",method="PATCH"} 2.0
rest_client_requests_total{code="201",method="POST"} 1.0
rest_client_requests_created{code="201",method="POST"} 1.7e+09
sharedvip_reconciler_leader 1.0
"""
    metrics = parse_metrics(page)

    assert (metrics.kube_reads, metrics.kube_writes) == (8, 3)
    assert metrics.total("sharedvip_reconciler_leader") == 1


def test_a_login_is_neither_read_nor_write() -> None:
    """It changes nothing, and a session lasts for thousands of calls."""
    started = "2026-01-01T00:00:00+00:00"
    entries = [
        {"method": method, "path": path, "status": 200, "started": started, "milliseconds": 500.0}
        for method, path in (("POST", "/login"), ("GET", "/api/pool"), ("POST", "/api/macro"), ("POST", "/logout"))
    ]
    calls = parse_journal(entries)

    assert [(call.is_read, call.is_write) for call in calls] == [
        (False, False),
        (True, False),
        (False, True),
        (False, False),
    ]
    assert calls[0].ended - calls[0].begun == 0.5
