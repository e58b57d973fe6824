"""Loads a server from a process of its own, and tells what that cost; several servers in turn, never at once."""

import json
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.admission.stage import ROOT, Stage
from bench.generator import Measurement

CONNECTIONS: Final = 16
_PATIENCE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to ask what."""

    name: str
    port: int
    pid: int
    bodies: Path
    path: str = "/validate?timeout=5s"
    is_allowed: bool = True


@dataclass(frozen=True, slots=True)
class Summary:
    """Several measurements of one target: the medians; each list is by round."""

    name: str
    rates: tuple[float, ...]
    p50s_ms: tuple[float, ...]
    p99s_ms: tuple[float, ...]
    cpu_us: float
    """The server's processor time for a request."""
    generator_busy: float
    """The part of the time that the generator computed: near 1, it would be what is measured."""

    @property
    def rate(self) -> float:
        """Requests a second."""
        return statistics.median(self.rates)

    @property
    def p50_ms(self) -> float:
        """Half of the answers came within."""
        return statistics.median(self.p50s_ms)

    @property
    def p99_ms(self) -> float:
        """All but one of a hundred came within."""
        return statistics.median(self.p99s_ms)

    def rate_ratio(self, other: "Summary") -> float:
        """This rate over the other's, round by round: what slows the machine for a while slows both."""
        return statistics.median(mine / theirs for mine, theirs in zip(self.rates, other.rates, strict=True))

    def p99_ratio(self, other: "Summary") -> float:
        """Likewise for the 99th percentile."""
        return statistics.median(mine / theirs for mine, theirs in zip(self.p99s_ms, other.p99s_ms, strict=True))


class WrongAnswer(Exception):  # noqa: N818 - says what happened
    """A server did not decide as it must, so that its speed says nothing."""


def measure(stage: Stage, targets: Sequence[Target], *, seconds: float, rounds: int) -> tuple[Summary, ...]:
    """Each target in turn, and again, so many rounds.

    Raises:
        WrongAnswer: A request was answered wrongly.
    """
    samples: dict[str, list[tuple[Measurement, float]]] = {target.name: [] for target in targets}
    for _ in range(rounds):
        for target in targets:
            samples[target.name].append(_sample(stage, target, seconds=seconds))
    return tuple(_summary(name, found) for name, found in samples.items())


def write_bodies(path: Path, bodies: Iterable[bytes]) -> Path:
    """One body a line."""
    path.write_bytes(b"\n".join(bodies))
    return path


def _sample(stage: Stage, target: Target, *, seconds: float) -> tuple[Measurement, float]:
    words = {
        "port": target.port,
        "path": target.path,
        "ca": stage.ca,
        "bodies": target.bodies,
        "expect": f'"allowed":{str(target.is_allowed).lower()}',
        "connections": CONNECTIONS,
        "seconds": seconds,
        "warm-up-seconds": min(1.0, seconds / 2),
        "cpu": stage.processors.others,
        "pid": target.pid,
    }
    argv = [sys.executable, "-m", "bench.generator", *(f"--{name}={value}" for name, value in words.items())]
    done = subprocess.run(  # noqa: S603 - our own words
        argv, capture_output=True, text=True, check=False, cwd=ROOT, timeout=_PATIENCE_SECONDS + 2 * seconds
    )
    if done.returncode:
        raise RuntimeError(f"the load generator failed on {target.name}: {done.stderr.strip()[-500:]}")
    given = json.loads(done.stdout)
    cpu_seconds = given.pop("server_cpu_seconds")
    measured = Measurement(**given)
    if measured.wrong:
        raise WrongAnswer(f"{target.name}: {measured.wrong} of {measured.requests} answers are wrong")
    return measured, cpu_seconds / measured.requests * 1e6


def _summary(name: str, samples: Sequence[tuple[Measurement, float]]) -> Summary:
    measured = [measurement for measurement, _ in samples]
    return Summary(
        name,
        rates=tuple(m.rate for m in measured),
        p50s_ms=tuple(m.p50_ms for m in measured),
        p99s_ms=tuple(m.p99_ms for m in measured),
        cpu_us=statistics.median(cpu for _, cpu in samples),
        generator_busy=max(m.busy for m in measured),
    )
