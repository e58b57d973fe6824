"""What we know of our objects on the Controller, in memory; it never asks.

Filled by a list at the start and at each resync, and by the answer to each of our own calls. A group whose last call
had no clear answer is *unsure* until it was looked up.
"""

from collections.abc import Iterable, Mapping

from reconciler.graph import JsonObject, ObservedGroup
from sharedvip.model import GroupName


class AviView:
    """Groups as observed. For one event loop; not for threads."""

    def __init__(self) -> None:
        self._groups: dict[GroupName, ObservedGroup] = {}
        self._unsure: set[GroupName] = set()
        self._touched: dict[GroupName, int] = {}
        self._clock = 0

    def group(self, name: GroupName) -> ObservedGroup:
        """The group's parts, none where nothing is there."""
        return self._groups.get(name, ObservedGroup())

    def groups(self) -> tuple[GroupName, ...]:
        """All groups of which anything is there, sorted."""
        return tuple(sorted(self._groups))

    def documents(self) -> dict[str, JsonObject]:
        """What is known of every object, by uuid."""
        return {part.uuid: part.body for observed in self._groups.values() for part in observed}

    def is_unsure(self, name: GroupName) -> bool:
        """Whether the group must be looked up before anything is planned."""
        return name in self._unsure

    def doubt(self, name: GroupName) -> None:
        """A call for the group ended without a clear answer, or with one that does not fit what we knew."""
        self._touch(name)
        self._unsure.add(name)

    def set(self, name: GroupName, observed: ObservedGroup) -> None:
        """The group as an answer showed it."""
        self._touch(name)
        self._unsure.discard(name)
        self._store(name, observed)

    def mark(self) -> int:
        """The moment before a list is asked for; give it to ``replace``."""
        self._clock += 1
        return self._clock

    def replace(self, listed: Mapping[GroupName, ObservedGroup], *, since: int) -> tuple[GroupName, ...]:
        """Take over a whole list, but for groups touched since it was asked for; the groups that differ, sorted."""
        candidates: Iterable[GroupName] = set(self._groups) | set(listed)
        changed: list[GroupName] = []
        for name in sorted(candidates):
            fresh = listed.get(name, ObservedGroup())
            if self._touched.get(name, 0) < since and self.group(name) != fresh:
                self._store(name, fresh)
                changed.append(name)
        self._touched = {name: at for name, at in self._touched.items() if at >= since}
        return tuple(changed)

    def _touch(self, name: GroupName) -> None:
        self._clock += 1
        self._touched[name] = self._clock

    def _store(self, name: GroupName, observed: ObservedGroup) -> None:
        if any(True for _ in observed):
            self._groups[name] = observed
        else:
            self._groups.pop(name, None)
