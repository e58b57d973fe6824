"""What the janitor's work on a group comes to, and what newcomers are told that it did not let in; no decisions."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from sharedvip.ledger import Ledger
from sharedvip.model import Denial, ServiceName
from sharedvip.wording import services as named_services

LOOK_AGAIN_SECONDS: Final = 30.0
"""A refused newcomer may fit by a change in another group (an address set free) that nothing tells this one."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The group after the janitor's work."""

    ledger: Ledger | None
    refused: Mapping[ServiceName, str] = field(default_factory=dict[ServiceName, str])
    """Why each refused newcomer was refused, in the words of the rules."""
    wake_seconds: float | None = None
    """When to come again without an event; None: no need."""
    moving: str = ""
    """How far the group's move to another address has come, "" while it stays."""


def soonest(*seconds: float | None) -> float | None:
    """When to come again; None: no need."""
    return min((one for one in seconds if one is not None), default=None)


def messages(denials: Mapping[ServiceName, Iterable[Denial]]) -> dict[ServiceName, str]:
    """What each newcomer is told; those without a denial wait for the others."""
    return refusals({name: "\n".join(map(str, found)) for name, found in denials.items()})


def refusals(said: Mapping[ServiceName, str]) -> dict[ServiceName, str]:
    """Likewise; "": nothing speaks against that one itself."""
    waiting = _waiting([name.name for name, text in said.items() if text])
    return {name: text or waiting for name, text in said.items()}


def _waiting(in_conflict: Collection[str]) -> str:
    return (
        f"waits for {named_services(in_conflict)}: Services that came past admission join together or not at all, "
        "and not all of them fit"
    )
