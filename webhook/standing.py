"""Answers that stand: an update that changes nothing that is read of its Service gets the answer of the last one.

Most updates that reach us are of that kind (a label, a finalizer, a field's manager), and all they need is the warning
that an old conflict is still there. It never refuses anybody: whether something changes is seen by comparing the two
objects of the request byte by byte, and only the warnings are remembered, until anything is told of the group.
"""

from typing import Final, NamedTuple

from sharedvip.model import GroupName, ServiceName
from webhook.answer import Answer
from webhook.review import AdmissionRequest, ServiceDocument, ServiceRequest
from webhook.world import Asked, View, World, asked_addresses

LIMIT: Final = 4096
"""Services remembered, some 4 MB; the first remembered goes first."""
LARGEST: Final = 16 * 1024
"""Bytes of a Service whose answer is worth remembering: most have 2 KiB, and nobody's shall cost all others their
place in memory."""


class _Known(NamedTuple):
    digest: int
    group: GroupName
    addresses: tuple[str, str]
    view: View
    answer: Answer


class StandingAnswers:
    """The answers to updates that changed nothing."""

    def __init__(self, world: World) -> None:
        """Know none yet."""
        self._world = world
        self._known: dict[ServiceName, _Known] = {}

    def find(self, request: AdmissionRequest) -> Answer | None:
        """The answer, where it is known; None: decide."""
        document = _unchanged(request)
        name = ServiceName(request.namespace, request.name)
        known = self._known.get(name) if document is not None else None
        if known is None or document is None or known.digest != document.digest:
            return None
        return known.answer if self._world.is_still(known.view, known.group, name, known.addresses) else None

    def keep(self, request: AdmissionRequest, asked: Asked, answer: Answer) -> None:
        """Remember an answer, if the request changes nothing."""
        document = _unchanged(request)
        if document is None or asked.candidate.sharing_key is None:
            return
        name = ServiceName(request.namespace, request.name)
        if document.size + sum(map(len, name)) > LARGEST:
            return
        self._known.pop(name, None)
        while len(self._known) >= LIMIT:
            del self._known[next(iter(self._known))]
        view, addresses = self._world.cached(asked), asked_addresses(asked)
        self._known[name] = _Known(document.digest, asked.group, addresses, view, answer)


def _unchanged(request: AdmissionRequest) -> ServiceDocument | None:
    """The Service, where this is an update of one that changes nothing that is read of it."""
    if request.operation != "UPDATE" or not isinstance(request, ServiceRequest):
        return None
    new, old, kind = request.object, request.old_object, request.kind
    if new is None or old is None or kind.kind != "Service" or kind.group or request.sub_resource:
        return None
    return new if new.metadata.deletion_timestamp is None and new.is_like(old) else None
