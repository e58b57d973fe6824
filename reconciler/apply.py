"""Do a plan, call by call, and remember each answer; it never decides what to do."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import structlog

from reconciler.avi_errors import AviError, AviStaleView
from reconciler.avi_objects import AviObjects, Owned
from reconciler.avi_view import AviView
from reconciler.graph import ObservedGroup
from reconciler.plan import Call, tree
from sharedvip.model import GroupName

ATTEMPTS: Final = 3
"""How often a group is looked up and planned anew within one pass: a lost reply and a late conflict, and once more."""

_log = structlog.get_logger("reconciler.apply")


class Applier:
    """Brings groups to what a planner wants.

    Args:
        objects: The Controller.
        view: What is known of it; kept up to date.
    """

    def __init__(self, objects: AviObjects, view: AviView) -> None:
        self._objects: Final = objects
        self._view: Final = view

    async def bring(self, group: GroupName, planner: Callable[[ObservedGroup], Sequence[Call]]) -> int:
        """Do what the planner says until it says nothing; the number of calls made.

        Raises:
            AviError: The Controller refused, or could not be asked; the group is then in doubt.
        """
        calls = 0
        for attempt in range(ATTEMPTS):
            await self._make_sure(group)
            plan = planner(self._view.group(group))
            try:
                for call in plan:
                    await self._do(group, call)
                    calls += 1
            except AviStaleView as error:
                _log.info("avi.plan_anew", group=group, status=error.status, attempt=attempt + 1)
                if attempt + 1 == ATTEMPTS:
                    raise
            else:
                return calls
        return calls

    async def _make_sure(self, group: GroupName) -> None:
        if self._view.is_unsure(group):
            self._view.set(group, await self._objects.look_up(group))

    async def _do(self, group: GroupName, call: Call) -> None:
        # Whatever happens between here and the answer (an error, a cancellation): what we know may be wrong.
        self._view.doubt(group)
        try:
            shown = await self._objects.perform(call)
        except AviError as error:
            _log.warning("avi.write_failed", **_fields(group, call), status=error.status, error=error.message)
            raise
        _log.info("avi.write", **_fields(group, call))
        self._learn(group, call, shown)

    def _learn(self, group: GroupName, call: Call, shown: Iterable[Owned]) -> None:
        observed = _after_delete(self._view.group(group), call)
        parts = [owned for owned in shown if owned.name.group == group]
        for owned in parts:
            observed = observed.having(owned.part, listener=owned.name.listener)
        if call.method == "DELETE" or _is_complete(call, observed, parts):
            self._view.set(group, observed)


def _is_complete(call: Call, observed: ObservedGroup, parts: Sequence[Owned]) -> bool:
    """Whether the answer showed what the call made; else the group stays in doubt and is looked up."""
    if call.target == "macro":
        singles = (observed.vsvip, observed.l4policyset, observed.virtualservice)
        return all(part is not None for part in singles) and bool(observed.pools)
    return any(owned.part.name == call.name for owned in parts)


def _after_delete(observed: ObservedGroup, call: Call) -> ObservedGroup:
    if call.method != "DELETE":
        return observed
    gone = tree(observed) if call.target == "macro" else {(call.target, call.name)}
    for part in [part for part in observed if (part.type, part.name) in gone]:
        observed = observed.without(part.uuid)
    return observed


def _fields(group: GroupName, call: Call) -> dict[str, str]:
    return {
        "namespace": group.namespace,
        "key": group.key,
        "method": call.method,
        "target": call.target,
        "object": call.name,
    }
