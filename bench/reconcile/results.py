"""What was measured, as plain values, and whether it is what was promised; it measures and prints nothing."""

from dataclasses import dataclass, field
from typing import Final

AKO_CALLS_PER_GROUP: Final = 5
"""n + 3 for a new group of n = 2 Services. Source: ``shared/design/ako.md`` 3.1 [measured]."""
AKO_SECONDS_200: Final = 30.0
"""200 groups x 2 Services on a zero-latency mock. Source: ``shared/design/ako.md`` 3.2 [measured]."""
BOUND_RATIO: Final = 1.2
MEMORY_MIB: Final = 250.0
READS: Final = 30


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is done."""

    groups: int = 1000
    live_groups: int = 200
    pods: int = 500
    services: int = 20
    waves: int = 50
    idle_seconds: float = 10.0
    resync_seconds: float = 60.0


FULL: Final = Sizes()
QUICK: Final = Sizes(groups=50, live_groups=20, pods=100, services=4, waves=10, idle_seconds=3.0, resync_seconds=10.0)


@dataclass(frozen=True, slots=True)
class Use:
    """What the reconciler used while it did something."""

    cpu_seconds: float
    peak_mib: float
    kube_reads: int
    kube_writes: int


@dataclass(frozen=True, slots=True)
class Build:
    """Groups built from nothing.

    Attributes:
        title: What was built, in words.
        groups: How many, two Services each.
        rate: The limit of calls per second to Avi; None: none.
        seconds: From the beginning to the last status.
        writes: Calls to Avi that change something.
        reads: Calls to Avi that only ask.
        use: By the reconciler.
        simulator_cpu_seconds: By the simulator.
        cluster_cpu_seconds: By kube-apiserver and etcd.
        served: Seconds after the beginning at which each Service was told its VIP, sorted.
    """

    title: str
    groups: int
    rate: float | None
    seconds: float
    writes: int
    reads: int
    use: Use
    simulator_cpu_seconds: float
    cluster_cpu_seconds: float
    served: tuple[float, ...] = field(default=(), repr=False)

    @property
    def bound_seconds(self) -> float:
        """What the limit alone needs: writes / rate; 0 without a limit."""
        return self.writes / self.rate if self.rate else 0.0

    @property
    def ratio(self) -> float:
        """Time needed to the bound; 0 without a limit."""
        return self.seconds / self.bound_seconds if self.rate else 0.0

    @property
    def calls_per_group(self) -> float:
        """Writes and reads to Avi, by group."""
        return (self.writes + self.reads) / self.groups

    def seconds_of(self, groups: int) -> float:
        """When so many groups of two Services were told; 0 where so many never were."""
        told = 2 * groups
        return self.served[told - 1] if 0 < told <= len(self.served) else 0.0

    @property
    def writes_per_group(self) -> float:
        """Writes to Avi, by group."""
        return self.writes / self.groups


@dataclass(frozen=True, slots=True)
class Steady:
    """A boot or a resync that finds everything as wanted."""

    title: str
    groups: int
    seconds: float
    reads: int
    writes: int
    use: Use


@dataclass(frozen=True, slots=True)
class Idle:
    """The leader with nothing to do."""

    groups: int
    mib: float
    cpu_percent: float
    """Of one processor."""
    reads: int = 0
    writes: int = 0


@dataclass(frozen=True, slots=True)
class Rolling:
    """A rolling restart of a Deployment behind many Services.

    Attributes:
        pods: Of the Deployment.
        services: Before it.
        events: Writes of EndpointSlices.
        event_seconds: How long they took.
        writes: Calls to Avi that change something.
        reads: Calls to Avi that only ask: those of a resync on the way, none otherwise.
        lag_seconds: From the last event to the end of the last write.
        is_right: Whether each pool has exactly the new pods in the end.
        use: By the reconciler.
    """

    pods: int
    services: int
    events: int
    event_seconds: float
    writes: int
    reads: int
    lag_seconds: float
    is_right: bool
    use: Use

    @property
    def ratio(self) -> float:
        """Writes by event."""
        return self.writes / self.events


@dataclass(frozen=True, slots=True)
class Results:
    """Everything of one run."""

    live: Build
    unlimited: Build
    limited: Build
    boot: Steady
    resync: Steady
    idle: Idle
    idle_full: Idle
    rolling: Rolling
    minutes: float = 0.0
    """The whole run, control planes included."""


@dataclass(frozen=True, slots=True)
class Promise:
    """A number that was promised, and what was measured."""

    what: str
    target: str
    measured: str
    is_kept: bool


def promises(results: Results) -> tuple[Promise, ...]:
    """All of them, in the order of the page."""
    limited, steady = results.limited, (results.boot, results.resync)
    peak = max(use.peak_mib for use in (results.unlimited.use, limited.use, results.rolling.use))
    return (
        Promise(
            f"{limited.groups:,} groups, recorded latency, {limited.rate:g} calls/s: time / bound",
            f"≤ {BOUND_RATIO:g}",
            f"{limited.ratio:.2f} ({limited.seconds:.1f} s / {limited.bound_seconds:.1f} s)",
            limited.ratio <= BOUND_RATIO,
        ),
        Promise(
            "Avi writes for a new group of two Services",
            f"< {AKO_CALLS_PER_GROUP} (AKO)",
            f"{limited.writes_per_group:.2f}",
            limited.writes_per_group < AKO_CALLS_PER_GROUP,
        ),
        Promise("resident memory, peak", f"≤ {MEMORY_MIB:g} MiB", f"{peak:.0f} MiB", peak <= MEMORY_MIB),
        Promise(
            f"{results.live.groups} groups created at once, shipped settings",
            f"< {AKO_SECONDS_200:g} s (AKO)",
            f"{results.live.seconds:.1f} s",
            results.live.seconds < AKO_SECONDS_200,
        ),
        *(
            Promise(
                f"{each.title} at {each.groups:,} groups: Avi reads, writes",
                f"≤ {READS}, 0",
                f"{each.reads}, {each.writes}",
                each.reads <= READS and each.writes == 0,
            )
            for each in steady
        ),
        Promise(
            f"rolling restart of {results.rolling.pods} pods behind {results.rolling.services} Services: the end",
            "exactly the new pods",
            "so" if results.rolling.is_right else "not so",
            results.rolling.is_right,
        ),
    )
