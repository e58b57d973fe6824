"""What came of a guarantee: what was tried, how often, what was stored; it prints nothing."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

SHOWN_BREACHES: Final = 5


@dataclass(slots=True)
class Result:
    """Filled while the guarantee is tried."""

    name: str
    tried: str
    """One sentence: what was done in each round."""
    rounds: int = 0
    counts: Counter[str] = field(default_factory=Counter[str])
    """What was stored and answered, by what it is called."""
    breaches: list[str] = field(default_factory=list[str])
    seconds: float = 0.0

    def expect(self, is_so: bool, breach: str) -> None:  # noqa: FBT001 - reads as an assertion
        """Note a breach unless it is so."""
        if not is_so:
            self.breaches.append(breach)

    @property
    def is_kept(self) -> bool:
        """Whether the guarantee held, and was tried at all."""
        return self.rounds > 0 and not self.breaches

    @property
    def stored(self) -> str:
        """The counts, in the order in which they came up."""
        return ", ".join(f"{number:,} {what}" for what, number in self.counts.items())

    def __str__(self) -> str:
        """One line, and one for each of the first breaches."""
        verdict = "kept" if self.is_kept else "BROKEN"
        line = f"{verdict:6} {self.name}: {self.tried}; {self.rounds:,} rounds in {self.seconds:.0f} s: {self.stored}"
        more = len(self.breaches) - SHOWN_BREACHES
        shown = [f"       {breach}" for breach in self.breaches[:SHOWN_BREACHES]]
        return "\n".join([line, *shown, *([f"       and {more} more"] if more > 0 else [])])
