"""Connections that come to the point: uvicorn's HTTP, with an end for whoever never finishes a head, or never reads.

It reads no request. uvicorn alone waits for ever, and keeps whatever comes: a few thousand callers that open a
connection and say nothing, or take no answer, would take every file descriptor, and one header without an end all
memory. The fuzzer of ``make soak`` found the first and the last.
It also writes an answer in two pieces, each with a TLS record, a packet and a wake-up of its own.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_TOO_LARGE: Final = b"the request's head is too large\n"


_HEAD: Final = b"HTTP/1.1 "
_CONTINUE: Final = b"HTTP/1.1 100 "
"""No head of an answer: whoever asked for it sends no body before."""


class WholeAnswers(asyncio.Transport):
    """A connection's other end for uvicorn: keeps the head of an answer until its first piece of body goes with it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        """Write to that one."""
        super().__init__()
        self._transport: Final = transport
        self._head = b""
        self.on_close: Callable[[], None] | None = None
        """Told of each call of ``close``."""
        self.abort = transport.abort
        self.is_closing = transport.is_closing
        self.get_extra_info = transport.get_extra_info
        self.set_protocol = transport.set_protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Now, or with what comes next."""
        if self._head:
            self._transport.write(b"".join((self._head, data)))
            self._head = b""
        elif isinstance(data, bytes) and data.startswith(_HEAD) and not data.startswith(_CONTINUE):
            self._head = data
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Write a head that nothing follows."""
        if self._head:
            self.write(b"")

    def close(self) -> None:
        """Close it, after what was kept."""
        self.flush()
        self._transport.close()
        if self.on_close is not None:
            self.on_close()


class PromptProtocol(HttpToolsProtocol):
    """One connection."""

    head_seconds = 10.0
    """From the first byte of a request's head to its last; the API server sends a head in one piece."""
    read_seconds = 10.0
    """For taking what is written: from the moment in which more than the buffers hold waits, or all that is left when
    the connection is closed."""
    head_limit_bytes = 64 * 1024
    """Of a head that comes in pieces. The API server's have some 300 bytes; Go's own servers take 1 MiB."""

    def __init__(self, *words: Any, **named: Any) -> None:  # noqa: ANN401 - uvicorn's own, passed on
        """As uvicorn makes it."""
        super().__init__(*words, **named)
        self._patience: asyncio.TimerHandle | None = None
        """Runs only while something is owed. For whoever waits between two requests uvicorn has a timer of its own, and
        a request that comes whole, as the API server's do, needs none: one timer for each would cost 5 us."""
        self._reading: asyncio.TimerHandle | None = None
        """Runs only while answers are not taken, whatever else is owed."""
        self._head_bytes: int | None = None
        """Of the head that is coming; None: none is."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Wait as long as between two requests: an API server may open a connection before it needs one."""
        super().connection_made(transport)
        self.transport = self._whole = WholeAnswers(transport)
        self._whole.on_close = self._expect_reading
        self._wait(self.timeout_keep_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._whole.on_close = None
        self._stop_waiting()
        self._stop_reading()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """More waits than the buffers hold: an answer is owed being read."""
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        """It is read; what is left at the end is owed until the connection is gone."""
        super().resume_writing()
        if not self.transport.is_closing():
            self._stop_reading()

    def data_received(self, data: bytes) -> None:
        """Pass it on, and see whether more is owed."""
        super().data_received(data)
        if self._head_bytes is not None:
            self._head_bytes += len(data)
            if self._patience is None:
                self._wait(self.head_seconds)
            if self._head_bytes > self.head_limit_bytes and not self.transport.is_closing():
                self._refuse()
        elif self._patience is None and (not self.cycle or self.cycle.response_complete):
            # Something that begins no request, as empty lines: it has stopped uvicorn's timer all the same.
            self._wait(self.head_seconds)

    def on_message_begin(self) -> None:
        """The first byte of a head."""
        super().on_message_begin()
        self._head_bytes = 0
        if self._patience is not None:
            self._stop_waiting()

    def on_headers_complete(self) -> None:
        """From here on the request has its own deadline."""
        self._head_bytes = None
        if self._patience is not None:
            self._stop_waiting()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The last byte of a request; of one that is answered already, it has stopped uvicorn's timer for the next."""
        super().on_message_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            self._wait(self.timeout_keep_alive)

    def on_response_complete(self) -> None:
        """Wait for the rest of a request that is answered already; for the next one, uvicorn does."""
        self._whole.flush()
        super().on_response_complete()
        if self.cycle.more_body and self.cycle.response_complete and not self.transport.is_closing():
            self._wait(self.head_seconds)

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        self._patience = self.loop.call_later(seconds, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _expect_reading(self) -> None:
        if self._reading is None:
            self._reading = self.loop.call_later(self.read_seconds, self.transport.abort)

    def _stop_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _refuse(self) -> None:
        self._head_bytes = None
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        lines = (
            f"HTTP/1.1 {status.value} {status.phrase}",
            "content-type: text/plain; charset=utf-8",
            f"content-length: {len(_TOO_LARGE)}",
            "connection: close",
        )
        self.transport.write("\r\n".join((*lines, "\r\n")).encode() + _TOO_LARGE)
        self.transport.close()
