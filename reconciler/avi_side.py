"""The Controller as this process knows it: read as a whole at the start and at each resync; it never plans.

Until the first read has succeeded nothing is planned: who does not know what is there would create it again.
"""

import asyncio
from typing import Final

import structlog

from reconciler.apply import Applier
from reconciler.avi_errors import AviError, AviUnreachable
from reconciler.avi_objects import AviObjects
from reconciler.avi_view import AviView
from sharedvip.model import GroupName

_log = structlog.get_logger("reconciler.avi_side")


class AviSide:
    """The way to Avi, and what is known of it.

    Args:
        objects: Our objects on the Controller.
        has_macro: Whether the Controller takes macro calls.
        has_names: Whether members may have DNS names, so that the cloud's domains matter.
    """

    def __init__(self, objects: AviObjects, *, has_macro: bool = True, has_names: bool = False) -> None:
        self._objects: Final = objects
        self._has_names: Final = has_names
        self.has_macro: Final = has_macro
        self.view: Final = AviView()
        self.applier: Final = Applier(objects, self.view)
        self.licence_tier = ""
        """``default_license_tier``; "" before the first read."""
        self.domains: tuple[str, ...] = ()
        """Of the cloud's DNS; none before the first read."""
        self.drifted: set[GroupName] = set()
        """Groups that somebody else changed, and that were not repaired yet."""
        self._unknown: AviError | None = AviUnreachable("the Avi Controller was not asked yet")

    @property
    def unknown(self) -> AviError | None:
        """Why nothing is known of the Controller yet; None once it was read."""
        return self._unknown

    def is_new(self, group: GroupName) -> bool:
        """Whether the Controller was read, and nothing of the group is there."""
        return self._unknown is None and not any(True for _ in self.view.group(group))

    async def read(self) -> tuple[GroupName, ...]:
        """Read the licence, DNS domains and all our objects in 5 to 7 calls and pages; the groups that changed, sorted.

        Raises:
            AviError: The Controller refused or could not be asked; what was known before stays.
        """
        mark = self.view.mark()
        try:
            tier, domains, listed = await asyncio.gather(
                self._objects.licence_tier(), self._domains(), self._objects.list_ours(self.view.documents())
            )
        except AviError as error:
            if self._unknown is not None:
                self._unknown = error
            raise
        changed = self.view.replace(listed, since=mark)
        if self._unknown is not None:
            _log.info("avi.known", groups=len(self.view.groups()), licence_tier=tier)
        elif changed:
            self.drifted.update(changed)
            _log.warning("avi.drift", groups=[f"{group.namespace}/{group.key}" for group in changed])
        self.licence_tier, self.domains, self._unknown = tier, domains, None
        return changed

    async def _domains(self) -> tuple[str, ...]:
        return await self._objects.domains() if self._has_names else ()
