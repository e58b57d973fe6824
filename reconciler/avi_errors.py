"""What can go wrong at the Avi Controller, in our own words; nothing here holds a request, so nothing leaks a secret.

Every error has a ``reason`` for the condition on the Services, a message a person can act on, and says how long to
wait at least before trying again. Source of the statuses and texts: ``avi.md`` 2.5.
"""

from http import HTTPStatus
from typing import Final

MAX_MESSAGE_LENGTH: Final = 512
"""A condition's message may have 32768 characters; a Controller's answer says what matters in far fewer."""

_NO_FREE_ADDRESS: Final = "No available free IPs"
_UPGRADING: Final = "Configuration is disallowed during upgrade"

_SLOW_SECONDS: Final = 30.0
"""What a person or an upgrade has to change; AKO's slow retry is 90 s."""


class AviError(Exception):
    """Anything that kept a call from doing its work."""

    reason: str = "ControllerRefused"
    lead: str = "the Avi Controller refused: "
    """What stands before the Controller's own words; "" where the message is a sentence of ours."""
    retry_seconds: float = 0.0
    """Wait at least this long before the next try; the queue's own back-off comes on top."""

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message[:MAX_MESSAGE_LENGTH])
        self.status = status

    @property
    def message(self) -> str:
        """The Controller's words, or ours where it has none: for logs."""
        return str(self)

    @property
    def told(self) -> str:
        """What to tell a person who sees nothing else."""
        return f"{self.lead}{self.message}"


class AviRefused(AviError):  # noqa: N818 - what the Controller is or did; the family's root says Error
    """4xx: the Controller understood and will not; trying the same again soon is of no use."""

    retry_seconds = _SLOW_SECONDS


class NoFreeAddress(AviRefused):
    """400 "No available free IPs": the network has no address left."""

    reason = "NoFreeAddress"

    def told_of(self, network: str) -> str:
        """What to tell a person; "" where Avi chooses the network."""
        where = f"in network '{network}'" if network else "in any network of the cloud's IPAM profile"
        return f"no free address {where}; free one there, or give it a larger range ({self.message})"


class AviStaleView(AviError):  # noqa: N818 - what the Controller is or did; the family's root says Error
    """What we believe of the Controller is not so: read the group again, then plan again, at once."""


class AviConflict(AviStaleView):
    """409: an object of that name exists, ours after a lost reply or somebody else's."""


class AviStale(AviStaleView):
    """412: somebody wrote since we read."""


class AviNotFound(AviStaleView):
    """404: the object, or one that it refers to, is gone."""


class NameTaken(AviError):  # noqa: N818 - what the Controller is or did; the family's root says Error
    """An object of our name that we did not create; it is never touched."""

    reason = "NameTaken"
    lead = ""
    retry_seconds = _SLOW_SECONDS


class AviBusy(AviError):  # noqa: N818 - what the Controller is or did; the family's root says Error
    """429, 5xx, an upgrade: try again later."""

    reason = "ControllerUnavailable"
    lead = "the Avi Controller cannot do it now, and is asked again: "


class AviUnreachable(AviError):  # noqa: N818 - what the Controller is or did; the family's root says Error
    """No answer, or none that can be read: whatever was asked may have happened or not."""

    reason = "ControllerUnreachable"
    lead = ""


class AviCredentialsRefused(AviError):  # noqa: N818 - what the Controller is or did; the family's root says Error
    """The Controller does not know user and password: nothing is tried until they change, or it locks the account."""

    reason = "CredentialsRefused"
    lead = ""
    retry_seconds = _SLOW_SECONDS


def error_for(status: int, message: str) -> AviError:
    """The error that an answer other than 2xx means."""
    kind = _KINDS.get(status, AviRefused)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        kind = AviBusy
    if _NO_FREE_ADDRESS in message:
        kind = NoFreeAddress
    error = kind(message or f"status {status} without a word", status=status)
    if _UPGRADING in message:
        error = AviBusy(message, status=status)
        error.retry_seconds = _SLOW_SECONDS
    return error


_KINDS: Final[dict[int, type[AviError]]] = {
    HTTPStatus.UNAUTHORIZED: AviBusy,
    HTTPStatus.NOT_FOUND: AviNotFound,
    HTTPStatus.CONFLICT: AviConflict,
    HTTPStatus.PRECONDITION_FAILED: AviStale,
    HTTPStatus.TOO_MANY_REQUESTS: AviBusy,
}
