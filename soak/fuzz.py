"""A webhook process under 100,000 requests that no API server sends, over its real TLS; it judges by ``soak.oracle``.

What is wrong is told with the seed and the number of the case, which make the same bytes again.
"""

import asyncio
import itertools
import os
import random
import re
import secrets
import ssl
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from localcluster.ports import LOOPBACK
from soak.bad_manners import CALLERS, HEAVY_CALLERS, Caller, half_a_handshake, half_a_request
from soak.line import Address, Line, post
from soak.mutations import Case, cases
from soak.oracle import expect, find_fault
from soak.result import Result
from soak.rig import Rig

CASES_A_ROUND: Final = 100
LANES: Final = 12
CROWD: Final = 96
CROWD_CASES: Final = 1000
"""So many lanes for so many cases at first: the pool of connections to the API server grows to its bound then, rather
than one by one all the time."""
RUDE_LANES: Final = 4
BAD_MANNERS_ONE_IN: Final = 50
HEAVY_ONE_IN: Final = 1000
HALF_OPEN_ONE_IN: Final = 1000
FULL_CASES: Final = 10_000
"""From so many on memory is judged, and nobody minds to wait a minute."""
WARM_SHARE: Final = 0.5
"""Then memory is judged. Every cache is bounded, but 4,096 different ports take their time: after 60,000 cases that one
was full by two thirds, and the allocator has met its largest bodies long before."""
GROWTH_LIMIT_MIB: Final = 8.0
"""From then on to the end: a leak of 170 bytes a request would show."""
_SHOWN_BODY: Final = 300
_SAMPLES: Final = 50
_DIRECT: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Target:
    """A webhook process."""

    address: Address
    health_port: int
    pid: int
    namespaces: Sequence[str]
    """Those in which it may claim."""
    log: Path

    def resident_mib(self) -> float:
        """Of the process."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def bugs(self) -> int:
        """How often it met what nobody has thought of: by its own count, and by the tracebacks in its log."""
        with _DIRECT.open(f"http://{LOOPBACK}:{self.health_port}/metrics", timeout=30) as reply:
            text = reply.read().decode()
        found = re.findall(r'^sharedvip_admission_failures_total\{reason="bug".*\} (\S+)$', text, re.MULTILINE)
        return round(sum(map(float, found))) + self.log.read_bytes().count(b"Traceback")


@dataclass(slots=True)
class Fuzzing:
    """One run."""

    target: Target
    seed: int
    count: int
    result: Result
    sizes: list[float] = field(default_factory=list[float])
    """Resident MiB, sampled at even distances from the end of the warming on."""

    async def run(self) -> None:
        """All cases, several at once; then whether memory stayed flat and nothing was logged that we did not expect."""
        chance = random.Random(self.seed + 1)  # noqa: S311 - to be repeated, not to be secret
        before = await asyncio.to_thread(self.target.bugs)
        numbered = iter(enumerate(cases(self.seed, namespaces=self.target.namespaces)))
        rude = self._rude_callers(chance)
        waiting = [asyncio.create_task(self._call(caller, chance)) for caller in self._waiting()]
        rude_lanes = [asyncio.create_task(self._rude_lane(rude, chance)) for _ in range(RUDE_LANES)]
        crowded = min(CROWD_CASES, self.count)
        await self._lanes(CROWD, itertools.islice(numbered, crowded))
        await self._lanes(LANES, itertools.islice(numbered, self.count - crowded))
        await asyncio.gather(*rude_lanes)
        await asyncio.gather(*waiting)
        await self._judge_process(before)

    async def _lanes(self, count: int, numbered: Iterator[tuple[int, Case]]) -> None:
        await asyncio.gather(*(self._lane(numbered) for _ in range(count)))

    async def _lane(self, numbered: Iterator[tuple[int, Case]]) -> None:
        async with Line(self.target.address) as line:
            for number, case in numbered:
                await self._ask(line, number, case)
                self._sample(number)

    async def _ask(self, line: Line, number: int, case: Case) -> None:
        expected = expect(case.body, path=case.path, namespaces=self.target.namespaces)
        try:
            reply = await line.exchange(post(case.path, case.body))
        except TimeoutError:
            fault, status = "no answer", 0
        else:
            fault, status = find_fault(reply.status, reply.content, expected, path=case.path), reply.status
        self.result.rounds += 1
        self.result.counts[f"answered {status}"] += 1
        shown = case.body[:_SHOWN_BODY]
        self.result.expect(not fault, f"seed {self.seed}, case {number} ({'+'.join(case.made_by)}): {fault}; {shown!r}")

    def _rude_callers(self, chance: random.Random) -> Iterator[Caller]:
        light, heavy = max(len(CALLERS), self.count // BAD_MANNERS_ONE_IN), max(4, self.count // HEAVY_ONE_IN)
        callers = [*(CALLERS * (light // len(CALLERS))), *(HEAVY_CALLERS * (heavy // len(HEAVY_CALLERS)))]
        chance.shuffle(callers)
        return iter(callers)

    def _waiting(self) -> list[Caller]:
        """Half a handshake is given up after a minute, for which the short form does not wait."""
        kinds: list[Caller] = [half_a_request, half_a_handshake] if self.count >= FULL_CASES else [half_a_request]
        return kinds * max(8, self.count // HALF_OPEN_ONE_IN)

    async def _rude_lane(self, callers: Iterator[Caller], chance: random.Random) -> None:
        for caller in callers:
            await self._call(caller, chance)

    async def _call(self, caller: Caller, chance: random.Random) -> None:
        name = caller.__name__
        try:
            fault = await caller(chance, self.target.address)
        except (TimeoutError, OSError) as error:
            fault = f"{error!r}"
        self.result.rounds += 1
        self.result.counts["bad manners"] += 1
        self.result.expect(not fault, f"seed {self.seed}, {name}: {fault}")

    def _sample(self, number: int) -> None:
        warm = int(self.count * WARM_SHARE)
        if number >= warm and (number - warm) % max(1, self.count // _SAMPLES) == 0:
            self.sizes.append(self.target.resident_mib())

    async def _judge_process(self, bugs_before: int) -> None:
        bugs = await asyncio.to_thread(self.target.bugs) - bugs_before
        self.result.expect(bugs == 0, f"seed {self.seed}: {bugs} requests met a bug; the webhook's log says where")
        grown, size = self.growth_mib, self.sizes[-1]
        self.result.counts["MiB resident"] = round(size)
        self.result.counts["MiB grown"] = round(grown)
        is_full = self.count >= FULL_CASES
        self.result.expect(not is_full or grown < GROWTH_LIMIT_MIB, f"it grew by {grown:.1f} MiB: {self.sizes}")

    @property
    def growth_mib(self) -> float:
        """Between the first and the last fifth of the samples, each by its smallest: a large body is no leak."""
        part = max(1, len(self.sizes) // 5)
        return min(self.sizes[-part:]) - min(self.sizes[:part])


async def fuzz(rig: Rig, namespaces: Sequence[str], *, rounds: int, result: Result) -> None:
    """Hundred cases for each round, against one replica; the seed is another one each time."""
    replica, seed = rig.replicas[0], secrets.randbelow(2**32)
    context = ssl.create_default_context(cafile=str(rig.ca))
    target = Target(
        Address(replica.port, context),
        health_port=replica.health_port,
        pid=rig.processes[replica.name],
        namespaces=namespaces,
        log=rig.directory / f"{replica.name}.log",
    )
    await Fuzzing(target, seed, rounds * CASES_A_ROUND, result).run()
