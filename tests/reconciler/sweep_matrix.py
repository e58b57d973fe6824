"""The crash sweep's matrix: which cases are run, and what is printed of them; it knows no case."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from tests.reconciler.controller import Avi
from tests.reconciler.sweep import EXTRA_CALLS, SCENARIOS, TROUBLES, Bench, Case, Result

Choose = Callable[[Sequence[Case]], Sequence[Case]]


def everything(cases: Sequence[Case]) -> Sequence[Case]:
    """The whole matrix."""
    return cases


SAMPLE: Final = 5


def a_few(cases: Sequence[Case]) -> Sequence[Case]:
    """Some troubles at some calls, drawn by chance: pytest-randomly prints the seed, and another run draws others."""
    troubles = random.sample(list(TROUBLES), SAMPLE)
    return [random.choice([case for case in cases if case.trouble == trouble]) for trouble in troubles]  # noqa: S311 - no secret


def sweep(
    avi: Avi, *, clusters: str, choose: Choose, say: Callable[[str], object] = lambda _line: None
) -> list[Result]:
    """Run the cases that are chosen of each scenario, with and without macro calls.

    Args:
        avi: The Controller.
        clusters: What the cluster names begin with; no other test may use them.
        choose: Which of a scenario's cases.
        say: Told a line per scenario.
    """
    results: list[Result] = []
    for number, (scenario, has_macro) in enumerate((s, has_macro) for s in SCENARIOS for has_macro in (True, False)):
        begun = time.perf_counter()
        found = asyncio.run(_bench(Bench(avi, scenario, has_macro, f"{clusters}-{number}"), choose))
        say(_line(found, time.perf_counter() - begun))
        results += found
    return results


async def _bench(bench: Bench, choose: Choose) -> list[Result]:
    async with bench.prepared():
        return [await bench.run(case) for case in choose(list(bench.cases()))]


def _line(results: Sequence[Result], seconds: float) -> str:
    case, wrong = results[0].case, sum(bool(result.problems) for result in results)
    way = "macro" if case.has_macro else "one by one"
    calls = max(result.case.nth for result in results)
    most = max(result.extra_calls for result in results)
    return (
        f"{case.scenario.name:22} {way:10} {calls:2} calls {len(results):4} cases {wrong:3} wrong, "
        f"at most {most:2} calls more, {seconds:5.1f} s"
    )


def table(results: Iterable[Result]) -> str:
    """The matrix in Markdown: a row per trouble, a column per scenario, how many cases converged of how many."""
    done = list(results)
    names = [scenario.name for scenario in SCENARIOS]
    total = Counter((result.case.trouble, result.case.scenario.name) for result in done)
    well = Counter((r.case.trouble, r.case.scenario.name) for r in done if not r.problems)
    lines = ["| trouble | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for trouble in TROUBLES:
        cells = [f"{well[trouble, name]}/{total[trouble, name]}" for name in names]
        lines.append(f"| {trouble} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def summary(results: Sequence[Result]) -> str:
    """One sentence."""
    wrong = sum(bool(result.problems) for result in results)
    most, tries = max(r.extra_calls for r in results), max(r.tries for r in results)
    return (
        f"{len(results)} cases, {wrong} wrong; at most {most} calls more than undisturbed (bound: {EXTRA_CALLS}), "
        f"at most {tries} looks"
    )


def failures(results: Iterable[Result]) -> list[str]:
    """What went wrong, in words."""
    return [f"{result.case}: {'; '.join(result.problems)}" for result in results if result.problems]
