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
    """

    def __init__(self, objects: AviObjects, *, has_macro: bool = True) -> None:
        self._objects: Final = objects
        self.has_macro: Final = has_macro
        self.view: Final = AviView()
        self.applier: Final = Applier(objects, self.view)
        self.licence_tier = ""
        """``default_license_tier``; "" before the first read."""
        self._unknown: AviError | None = AviUnreachable("nobody asked it yet")

    @property
    def unknown(self) -> AviError | None:
        """Why nothing is known of the Controller yet; None once it was read."""
        return self._unknown

    async def read(self) -> tuple[GroupName, ...]:
        """Read the licence and all our objects: 5 calls and pages; the groups that are not as they were known, sorted.

        Raises:
            AviError: The Controller refused or could not be asked; what was known before stays.
        """
        mark = self.view.mark()
        try:
            tier, listed = await asyncio.gather(self._objects.licence_tier(), self._objects.list_ours())
        except AviError as error:
            if self._unknown is not None:
                self._unknown = error
            raise
        changed = self.view.replace(listed, since=mark)
        if self._unknown is not None:
            _log.info("avi.known", groups=len(self.view.groups()), licence_tier=tier)
        elif changed:
            _log.warning("avi.drift", groups=[f"{group.namespace}/{group.key}" for group in changed])
        self.licence_tier, self._unknown = tier, None
        return changed
