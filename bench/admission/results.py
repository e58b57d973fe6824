"""What one run found, and which targets it meets; it never measures and never rounds in anybody's favour."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from bench.admission.load import Summary
from bench.admission.policies import RIVALS, Throughs

FLOOR: Final = "floor"
FASTAPI: Final = "floor, as a FastAPI route"
UPDATE: Final = "ours, irrelevant update"
PORTS: Final = "ours, another target port"
REFUSAL: Final = "ours, refusal"
INDEXED: Final = "OPA, indexed by group"
INVENTORY: Final = "OPA, inventory"
INDEXED_PORTS: Final = "OPA, indexed by group, another target port"
INVENTORY_PORTS: Final = "OPA, inventory, another target port"
INDEXED_REFUSAL: Final = "OPA, indexed by group, refusal"
INVENTORY_REFUSAL: Final = "OPA, inventory, refusal"
MEMORY_LIMIT_MIB: Final = 100.0


@dataclass(frozen=True, slots=True)
class Results:
    """One run."""

    services: int
    groups: int
    body_bytes: int
    review_namespace: int
    """How many Services the namespace has whose Services the reviews are about."""
    decisions: Mapping[str, Summary]
    policies: Throughs
    ready_seconds: tuple[float, ...]
    ready_mib: float
    memory_mib: float
    """After all of the run's load."""
    has_own_processor: bool
    """Whether what was measured had a processor to itself."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes of the namespaces in which Services were created, ascending."""
        return tuple(sorted({creates.namespace.services for creates in self.policies.creates}))


@dataclass(frozen=True, slots=True)
class Verdict:
    """One target."""

    target: str
    found: str
    is_met: bool


def verdicts(results: Results) -> tuple[Verdict, ...]:
    """All targets, in the order of the issue that sets them."""
    return (*_floor(results), *_opa(results), *_policies(results), _memory(results))


def _floor(results: Results) -> Iterator[Verdict]:
    floor = results.decisions[FLOOR]
    for name in (UPDATE, PORTS, REFUSAL):
        ours = results.decisions[name]
        rate, p99 = ours.rate_ratio(floor), ours.p99_ratio(floor)
        yield Verdict(f"{name}: at least 0.8 of the floor's rate", f"{rate:.2f}", rate >= 0.8)  # noqa: PLR2004 - the target
        yield Verdict(f"{name}: p99 at most 1.5 times the floor's", f"{p99:.2f}", p99 <= 1.5)  # noqa: PLR2004 - likewise


def _opa(results: Results) -> Iterator[Verdict]:
    for of, name, factor in (
        (UPDATE, INVENTORY, 20),
        (UPDATE, INDEXED, 2),
        (PORTS, INVENTORY_PORTS, 20),
        (PORTS, INDEXED_PORTS, 2),
        (REFUSAL, INVENTORY_REFUSAL, 20),
        (REFUSAL, INDEXED_REFUSAL, 2),
    ):
        ours, opa = results.decisions[of], results.decisions[name]
        ratio = ours.rate_ratio(opa)
        yield Verdict(f"{of}: at least {factor} times the rate of {name}", f"{ratio:.1f}", ratio >= factor)
        is_lower = ours.p50_ms < opa.p50_ms and ours.p99_ms < opa.p99_ms
        found = f"{ours.p50_ms:.2f} and {ours.p99_ms:.2f} ms against {opa.p50_ms:.2f} and {opa.p99_ms:.2f} ms"
        yield Verdict(f"{of}: p50 and p99 below those of {name}", found, is_lower)


def _policies(results: Results) -> Iterator[Verdict]:
    through, (smallest, *others) = results.policies, results.sizes
    flat = max(through.of(size, "ours").p50_ms for size in others) / through.of(smallest, "ours").p50_ms
    yield Verdict(f"creates under us: flat from {smallest} Services on (at most 1.1)", f"{flat:.2f}", flat <= 1.1)  # noqa: PLR2004 - the target
    for size in others:
        ours, vap = through.of(size, "ours").p50_ms, through.of(size, "vap").p50_ms
        yield Verdict(f"creates under us: below the VAP at {size:,} Services", f"{ours:.1f} / {vap:.1f} ms", ours < vap)
    for writes, where in (
        (through.writes_per_create, ""),
        (through.writes_with_address, ", in a group with an address"),
        (through.writes_with_lock, ", the first one with its address"),
    ):
        yield Verdict(f"ledger writes for an admitted create{where}: at most 1", f"{writes:.2f}", writes <= 1)
    doubles = through.doubles["ours"]
    found = f"{doubles} ({through.doubles['vap']} under the VAP)"
    yield Verdict(f"rounds of {RIVALS} rivals that store a port twice under us: none", found, doubles == 0)
    writes = through.writes_per_update
    yield Verdict("ledger writes for an irrelevant update: none", f"{writes:.2f}", writes == 0)


def _memory(results: Results) -> Verdict:
    found = results.memory_mib
    return Verdict(
        f"resident memory: at most {MEMORY_LIMIT_MIB:.0f} MiB", f"{found:.0f} MiB", found <= MEMORY_LIMIT_MIB
    )
