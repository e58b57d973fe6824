"""AdmissionReviews as the API server sends them, and one exchange with an ASGI application; it judges nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec
from starlette.types import ASGIApp, Message, Scope

from tests.builders import NAMESPACE, service_object

JSON = ((b"content-type", b"application/json"),)
Object = dict[str, Any]


def review(
    stored: Mapping[str, Any] | None = None,
    *,
    operation: str = "CREATE",
    old: Mapping[str, Any] | None = None,
    **request: object,
) -> Object:
    """A review of the seed's Service, or of another object; ``request`` adds or replaces fields."""
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "the-uid-of-the-request",
            "kind": {"group": "", "version": "v1", "kind": "Service"},
            "resource": {"group": "", "version": "v1", "resource": "services"},
            "name": "web",
            "namespace": NAMESPACE,
            "operation": operation,
            "userInfo": {"username": "kubernetes-admin"},
            "object": dict(stored) if stored is not None else dict(service_object("web")),
            "oldObject": None if old is None else dict(old),
            "dryRun": False,
            "options": {},
            **request,
        },
    }


@dataclass(frozen=True)
class Reply:
    """What was answered."""

    status: int
    headers: Mapping[bytes, bytes]
    body: bytes

    @property
    def text(self) -> str:
        """The body."""
        return self.body.decode()

    @property
    def response(self) -> Object:
        """The AdmissionResponse."""
        answered = msgspec.json.decode(self.body)
        assert (answered["apiVersion"], answered["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
        return cast("Object", answered["response"])


def encoded(whole: object) -> bytes:
    """As JSON."""
    return msgspec.json.encode(whole)


async def post(
    app: ASGIApp,
    body: bytes = b"",
    *,
    path: str = "/validate",
    method: str = "POST",
    query: bytes = b"timeout=5s",
    headers: Sequence[tuple[bytes, bytes]] = JSON,
    messages: Sequence[Message] | None = None,
) -> Reply | None:
    """One exchange; None where nothing was answered. ``messages`` stand in for a body that comes in one piece."""
    left = list(messages) if messages is not None else [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[Message] = []

    async def receive() -> Message:
        return left.pop(0) if left else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query,
        "headers": list(headers),
        "http_version": "1.1",
        "scheme": "https",
    }
    await app(scope, receive, send)
    if not sent:
        return None
    content = b"".join(message.get("body", b"") for message in sent[1:])
    return Reply(sent[0]["status"], dict(sent[0]["headers"]), content)
