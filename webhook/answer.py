"""What is answered to a request, as a value, and how it is put into an AdmissionResponse; it never decides.

The code is 403 and the reason ``Forbidden``, never 409 or 422: ``kubectl apply`` tries again on the first, and with
``--force`` deletes and creates anew on both (``shared/design/rules.md``). The one 409 is the API server's own answer,
given early: the Service that is to be created is already there.
"""

from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Final

import msgspec

from sharedvip.inherit import Inheritance, render_patch
from sharedvip.model import Denial, ServiceName
from webhook.review import AdmissionRequest, AdmissionResponse, Status, StatusCause, StatusDetails


class Verdict(StrEnum):
    """How a request ended; the values serve as metric labels."""

    ALLOWED = "allowed"
    DENIED = "denied"
    ALREADY_EXISTS = "already-exists"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to one request."""

    verdict: Verdict = Verdict.ALLOWED
    denials: tuple[Denial, ...] = ()
    warnings: tuple[str, ...] = ()
    inheritance: Inheritance | None = None
    exists: ServiceName | None = None
    """The Service that is already there."""
    existing: tuple[Denial, ...] = ()
    """What speaks against it as before, beside what the caches show: worth a warning."""
    claimed: str = ""
    """Key and listeners that the ledger holds because of this request; "": it holds nothing new."""

    @property
    def is_plain(self) -> bool:
        """Whether it says yes and nothing more."""
        return self.verdict is Verdict.ALLOWED and not (self.warnings or self.inheritance or self.claimed)

    @property
    def rules(self) -> tuple[str, ...]:
        """The rules that refused, each once, in the order of their first refusal."""
        return tuple(dict.fromkeys(denial.rule for denial in self.denials))


def denied(denials: tuple[Denial, ...], warnings: tuple[str, ...] = ()) -> Answer:
    """No, for these reasons."""
    return Answer(Verdict.DENIED, denials=denials, warnings=warnings)


def already_exists(service: ServiceName) -> Answer:
    """No, as the API server itself would say after us."""
    return Answer(Verdict.ALREADY_EXISTS, exists=service)


def render(answer: Answer, request: AdmissionRequest) -> AdmissionResponse:
    """The response, with the request's uid."""
    response = AdmissionResponse(request.uid, answer.verdict is Verdict.ALLOWED, warnings=list(answer.warnings))
    if answer.denials:
        response.status = _refusal(answer.denials, request)
        response.audit_annotations = {"rules": ",".join(answer.rules)}
    elif answer.exists is not None:
        response.status = Status(
            HTTPStatus.CONFLICT, "AlreadyExists", f'services "{answer.exists.name}" already exists'
        )
    elif answer.inheritance is not None:
        response.patch = _ENCODER.encode(render_patch(answer.inheritance))
        response.patch_type = "JSONPatch"
        response.audit_annotations = {"inherited": f"{answer.inheritance.field}={answer.inheritance.value}"}
    elif answer.claimed and not request.dry_run:
        response.audit_annotations = {"claimed": answer.claimed}
    return response


_ENCODER: Final = msgspec.json.Encoder()


def _refusal(denials: tuple[Denial, ...], request: AdmissionRequest) -> Status:
    causes = [StatusCause(reason=d.rule, message=f"{d.problem}; {d.remedy}", field=d.field) for d in denials]
    return Status(
        HTTPStatus.FORBIDDEN,
        "Forbidden",
        "\n".join(map(str, denials)),
        StatusDetails(request.name, request.kind.kind, causes),
    )
