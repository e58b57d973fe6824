"""What befalls a Controller as a whole: start-up, upgrade, restarts, a new leader, its clock; it knows no object."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias

from simulator.calls import WRITES, Call
from simulator.refusals import RefusedError

Condition: TypeAlias = Literal["ready", "initializing", "upgrading"]

NOT_READY: Final = "INITIALIZING \N{EN DASH} Avi Controller is not ready"
"""Source: avi.md 2.1 [DOC]: every path, 503."""
UPGRADING: Final = "Configuration is disallowed during upgrade"
"""Source: avi.md 2.1 [AKO]: 403; that reads go on is assumed."""


class Clock:
    """Seconds since the epoch as the Controller's clock shows them: right until it jumps."""

    def __init__(self, source: Callable[[], float]) -> None:
        """Run with ``source``."""
        self.source = source
        self._ahead_seconds = 0.0

    def __call__(self) -> float:
        """Now."""
        return self.source() + self._ahead_seconds

    def jump(self, seconds: float) -> None:
        """Jump ahead, or back if negative."""
        self._ahead_seconds += seconds


@dataclass(frozen=True, slots=True)
class Node:
    """One node of the cluster: its address, whether it leads, and since when it is what it is."""

    name: str
    is_leader: bool
    up_since: str


class Life:
    """The condition of one Controller and the nodes of its cluster.

    A condition lasts by the true time, not by the Controller's clock, which may jump meanwhile.
    """

    def __init__(self, clock: Clock, *, nodes: int) -> None:
        """Begin ready, the first of ``nodes`` leading."""
        self._clock = clock
        self._since = [clock()] * nodes
        self._leader = 0
        self._condition: Condition = "ready"
        self._until: float | None = None

    @property
    def condition(self) -> Condition:
        """Now."""
        is_over = self._until is not None and self._clock.source() >= self._until
        return "ready" if is_over else self._condition

    def enter(self, condition: Condition, *, seconds: float | None = None) -> None:
        """Be in a condition for that long; None is until told otherwise."""
        self._condition = condition
        self._until = None if seconds is None else self._clock.source() + seconds

    def restart(self, *, seconds: float) -> None:
        """All nodes go down and come up again: not ready for that long."""
        self._since = [self._clock()] * len(self._since)
        self.enter("initializing", seconds=seconds)

    def elect(self, *, seconds: float) -> None:
        """The leader fails, the next node leads. Assumed: meanwhile no node is ready."""
        failed = self._leader
        self._leader = (failed + 1) % len(self._since)
        self._since[failed] = self._since[self._leader] = self._clock()
        self.enter("initializing", seconds=seconds)

    def nodes(self) -> list[Node]:
        """Every node. Source: avi.md 2.1 [DOC], ako.md 6.1 no. 3 for the time's form."""
        shown = [datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%d %H:%M:%S") for since in self._since]
        return [Node(f"127.0.0.{n + 1}", n == self._leader, since) for n, since in enumerate(shown)]

    def check(self, call: Call) -> None:
        """Refuse a call that the condition does not allow."""
        condition = self.condition
        if condition == "initializing":
            raise RefusedError(503, NOT_READY)
        if condition == "upgrading" and call.method in WRITES and call.segments[:1] == ["api"]:
            raise RefusedError(403, UPGRADING)
