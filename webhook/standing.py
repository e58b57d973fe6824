"""Answers that stand: an update that changes nothing that is judged of its Service gets the answer of the last one.

Most updates that reach us are of that kind (a label, a finalizer, a selector, a target port), and all they need is the
warning that an old conflict is still there. It never refuses anybody: whether something changes is seen by comparing
the two objects of the request, and only the warnings are remembered, until anything is told of the group.
"""

from typing import Final, NamedTuple

from sharedvip.model import GroupName, ServiceName
from webhook.answer import Answer
from webhook.review import UNREADABLE, AdmissionRequest, ServiceDocument, ServiceRequest
from webhook.view import Asked, View, asked_addresses
from webhook.world import World

LIMIT: Final = 4096
"""Services remembered, some 4 MB where each has one or two warnings (measured); the first remembered goes first."""
LARGEST: Final = 16 * 1024
"""Bytes of a Service whose answer is worth remembering: most have 2 KiB."""
LONGEST: Final = 2048
"""Characters of all that is remembered of a Service: a warning has some 150, and nobody's hundred shall cost all others
their place in memory."""


class _Known(NamedTuple):
    digest: int
    """Of the bytes that are read of it: cheaper to compare than what they say."""
    judged: int
    """Of what is judged of it; another may have the same, once in 2^64."""
    group: GroupName
    addresses: tuple[str, str]
    view: View
    answer: Answer


class StandingAnswers:
    """The answers to updates that changed nothing.

    Of a group, all are of one view of it: an older one is forgotten with all its answers, as it would keep the group's
    ledger of its time in memory.
    """

    def __init__(self, world: World) -> None:
        """Know none yet."""
        self._world = world
        self._known: dict[ServiceName, _Known] = {}
        self._groups: dict[GroupName, set[ServiceName]] = {}

    def find(self, request: AdmissionRequest) -> Answer | None:
        """The answer, where it is known; None: decide."""
        update, name = _update(request), ServiceName(request.namespace, request.name)
        known = self._known.get(name) if update is not None else None
        if known is None or update is None:
            return None
        if not self._world.is_still(known.view, known.group, name, known.addresses):
            self._forget_group(known.group)
            return None
        return known.answer if _asks_again(known, *update) else None

    def keep(self, request: AdmissionRequest, asked: Asked, answer: Answer) -> None:
        """Remember an answer, if the request changes nothing that is judged."""
        update = _update(request)
        if update is None or asked.candidate.sharing_key is None or update[0].size > LARGEST:
            return
        judged = _judged(*update)
        if judged is None:
            return
        name, view = ServiceName(request.namespace, request.name), self._world.cached(asked)
        known = _Known(update[0].digest, judged, asked.group, asked_addresses(asked), view, answer)
        self._forget(name)
        if not self._is_of_one_view(known):
            self._forget_group(known.group)
        if _length(name, known) <= LONGEST:
            self._remember(name, known)

    def _remember(self, name: ServiceName, known: _Known) -> None:
        while len(self._known) >= LIMIT:
            self._forget(next(iter(self._known)))
        self._known[name] = known
        self._groups.setdefault(known.group, set()).add(name)

    def _is_of_one_view(self, known: _Known) -> bool:
        """With all others of its group."""
        for name in self._groups.get(known.group, ()):
            view = self._known[name].view
            return view.ledger is known.view.ledger and view.services is known.view.services
        return True

    def _forget(self, name: ServiceName) -> None:
        known = self._known.pop(name, None)
        if known is not None:
            names = self._groups[known.group]
            names.remove(name)
            if not names:
                del self._groups[known.group]

    def _forget_group(self, group: GroupName) -> None:
        for name in self._groups.pop(group, ()):
            del self._known[name]


def _length(name: ServiceName, known: _Known) -> int:
    """Characters that belong to it alone."""
    holders = map(repr, (*known.view.holders, *known.view.intended_holders))
    return sum(map(len, (*name, *known.group, *known.addresses, *known.answer.warnings, *holders)))


def _update(request: AdmissionRequest) -> tuple[ServiceDocument, ServiceDocument] | None:
    """The Service as it is to be and as it is, where this is an update of one that stays."""
    if request.operation != "UPDATE" or not isinstance(request, ServiceRequest):
        return None
    new, old, kind = request.object, request.old_object, request.kind
    if new is None or old is None or kind.kind != "Service" or kind.group or request.sub_resource:
        return None
    return (new, old) if new.metadata.deletion_timestamp is None else None


def _asks_again(known: _Known, new: ServiceDocument, old: ServiceDocument) -> bool:
    return (new.is_like(old) and known.digest == new.digest) or known.judged == _judged(new, old)


def _judged(new: ServiceDocument, old: ServiceDocument) -> int | None:
    """A digest of what is judged of both; None where that is not the same, or cannot be read."""
    try:
        judged = new.judged
        return hash(judged) if new.is_like(old) or judged == old.judged else None
    except UNREADABLE:
        return None
