"""AdmissionReview in, as far as we read it, and out; it never judges what a review asks.

Source: ``k8s.io/api/admission/v1``. Decoded by msgspec straight to these fields, 5 us for a review of 4 kB where json
and pydantic need 31 (``shared/design/kubernetes.md`` 3.1).
"""

from collections.abc import Hashable
from typing import Final, Literal

import msgspec

from sharedvip.annotations import SHARED_VIP
from sharedvip.parse import (
    MetadataObject,
    ServiceObject,
    SpecObject,
    StatusObject,
    judged_annotations,
    judged_spec,
)

API_VERSION: Final = "admission.k8s.io/v1"
KIND: Final = "AdmissionReview"


_LONGEST_VERSION: Final = 66
"""With its quotes; a number of 20 digits, but for whoever reads it opaque."""
_NULL: Final = msgspec.Raw(b"null")
_EMPTY: Final = msgspec.Raw(b"{}")
_ANNOTATIONS: Final = msgspec.json.Decoder(dict[str, str] | None)
_SPEC: Final = msgspec.json.Decoder(SpecObject)
_STATUS: Final = msgspec.json.Decoder(StatusObject)


class GroupVersionKind(msgspec.Struct):
    """Of which kind the object is."""

    group: str = ""
    version: str = ""
    kind: str = ""


class _Labels(msgspec.Struct, gc=False):
    sharing: str | None = msgspec.field(name=SHARED_VIP, default=None)


class _Metadata(msgspec.Struct, rename="camel", gc=False):
    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    uid: str = ""
    annotations: msgspec.Raw = _NULL
    labels: _Labels | None = None
    deletion_timestamp: str | None = None
    resource_version: msgspec.Raw = _NULL

    @property
    def version(self) -> str:
        """Its ``resourceVersion``; "" of what the API server would not send: it is no part of what is judged."""
        text = bytes(self.resource_version)
        return (
            text[1:-1].decode() if text[:1] == b'"' and text[1:-1].isalnum() and len(text) <= _LONGEST_VERSION else ""
        )

    @property
    def sharing_label(self) -> str | None:
        return self.labels.sharing if self.labels is not None else None


class ServiceDocument(msgspec.Struct, gc=False):
    """A Service as bytes, cut into what is read of it: most updates change none of these, and need no more reading."""

    metadata: _Metadata = msgspec.field(default_factory=_Metadata)
    spec: msgspec.Raw = _EMPTY
    status: msgspec.Raw = _EMPTY

    def is_like(self, other: "ServiceDocument") -> bool:
        """Whether the same would be read of both; False where it may."""
        mine, theirs = self.metadata, other.metadata
        return (
            self.spec == other.spec
            and self.status == other.status
            and mine.annotations == theirs.annotations
            and mine.uid == theirs.uid
            and mine.name == theirs.name
            and mine.namespace == theirs.namespace
            and mine.deletion_timestamp == theirs.deletion_timestamp
            and mine.sharing_label == theirs.sharing_label
        )

    @property
    def size(self) -> int:
        """Bytes of all that is read of it."""
        metadata = self.metadata
        names = (metadata.name, metadata.namespace, metadata.uid, metadata.sharing_label or "")
        return sum(map(len, (bytes(self.spec), bytes(self.status), bytes(metadata.annotations), *names)))

    @property
    def digest(self) -> int:
        """Of all that is read of it; another Service may have the same, once in 2^64."""
        metadata = self.metadata
        pieces = (bytes(self.spec), bytes(self.status), bytes(metadata.annotations))
        return hash((*pieces, metadata.sharing_label, metadata.uid))

    @property
    def judged(self) -> tuple[Hashable, ...]:
        """All that an answer to an update may depend on: most change a selector, a target port or a note of kubectl's.

        Raises:
            msgspec.DecodeError: As ``read``.
        """
        metadata = self.metadata
        return (
            *(metadata.name, metadata.namespace, metadata.uid, metadata.deletion_timestamp, metadata.sharing_label),
            judged_annotations(_ANNOTATIONS.decode(metadata.annotations)),
            judged_spec(_SPEC.decode(self.spec)),
            bytes(self.status),
        )

    def read(self) -> ServiceObject:
        """All that is read of it.

        Raises:
            msgspec.DecodeError: A field is not of the type that Kubernetes gives it.
        """
        metadata = self.metadata
        found: MetadataObject = {
            "name": metadata.name,
            "generateName": metadata.generate_name,
            "namespace": metadata.namespace,
            "uid": metadata.uid,
            "annotations": _ANNOTATIONS.decode(metadata.annotations),
            "labels": None if metadata.sharing_label is None else {SHARED_VIP: metadata.sharing_label},
            "deletionTimestamp": metadata.deletion_timestamp,
            "resourceVersion": metadata.version,
        }
        return {"metadata": found, "spec": _SPEC.decode(self.spec), "status": _STATUS.decode(self.status)}


class Request(msgspec.Struct, rename="camel"):
    """``request`` without the objects."""

    uid: str
    operation: str
    kind: GroupVersionKind
    name: str = ""
    namespace: str = ""
    sub_resource: str = ""
    dry_run: bool | None = None


class ServiceRequest(Request, rename="camel"):
    """A request whose objects could be read as Services."""

    object: ServiceDocument | None = None
    old_object: ServiceDocument | None = None


class OtherRequest(Request, rename="camel"):
    """A request whose objects could not: they stay bytes until the kind is known."""

    object: msgspec.Raw = _NULL
    old_object: msgspec.Raw = _NULL


AdmissionRequest = ServiceRequest | OtherRequest


class _ServiceReview(msgspec.Struct, rename="camel"):
    api_version: str = ""
    kind: str = ""
    request: ServiceRequest | None = None


class _OtherReview(msgspec.Struct, rename="camel"):
    api_version: str = ""
    kind: str = ""
    request: OtherRequest | None = None


class StatusCause(msgspec.Struct):
    """One of ``status.details.causes``: one violation, for machines."""

    reason: str
    message: str
    field: str


class StatusDetails(msgspec.Struct, omit_defaults=True):
    """``status.details``."""

    name: str = ""
    kind: str = ""
    causes: list[StatusCause] = []


class Status(msgspec.Struct, omit_defaults=True):
    """Why not."""

    code: int
    reason: str
    message: str
    details: StatusDetails | None = None


class AdmissionResponse(msgspec.Struct, rename="camel", omit_defaults=True):
    """``response``."""

    uid: str
    allowed: bool
    status: Status | None = None
    patch: bytes | None = None
    """A JSON patch; msgspec writes bytes as base64, as the API wants them."""
    patch_type: Literal["JSONPatch"] | None = None
    warnings: list[str] = []
    audit_annotations: dict[str, str] = {}


class _Reply(msgspec.Struct, rename="camel"):
    api_version: str
    kind: str
    response: AdmissionResponse


_SERVICE_REVIEW = msgspec.json.Decoder(_ServiceReview)
_OTHER_REVIEW = msgspec.json.Decoder(_OtherReview)
_SERVICE = msgspec.json.Decoder(ServiceObject | None)
_ENCODER = msgspec.json.Encoder()
_INT32: Final = 2**31 - 1
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class BadReviewError(ValueError):
    """The body is no AdmissionReview that we understand; its text says why, for whoever reads the API server's log."""


def parse_review(body: bytes) -> AdmissionRequest:
    """The request in a body.

    Raises:
        BadReviewError: Not JSON, not a review, or of another version.
    """
    review = _decode(body)
    if (review.api_version, review.kind) != (API_VERSION, KIND):
        raise BadReviewError(
            f"the body must be an {KIND} of {API_VERSION}, and says kind {review.kind!r} of {review.api_version!r}"
        )
    if review.request is None or not review.request.uid:
        raise BadReviewError(f"the {KIND} has no request with a uid")
    return review.request


def _decode(body: bytes) -> _ServiceReview | _OtherReview:
    """In one go where it can be; what is no Service, or a broken one, is looked at more slowly."""
    try:
        return _SERVICE_REVIEW.decode(body)
    except UNREADABLE:
        pass
    try:
        return _OTHER_REVIEW.decode(body)
    except UNREADABLE as error:
        raise BadReviewError(f"the body is not an {KIND}: {error}") from error


def parse_object(raw: ServiceDocument | msgspec.Raw | None, *, what: str) -> ServiceObject | None:
    """The Service in ``object`` or ``oldObject``; None where it is null.

    Raises:
        BadReviewError: A field is not of the type that Kubernetes gives it.
    """
    if raw is None:
        return None
    try:
        service = raw.read() if isinstance(raw, ServiceDocument) else _SERVICE.decode(raw)
    except UNREADABLE as error:
        raise BadReviewError(f"{what} is not a Service: {error}") from error
    for port in ((service or {}).get("spec", {}).get("ports")) or ():
        if abs(port.get("port", 0)) > _INT32:
            # The API server's own decoder of the ledger would give up, with a 500 that reads as if it were away.
            raise BadReviewError(f"{what} is not a Service: a port must fit into 32 bits")
    return service


_BEFORE_UID, _AFTER_UID = _ENCODER.encode(_Reply(API_VERSION, KIND, AdmissionResponse("", allowed=True))).split(b'""')


def render_allowed(uid: str) -> bytes:
    """The body of the reply that says yes and nothing more, as most do."""
    return b"".join((_BEFORE_UID, _ENCODER.encode(uid), _AFTER_UID))


def render_review(response: AdmissionResponse) -> bytes:
    """The body of the reply."""
    return _ENCODER.encode(_Reply(API_VERSION, KIND, response))
