"""``python -m soak``: tries the guarantees, says one line each, and writes the page; exit code 1: one is broken."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from cluster.api import KubernetesApi
from soak.guarantees import FULL_ROUNDS, GUARANTEES, IN_STORMS, Guarantee
from soak.page import machine, render_page
from soak.result import Result
from soak.rig import Rig

PAGE: Final = Path(__file__).parents[1] / "docs/reference/guarantees.md"


def main(words: Sequence[str] | None = None) -> int:
    """Run; the exit code."""
    known = {guarantee.name: guarantee for guarantee in (*GUARANTEES, *IN_STORMS)}
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("guarantees", nargs="*", metavar="guarantee", help=f"of {', '.join(known)} (default: all)")
    parser.add_argument("--rounds", type=int, default=FULL_ROUNDS, help="of each (default %(default)s)")
    parser.add_argument("--page", type=Path, help=f"where the results go (default for full rounds: {PAGE.name})")
    asked = parser.parse_args(words)
    if unknown := [name for name in asked.guarantees if name not in known]:
        parser.error(f"no such guarantee: {', '.join(unknown)}")
    is_full = asked.rounds >= FULL_ROUNDS
    # What comes after living-cluster takes several times as long.
    chosen = [known[name] for name in asked.guarantees] or [*(IN_STORMS if is_full else ()), *GUARANTEES]
    page: Path | None = asked.page or (PAGE if is_full else None)
    before = page.read_text() if page is not None and page.exists() else ""
    results: list[Result] = []
    # As Ctrl-C, which a shell takes away from what it starts in the background.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with Rig(progress=_say) as rig:
        on = machine(rig)

        def tell(result: Result) -> None:
            """Nothing that was found is lost with what comes after it."""
            print(result, flush=True)  # noqa: T201 - speaks to a person
            results.append(result)
            if page is not None:
                page.write_text(render_page(results, rounds=asked.rounds, on=on, before=before, order=list(known)))

        asyncio.run(keep_all(rig, chosen, rounds=asked.rounds, tell=tell))
    return 0 if all(result.is_kept for result in results) else 1


async def keep_all(rig: Rig, guarantees: Sequence[Guarantee], *, rounds: int, tell: Callable[[Result], None]) -> None:
    """Try them in their order, and tell each result as it comes."""
    api = await KubernetesApi.connect(rig.cluster.kubeconfig, user_agent="sharedvip-soak")
    try:
        for guarantee in guarantees:
            tell(await guarantee.keep(rig, api, rounds=rounds))
    finally:
        await api.close()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - likewise


if __name__ == "__main__":
    sys.exit(main())
