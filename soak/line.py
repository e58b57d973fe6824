"""One HTTP/1.1 connection over TLS that sends what it is given, right or wrong; it judges nothing."""

import asyncio
import contextlib
import re
import ssl
from dataclasses import dataclass
from types import TracebackType
from typing import Final, NamedTuple, Self

from localcluster.ports import LOOPBACK

ANSWER_SECONDS: Final = 60.0
"""Twice what the longest caller waits: who says nothing by then says nothing at all."""
_STATUS: Final = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_LENGTH: Final = re.compile(rb"(?im)^content-length: *(\d+)\r$")


class Reply(NamedTuple):
    """An answer; status 0: the connection was closed instead."""

    status: int
    content: bytes = b""
    is_last: bool = False
    """Whether the server closes the connection after it."""


CUT: Final = Reply(0, is_last=True)


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server listens, and whom to trust."""

    port: int
    context: ssl.SSLContext


class Line:
    """A connection, open from ``async with`` on."""

    def __init__(self, address: Address) -> None:
        self._address = address

    async def __aenter__(self) -> Self:
        """Connect."""
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close without a goodbye: that would have to be waited for."""
        self.abort()

    async def connect(self) -> None:
        """A fresh connection."""
        address = self._address
        self._reader, self._writer = await asyncio.open_connection(
            LOOPBACK, address.port, ssl=address.context, server_hostname=LOOPBACK
        )

    def abort(self) -> None:
        """As a process that is killed."""
        self._writer.transport.abort()

    async def exchange(self, request: bytes) -> Reply:
        """Send a request and read its answer; the connection is fresh afterwards where the server closes it."""
        try:
            await self.send(request)
        except OSError:  # it may have answered and closed before all was sent
            reply = await self.answer()
        else:
            reply = await self.answer()
        if reply.is_last:
            self.abort()
            await self.connect()
        return reply

    async def send(self, data: bytes) -> None:
        """Some bytes."""
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self) -> Reply:
        """The next answer.

        Raises:
            TimeoutError: There is none.
        """
        async with asyncio.timeout(ANSWER_SECONDS):
            try:
                return await self._answer()
            except (asyncio.IncompleteReadError, OSError):
                return CUT

    async def is_closed(self) -> None:
        """Return when the server has closed it, whatever it says before."""
        with contextlib.suppress(OSError):
            while await self._reader.read(65536):
                pass

    async def _answer(self) -> Reply:
        head = await self._reader.readuntil(b"\r\n\r\n")
        while head.startswith(b"HTTP/1.1 100 "):
            head = await self._reader.readuntil(b"\r\n\r\n")
        status, length = _STATUS.match(head), _LENGTH.search(head)
        if status is None or length is None:
            return Reply(1, head)
        content = await self._reader.readexactly(int(length[1]))
        return Reply(int(status[1]), content, is_last=b"connection: close" in head.lower())


def post(
    path: str, body: bytes, *, seconds: int = 30, content_type: bytes = b"application/json", headers: bytes = b""
) -> bytes:
    """A request as the API server sends it; ``headers`` are further lines."""
    target = f"{path}?timeout={seconds}s".encode()
    return (
        b"POST " + target + b" HTTP/1.1\r\nHost: sharedvip\r\nContent-Type: " + content_type + b"\r\nContent-Length: "
        + str(len(body)).encode() + b"\r\n" + headers + b"\r\n" + body
    )  # fmt: skip


def head(path: str, *, headers: bytes, seconds: int = 30, method: bytes = b"POST") -> bytes:
    """The head of a request alone."""
    return method + f" {path}?timeout={seconds}s HTTP/1.1\r\nHost: sharedvip\r\n".encode() + headers + b"\r\n"
