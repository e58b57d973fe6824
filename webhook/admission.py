"""What is answered to one AdmissionRequest: read, decide, answer; it knows no HTTP.

Everything that is not a create or an update of a Service with the annotation is allowed: the webhook configuration
keeps most of it away, and what comes all the same must not be blocked by us.
"""

from dataclasses import replace
from typing import Final

from starlette.types import Receive

from sharedvip.decide import can_join, existing_denials, relevant_change
from sharedvip.identity import find_flaw
from sharedvip.inherit import inherited_address
from sharedvip.leaving import left_group
from sharedvip.model import Denial, ServiceView
from sharedvip.parse import ServiceObject, parse_service, reads_alike, static_address
from sharedvip.warn import warnings
from webhook.answer import Answer, Verdict, denied
from webhook.caller import waiting
from webhook.claiming import Claiming
from webhook.leaving import leaving_denials
from webhook.refusals import to_inherit, to_take_out
from webhook.review import AdmissionRequest, BadReviewError, parse_object
from webhook.standing import StandingAnswers
from webhook.view import Asked
from webhook.world import World

_JUDGED: Final = frozenset({"CREATE", "UPDATE"})


def parse_asked(request: AdmissionRequest, caller: Receive = waiting) -> Asked | str:
    """What is asked, or why it is none of our business; ``caller`` is whose connection it came by.

    Raises:
        BadReviewError: It calls itself a Service, and is none; or it is an update of nothing.
    """
    kind = request.kind
    if (kind.group, kind.version, kind.kind) != ("", "v1", "Service") or request.sub_resource:
        name = "/".join(filter(None, (kind.group, kind.version, kind.kind, request.sub_resource)))
        return f"not judged: {name} is not a v1 Service; check the rules of the webhook configuration"
    if request.operation not in _JUDGED:
        return f"not judged: operation {request.operation} is neither CREATE nor UPDATE"
    new = parse_object(request.object, what="request.object")
    if new is None:
        return "not judged: the request holds no object"
    old = parse_object(request.old_object, what="request.oldObject") if request.operation == "UPDATE" else None
    if old is None and request.operation == "UPDATE":
        # Judged as a create, it would be told that it exists already.
        raise BadReviewError("request.oldObject is missing, and the operation is UPDATE")
    candidate = _parse_candidate(new, namespace=request.namespace)
    if old is None or reads_alike(old, new):
        return Asked(candidate, None if old is None else candidate, is_dry_run=bool(request.dry_run), caller=caller)
    stored = parse_service(old, namespace=request.namespace)
    version = old.get("metadata", {}).get("resourceVersion", "")
    return Asked(candidate, replace(stored, resource_version=version), is_dry_run=bool(request.dry_run), caller=caller)


def _parse_candidate(new: ServiceObject, *, namespace: str) -> ServiceView:
    """A Service without a name yet (``generateName``, when it is mutated) gets one that no stored Service can have."""
    candidate = parse_service(new, namespace=namespace)
    if new.get("metadata", {}).get("name"):
        return candidate
    return replace(candidate, name=candidate.name._replace(name=f"{candidate.name.name}-"))


class Admission:
    """The two webhooks."""

    def __init__(self, world: World, claiming: Claiming) -> None:
        """Put together."""
        self._world = world
        self._claiming = claiming
        self.standing = StandingAnswers(world)
        """What ``validate`` said to updates that change nothing."""

    @property
    def is_ready(self) -> bool:
        """Whether decisions rest on complete caches."""
        return self._world.has_synced

    async def validate(self, asked: Asked) -> Answer:
        """May it be stored?

        Raises:
            ClusterError: The ledger could not be asked.
            BadReviewError: No API server can have sent it.
        """
        candidate, old = asked.candidate, asked.old
        if candidate.is_deleting:
            return Answer()
        if candidate.sharing_key is None:
            if old is not None and left_group(candidate, old) is not None:
                _require_names(candidate, old)
            leaving = await leaving_denials(asked, self._world, join=self._claiming.admit)
            return denied(leaving, warnings(candidate)) if leaving else Answer(warnings=warnings(candidate))
        if old is not None and not relevant_change(old, candidate):
            return Answer(warnings=warnings(candidate, existing=self._existing(asked)))
        _require_names(candidate)
        answer = await self._claiming.admit(asked)
        if answer.verdict is Verdict.ALREADY_EXISTS:
            return answer
        shown = self._existing(asked) if old is not None else ()
        known = {(denial.rule, denial.subject) for denial in shown}
        existing = (*shown, *(one for one in answer.existing if (one.rule, one.subject) not in known))
        return Answer(
            answer.verdict,
            denials=to_take_out(to_inherit(answer.denials) if _may_inherit(asked) else answer.denials, asked),
            warnings=warnings(candidate, existing=existing),
            claimed=answer.claimed,
        )

    async def mutate(self, asked: Asked) -> Answer:
        """The group's address, for who joins without one.

        The ledger is read live: two Services of one manifest arrive within less time than a cache needs. And where
        there is an address to inherit, so are those who have it: nobody gets the address of a group that just went.

        Raises:
            ClusterError: The ledger could not be asked.
        """
        if not _may_inherit(asked):
            return Answer()
        ledger, members = await self._world.ledger(asked.group), self._world.members(asked.group)
        if not (ledger and ledger.shared.static_address) and not any(map(static_address, members)):
            return Answer()
        view = (await self._world.look(asked)).view
        return Answer(inheritance=inherited_address(asked.candidate, view.services, view.ledger))

    def _existing(self, asked: Asked) -> tuple[Denial, ...]:
        situation = self._world.cached(asked).situation(asked)
        return existing_denials(asked.candidate, old=asked.old, situation=situation)


def _may_inherit(asked: Asked) -> bool:
    candidate, old = asked.candidate, asked.old
    if candidate.is_deleting or not can_join(candidate) or static_address(candidate):
        return False
    return old is None or relevant_change(old, candidate)


def _require_names(candidate: ServiceView, old: ServiceView | None = None) -> None:
    """Whoever else reaches our port: such names are the API server's to read as a path, or to choke on.

    A field manager of 100,000 NULs costs it 23 GB for the words of its refusal (1.36.3).

    Raises:
        BadReviewError: No API server can have sent it.
    """
    for service, field in ((candidate, "request.object"), (old, "request.oldObject")):
        if service is not None and (flaw := find_flaw(service)):
            raise BadReviewError(f"{field} is not a Service: {flaw}")
