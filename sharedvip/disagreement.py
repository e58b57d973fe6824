"""How a value that all members must share differs from the peers'; it never judges whether that matters."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from sharedvip.model import Peer
from sharedvip.wording import quoted, services

AGREE_FIRST = "use another sharing key, or make the Services of the group agree first"
"""The remedy where the peers differ among themselves: nothing the candidate sets would fit all of them."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """The candidate's value beside those of its peers; an empty text is no value."""

    key: str
    mine: str
    theirs: Mapping[str, tuple[str, ...]]
    """Each value of a peer with the Services that have it, both sorted (see ``names_by_value``)."""
    without: str
    """What a Service without a value lacks: ``a static address``."""
    show: Callable[[str], str] = quoted
    """How a value is written."""

    @property
    def peers(self) -> tuple[str, ...]:
        """The Services in the way, sorted; none: there is no disagreement."""
        return tuple(sorted({name for _, names in self._others for name in names}))

    @property
    def agreed(self) -> str | None:
        """The value that all peers have, None where they differ among themselves."""
        return next(iter(self.theirs)) if len(self.theirs) == 1 else None

    @property
    def problem(self) -> str:
        """What is wrong, with all other values and all Services in the way."""
        key, others = quoted(self.key), self._others
        if not self.mine:
            shares = " and ".join(f"{_sharing(names)} {self.show(value)}" for value, names in others)
            return f"is not set, but {shares} under {key}"
        if [value for value, _ in others] == [""]:
            return f"is set to {self.show(self.mine)}, but {_sharing(self.peers)} {key} without {self.without}"
        clauses = " and from ".join(self._clause(value, names) for value, names in others)
        return f"{self.show(self.mine)} differs from {clauses} under {key}"

    @property
    def _others(self) -> list[tuple[str, tuple[str, ...]]]:
        return [(value, names) for value, names in self.theirs.items() if value != self.mine]

    def _clause(self, value: str, names: tuple[str, ...]) -> str:
        return (
            f"the {self.show(value)} that {_sharing(names)}" if value else f"{services(names)} without {self.without}"
        )


def _sharing(names: Iterable[str]) -> str:
    return services(names, one="shares", many="share")


def names_by_value(peers: Iterable[Peer], value_of: Callable[[Peer], str]) -> dict[str, tuple[str, ...]]:
    """Each value that a peer has, with the names of all that have it, both sorted."""
    names: dict[str, set[str]] = {}
    for peer in peers:
        names.setdefault(value_of(peer), set()).add(peer.service)
    return {value: tuple(sorted(names[value])) for value in sorted(names)}
