"""What speaks against a stored member already: judged once for each change of its group, not at each request.

Most updates that reach us change nothing that a rule looks at, and all they need is the warning that a conflict is
still there. It never refuses anybody, and what it says is what ``existing_denials`` says.
"""

from typing import Final, NamedTuple

from sharedvip.decide import existing_denials
from sharedvip.model import Denial, ServiceName, ServiceView
from webhook.world import Asked, View, World

LIMIT: Final = 16_384
"""Members remembered: some 4 MB. Beyond it everything is forgotten, and judged again when it is asked for."""


class _Known(NamedTuple):
    candidate: ServiceView
    view: View
    denials: tuple[Denial, ...]


class StandingConflicts:
    """The violations that irrelevant updates leave as they were."""

    def __init__(self, world: World) -> None:
        """Know none yet."""
        self._world = world
        self._known: dict[ServiceName, _Known] = {}

    def of(self, asked: Asked) -> tuple[Denial, ...]:
        """The violations that the old Service has; only for an update that changes nothing a rule looks at."""
        view = self._world.cached(asked)
        known = self._known.get(asked.candidate.name)
        if known is not None and known.view.is_as(view) and known.candidate == asked.candidate:
            return known.denials
        denials = existing_denials(asked.candidate, old=asked.old, situation=view.situation(asked))
        if len(self._known) >= LIMIT:
            self._known.clear()
        self._known[asked.candidate.name] = _Known(asked.candidate, view, denials)
        return denials
