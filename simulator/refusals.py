"""How the Controller says no: one exception, raised by behaviour, answered by the HTTP side; it never logs."""

from collections.abc import Sequence

from simulator.documents import Document


class RefusedError(Exception):
    """A request that the Controller answers with an error; everything begun for it is rolled back.

    Attributes:
        status: The HTTP status.
        content: The JSON body, or a string that is sent as it is.
    """

    def __init__(self, status: int, message: str, *, extra: Document | None = None, is_plain: bool = False) -> None:
        """Give the words of the ``error`` key; plain ones are the whole body (avi.md 2.1 [CAS], wrong CSRF)."""
        super().__init__(message)
        self.status = status
        self.content: Document | str = message if is_plain else {"error": message, **(extra or {})}


def no_session() -> RefusedError:
    """The answer to a call without a live session. Source: avi.md 2.1: 401; the body with ``detail`` is [INF]."""
    refusal = RefusedError(401, "Authentication credentials were not provided.")
    refusal.content = {"detail": str(refusal)}
    return refusal


def field_check(path: Sequence[str], why: str) -> RefusedError:
    """A field that fails its check: 400, nested as the Controller nests it.

    Source: avi.md 2.5 [TF 525] for the nesting and the words "Field check for ... failed".
    """
    words = f"Field check for {path[-1]} failed : {why}"
    for name in reversed(path):
        words = f'{{"{name}":"{words}"}}'
    return RefusedError(400, words)


def bad_message(field: str, why: str) -> RefusedError:
    """A nested message of the wrong JSON type. Source: avi.md 2.5 "Bad pb" [AKO 1648]: the one documented 500."""
    return RefusedError(500, f"Bad pb: {field}: {why}")
