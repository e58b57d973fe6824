"""How talking to the API server can fail, as one family of errors; it never retries and never logs.

Ours, so that callers need neither the client library nor aiohttp to tell a refusal from a broken line::

    ClusterError
    ├── Unreachable          no answer in time, a broken line, or an answer that is not the API server's
    └── ApiError             the API server's own Status: code, reason, message, causes
        ├── Forbidden        403
        ├── NotFound         404
        ├── Conflict         409, somebody wrote first, or owns the field
        │   └── AlreadyExists
        ├── Gone             410, the resource version or the continue token is too old
        ├── Invalid          422
        └── TooManyRequests  429
"""

from dataclasses import dataclass

import msgspec


class ClusterError(Exception):
    """The API server refused, or could not be asked."""


class Unreachable(ClusterError):  # noqa: N818 - reads as what happened, like the API server's own reasons
    """Nobody knows whether the request was carried out."""


@dataclass(frozen=True, slots=True)
class Cause:
    """One of ``status.details.causes``."""

    field: str
    reason: str
    message: str


class ApiError(ClusterError):
    """The API server said no, and did nothing."""

    def __init__(
        self,
        status: int,
        reason: str,
        *,
        message: str,
        causes: tuple[Cause, ...] = (),
        retry_after_seconds: float | None = None,
    ) -> None:
        """Keep what the Status says."""
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.causes = causes
        self.retry_after_seconds = retry_after_seconds

    @property
    def is_final(self) -> bool:
        """Whether the same, asked again, would be answered so again: no right, no room by a quota, no such kind."""
        return self.status < _FIRST_SERVER_ERROR and self.status not in _PASSING


class Forbidden(ApiError):  # noqa: N818 - Kubernetes' own word for it
    """403: our role lacks a permission, or an admission plugin refused."""


class NotFound(ApiError):  # noqa: N818 - Kubernetes' own word for it
    """404: there is no such object, or no such kind."""


class Conflict(ApiError):  # noqa: N818 - Kubernetes' own word for it
    """409: the object was modified meanwhile, or another manager owns the field."""


class AlreadyExists(Conflict):
    """409: an object of that name is there."""


class Gone(ApiError):  # noqa: N818 - Kubernetes' own word for it
    """410: the resource version, or the continue token, is too old."""


class Invalid(ApiError):  # noqa: N818 - Kubernetes' own word for it
    """422: the object breaks its schema."""


class TooManyRequests(ApiError):  # noqa: N818 - Kubernetes' own word for it
    """429: the API server is busy; ``retry_after_seconds`` tells when to come back."""


_FIRST_SERVER_ERROR = 500
_PASSING = frozenset({409, 429})
_BY_STATUS: dict[int, type[ApiError]] = {
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: TooManyRequests,
}


class _Cause(msgspec.Struct):
    field: str = ""
    reason: str = ""
    message: str = ""


class _Details(msgspec.Struct):
    causes: list[_Cause] | None = None
    retry_after_seconds: float | None = msgspec.field(name="retryAfterSeconds", default=None)


class _Status(msgspec.Struct):
    kind: str = ""
    code: int = 0
    reason: str = ""
    message: str = ""
    details: _Details | None = None


_DECODER = msgspec.json.Decoder(_Status)


def parse_error(status: int, body: bytes, *, retry_after: str = "") -> ClusterError:
    """The error that an answer of 400 and above stands for.

    Args:
        status: The HTTP status.
        body: A Kubernetes ``Status`` as a rule; a proxy in between may send anything.
        retry_after: The header of that name, in seconds.
    """
    try:
        said = _DECODER.decode(body)
    except msgspec.DecodeError:
        said = _Status()
    if said.kind != "Status":
        return _foreign(status, body[:200].decode(errors="replace").strip())
    return _api_error(said, status, retry_after=retry_after)


def _foreign(status: int, text: str) -> ClusterError:
    """The answer of something else than an API server."""
    if status >= _FIRST_SERVER_ERROR:
        return Unreachable(f"HTTP {status} without a Kubernetes Status: {text}")
    return _BY_STATUS.get(status, ApiError)(status, "", message=text)


def _api_error(said: _Status, status: int, *, retry_after: str) -> ApiError:
    family = AlreadyExists if said.reason == "AlreadyExists" else _BY_STATUS.get(status, ApiError)
    details = said.details or _Details()
    return family(
        status,
        said.reason,
        message=said.message,
        causes=tuple(Cause(c.field, c.reason, c.message) for c in details.causes or ()),
        retry_after_seconds=float(retry_after) if retry_after.isdigit() else details.retry_after_seconds,
    )
