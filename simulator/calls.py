"""A request and a reply as plain values, between the wire and the behaviour; it decides nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote

import msgspec

from simulator.documents import Document, is_message, text
from simulator.refusals import RefusedError

WRITES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, slots=True)
class Call:
    """One request.

    Attributes:
        method: Upper case.
        path: As sent, decoded; ``//api/pool/`` is what ``segments`` make of it.
        query: Of a repeated parameter the last.
        headers: Lower-case names; several values joined by ``, ``, cookies by ``; ``.
        body: As sent.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def segments(self) -> list[str]:
        """The path's parts; doubled and trailing slashes make none. Source: avi.md 2.2: ``//api`` must work."""
        return [part for part in self.path.split("/") if part]

    @property
    def origin(self) -> str:
        """``https://host:port`` as the client addressed the Controller."""
        return f"https://{self.headers.get('host', 'localhost')}"

    @property
    def cookies(self) -> dict[str, str]:
        """Of a repeated cookie the last. Source: avi.md 1.3 [OBS]: avisdk sends every cookie twice."""
        pairs = (pair.partition("=") for pair in self.headers.get("cookie", "").split(";"))
        return {name.strip(): value.strip().strip('"') for name, _, value in pairs}

    def document(self) -> Document:
        """The body as a JSON object.

        Raises:
            RefusedError: 400, it is none. Text assumed.
        """
        try:
            decoded: object = msgspec.json.decode(self.body)
        except (msgspec.DecodeError, RecursionError) as error:
            raise RefusedError(400, f"Invalid JSON: {error}") from None
        if not is_message(decoded):
            raise RefusedError(400, "Invalid JSON: expected an object")
        return decoded

    def form(self) -> Document:
        """The body of a login: form encoded or JSON, whatever the content type says. Source: avi.md 1.3, 2.1."""
        if self.body.lstrip()[:1] in {b"{", b"["}:
            return self.document()
        return dict(parse_qsl(self.body.decode(errors="replace")))


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer.

    Attributes:
        status: The HTTP status.
        content: JSON; a string is sent as it is; None is an empty body.
        headers: Besides content type and length.
        cookies: Set-Cookie lines.
    """

    status: int = 200
    content: object = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    cookies: tuple[str, ...] = ()

    def body(self) -> bytes:
        """The bytes to send."""
        if self.content is None:
            return b""
        return text(self.content).encode() if isinstance(self.content, str) else msgspec.json.encode(self.content)


def query_of(raw: str) -> dict[str, str]:
    """A query string as parameters; a bare name has the empty value. Source: ako.md 6.1: bare ``include_name``."""
    return dict(parse_qsl(raw, keep_blank_values=True))


def path_of(raw: str) -> str:
    """A path with percent escapes decoded."""
    return unquote(raw)
