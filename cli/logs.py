"""How log lines look: JSON for machines, or words for a person; it never decides what is logged."""

import asyncio
import atexit
import logging
import sys
import threading
from datetime import UTC, datetime
from enum import StrEnum
from typing import BinaryIO

import msgspec
import structlog


class LogFormat(StrEnum):
    """The two ways."""

    JSON = "json"
    TEXT = "text"


def configure(log_format: LogFormat) -> None:
    """From now on, on stderr: one line per event."""
    # Libraries (uvicorn, asyncio, avisdk) speak only when something is wrong.
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    if log_format is LogFormat.JSON:
        lines = LineLogger(sys.stderr.buffer)
        atexit.register(lines.flush)
        structlog.configure(
            processors=[structlog.processors.format_exc_info, render_json],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
            logger_factory=lambda *_: lines,
            cache_logger_on_first_use=True,
        )
        return
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def render_json(logger: object, method: str, event: structlog.typing.EventDict) -> bytes:
    """One line of JSON; in one step, as three of structlog's own take twice as long and admission waits for them."""
    del logger
    event["level"] = method
    event["timestamp"] = datetime.now(UTC)
    return msgspec.json.encode(event, enc_hook=str)


class LineLogger:
    """Writes what one turn of the event loop logs in one go; at once where there is no loop.

    A write for each line costs as much as the line itself. What a SIGKILL can lose is one turn's lines.
    """

    def __init__(self, stream: BinaryIO) -> None:
        """``stream`` takes bytes."""
        self._stream = stream
        self._lines: list[bytes] = []
        self._lock = threading.Lock()

    def msg(self, line: bytes) -> None:
        """Log one line."""
        with self._lock:
            self._lines.append(line)
            is_first = len(self._lines) == 1
        if is_first:
            try:
                asyncio.get_running_loop().call_soon(self.flush)
            except RuntimeError:
                self.flush()

    debug = info = warning = error = critical = exception = msg

    def flush(self) -> None:
        """Write all that is not yet written."""
        with self._lock:
            lines, self._lines = self._lines, []
            if lines:
                self._stream.write(b"\n".join((*lines, b"")))
                self._stream.flush()
