"""The page and the plot of one run: ``docs/reference/bench-reconcile.md`` and ``.svg``; it never measures."""

import platform
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from typing import Final

from bench.admission.machine import describe_machine
from bench.reconcile.results import (
    AKO_CALLS_PER_GROUP,
    AKO_SECONDS_200,
    Build,
    Idle,
    Results,
    Rolling,
    Steady,
    promises,
)
from localcluster.binaries import KUBERNETES_VERSION
from localcluster.moment import describe_moment

_WIDTH: Final = 760
_HEIGHT: Final = 300
_LEFT: Final = 60
_BOTTOM: Final = 250
_TOP: Final = 40
_RIGHT: Final = 740
_POINTS: Final = 200
_PACKAGES: Final = ("avisdk", "requests", "uvloop", "msgspec", "kubernetes")
_COLOURS: Final = ("#1f6feb", "#8250df", "#1a7f37")


def render_text(results: Results) -> str:
    """What a person at a terminal reads: promises first."""
    kept = promises(results)
    width = max(len(each.what) for each in kept)
    lines = [
        f"{'ok    ' if each.is_kept else 'MISSED'}  {each.what:<{width}}  {each.measured}  (target {each.target})"
        for each in kept
    ]
    return "\n".join([*lines, "", _table(_builds(results)), "", _table(_rest(results)), ""])


def render_page(results: Results) -> str:
    """The page, in Markdown."""
    parts = (
        f"""\
# What the reconciler costs

Written by `make bench-reconcile` (`python -m bench.reconcile`); do not edit.
{_summary(results)}
""",
        _table(_promised(results)),
        f"""
| | |
| --- | --- |
| when | {describe_moment()}, {results.minutes:.1f} minutes |
| machine | {describe_machine()}; etcd, kube-apiserver, simulator, reconciler and the benchmark share it |
| versions | {_versions()} |
""",
        """
## Building from nothing

![Services served over time](bench-reconcile.svg)
""",
        _table(_builds(results)),
        _notes_on_builds(results),
        _table(_rest(results)),
        _notes_on_rest(results),
    )
    return "\n".join(parts)


def _summary(results: Results) -> str:
    found = promises(results)
    missed = sum(not each.is_kept for each in found)
    return f"**{missed} of {len(found)} targets are missed**, marked below." if missed else "Every target is met."


def _notes_on_builds(results: Results) -> str:
    live, unlimited = results.live, results.unlimited
    return f"""
- A group is two Services with ten endpoints each. *Bound* is writes / limit: no program can be faster.
- Recorded latency: `python -m simulator --recorded-latency --requests-per-second 32`. A macro call takes 240 to 370 ms,
  as recorded of a real Controller; other writes 60 to 120 ms and reads 10 to 40 ms (assumed).
- *From nothing*: Services, EndpointSlices and claims are stored (claims by the write that admission makes), and the
  reconciler starts; its own start and reading count.
- *Created while it runs*: Services come past admission, one after the other, and the reconciler accepts them. A group
  whose second Service comes when the first is being built takes more writes.
- *No limit* runs `bench/reconcile/unlimited.py`: the command refuses more than a Controller's 32 calls/s.
- AKO makes {AKO_CALLS_PER_GROUP} calls for such a group, and needed {AKO_SECONDS_200:g} s for 200 of them on a mock
  without latency (on another machine). Ours needed {live.seconds:.1f} s, which is its limit of {live.rate:g} calls/s;
  without a limit the first {live.groups} groups were told {unlimited.seconds_of(live.groups):.1f} s after the start of
  the process.

## Following, looking again, and doing nothing
"""


def _notes_on_rest(results: Results) -> str:
    rolling = results.rolling
    return f"""
- *Boot* is a start that finds everything as wanted: it reads each `SharedVIP` once more, and writes nothing to it.
  *Resync* is every five minutes, as shipped; here more often, so that it can be waited for.
- The rolling restart replaces {rolling.pods} pods, a few at a time, behind {rolling.services} Services; every step
  writes one EndpointSlice per Service. *Lag* is from the last of these writes to the end of the last call to Avi.
  In the end each pool had exactly the new pods: {"yes" if rolling.is_right else "**no**"}.
- CPU and memory are the reconciler's; *CPU s* includes the start of Python where the reconciler was started.
"""


def render_plot(builds: Sequence[Build]) -> str:
    """Services served over time, a line for each build, as SVG."""
    seconds = max(max(build.seconds, build.bound_seconds) for build in builds)
    marks = [
        f'<text x="{_x(second, seconds):.0f}" y="{_BOTTOM + 16}" text-anchor="middle">{second:g} s</text>'
        for second in _ticks(seconds)
    ]
    lines = [_line(build, colour, seconds) for build, colour in zip(builds, _COLOURS, strict=False)]
    keys = [
        f'<text x="{_LEFT + 10}" y="{18 + 15 * number}" fill="{colour}">{build.title}</text>'
        for number, (build, colour) in enumerate(zip(builds, _COLOURS, strict=False))
    ]
    axes = (
        f'<path d="M{_LEFT} {_TOP} V{_BOTTOM} H{_RIGHT}" fill="none" stroke="#57606a"/>'
        f'<text x="{_LEFT - 8}" y="{_BOTTOM}" text-anchor="end">0</text>'
        f'<text x="{_LEFT - 8}" y="{_TOP + 24}" text-anchor="end">100 %</text>'
    )
    body = "\n".join([axes, *marks, *lines, *keys])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        f'font-size="12" fill="#57606a">\n<title>Services served over time</title>\n'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


def _line(build: Build, colour: str, seconds: float) -> str:
    step = max(1, len(build.served) // _POINTS)
    shown = [*[*enumerate(build.served, 1)][::step], (len(build.served), build.served[-1])]
    points = " ".join(f"{_x(at, seconds):.1f},{_y(number / len(build.served)):.1f}" for number, at in shown)
    return (
        f'{_bound(build, colour, seconds)}<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
    )


def _bound(build: Build, colour: str, seconds: float) -> str:
    """A dotted line: as fast as the limit allows."""
    if not build.bound_seconds:
        return ""
    path = f"M{_LEFT} {_BOTTOM} L{_x(build.bound_seconds, seconds):.1f} {_y(1):.1f}"
    return f'<path d="{path}" fill="none" stroke="{colour}" stroke-dasharray="3 4"/>'


def _x(seconds: float, longest: float) -> float:
    return _LEFT + seconds / longest * (_RIGHT - _LEFT)


def _y(part: float) -> float:
    return _BOTTOM - part * (_BOTTOM - _TOP - 20)


def _ticks(seconds: float) -> Iterator[float]:
    step = next(step for step in (0.5, 1, 2, 5, 10, 20, 60, 600) if seconds / step <= 10 or step == 600)  # noqa: PLR2004 - at most ten marks
    number = 0
    while number * step <= seconds:
        yield number * step
        number += 1


def _promised(results: Results) -> Iterator[tuple[str, ...]]:
    yield ("", "target", "measured", "")
    for each in promises(results):
        yield (each.what, each.target, each.measured, "kept" if each.is_kept else "**missed**")


def _builds(results: Results) -> Iterator[tuple[str, ...]]:
    yield (
        "build",
        "seconds",
        "bound",
        "time / bound",
        "Avi writes",
        "Avi reads",
        "calls / group",
        "CPU s",
        "peak MiB",
        "API reads + writes",
        "simulator's CPU s",
        "API server's and etcd's CPU s",
    )
    yield from (_build_row(build) for build in (results.live, results.unlimited, results.limited))


def _build_row(build: Build) -> tuple[str, ...]:
    return (
        build.title,
        f"{build.seconds:.1f}",
        f"{build.bound_seconds:.1f}" if build.rate else "-",
        f"{build.ratio:.2f}" if build.rate else "-",
        f"{build.writes:,}",
        f"{build.reads:,}",
        f"{build.calls_per_group:.2f}",
        f"{build.use.cpu_seconds:.1f}",
        f"{build.use.peak_mib:.0f}",
        f"{build.use.kube_reads:,} + {build.use.kube_writes:,}",
        f"{build.simulator_cpu_seconds:.1f}",
        f"{build.cluster_cpu_seconds:.1f}",
    )


def _rest(results: Results) -> Iterator[tuple[str, ...]]:
    yield ("what", "Avi writes", "Avi reads", "seconds", "CPU", "MiB", "API reads + writes")
    yield from (_steady_row(each) for each in (results.boot, results.resync))
    yield _rolling_row(results.rolling)
    yield from (_idle_row(each) for each in (results.idle, results.idle_full))


def _steady_row(each: Steady) -> tuple[str, ...]:
    return (
        f"{each.title}, {each.groups:,} groups",
        str(each.writes),
        str(each.reads),
        f"{each.seconds:.1f}",
        f"{each.use.cpu_seconds:.1f} s",
        f"{each.use.peak_mib:.0f} peak",
        f"{each.use.kube_reads:,} + {each.use.kube_writes:,}",
    )


def _rolling_row(each: Rolling) -> tuple[str, ...]:
    return (
        f"rolling restart, {each.events:,} EndpointSlice events in {each.event_seconds:.1f} s",
        f"{each.writes:,} = {each.ratio:.3f} / event",
        str(each.reads),
        f"lag {each.lag_seconds:.2f}",
        f"{each.use.cpu_seconds:.1f} s",
        f"{each.use.peak_mib:.0f} peak",
        f"{each.use.kube_reads:,} + {each.use.kube_writes:,}",
    )


def _idle_row(each: Idle) -> tuple[str, ...]:
    calls = (str(each.writes), str(each.reads))
    return (f"idle, {each.groups:,} groups", *calls, "-", f"{each.cpu_percent:.1f} %", f"{each.mib:.0f}", "-")


def _table(rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first row is its head."""
    head, *rest = rows
    lines = [head, ["---"] * len(head), *rest]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _versions() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return f"Python {platform.python_version()}, {packages}, Kubernetes {KUBERNETES_VERSION}"
