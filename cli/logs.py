"""How log lines look: JSON for machines, or words for a person; it never decides what is logged."""

import asyncio
import atexit
import logging
import sys
import threading
from datetime import UTC, datetime
from enum import StrEnum
from typing import BinaryIO, Final

import msgspec

from cli.without import without

with without("rich"):
    # It takes rich where that is installed, for tracebacks in colours: 5 MiB of each server's memory.
    import structlog

MOMENT_SECONDS: Final = 0.02


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
            processors=[],
            wrapper_class=JsonLogger,
            logger_factory=lambda *_: lines,
            cache_logger_on_first_use=True,
        )
        return
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            _stamp,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def _stamp(_: object, __: str, fields: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """What structlog has would overwrite when a decision was, or show it in another form."""
    told: datetime = fields.get("timestamp") or datetime.now(UTC)
    return {**fields, "timestamp": told.isoformat().replace("+00:00", "Z")}


class JsonLogger(structlog.BoundLoggerBase):
    """Renders and writes in one step: structlog's chain of processors takes three times as long, and admission waits.

    Debugging is left out.
    """

    def info(self, event: str, **fields: object) -> None:
        """Worth a line."""
        self._logger.info(_render({**self._context, **fields}, event=event, level="info"))

    def warning(self, event: str, **fields: object) -> None:
        """Something may be wrong."""
        self._logger.warning(_render({**self._context, **fields}, event=event, level="warning"))

    def error(self, event: str, **fields: object) -> None:
        """Something is wrong."""
        self._logger.error(_render({**self._context, **fields}, event=event, level="error"))

    def exception(self, event: str, **fields: object) -> None:
        """Something is wrong, and the exception being handled tells more."""
        self.error(event, **{"exc_info": True, **fields})

    def debug(self, event: str, **fields: object) -> None:
        """Not worth a line."""


def _render(fields: structlog.typing.EventDict, *, event: str, level: str) -> bytes:
    if "exc_info" in fields:
        fields = structlog.processors.format_exc_info(None, level, fields)
    fields["event"], fields["level"] = event, level
    fields.setdefault("timestamp", datetime.now(UTC))  # whoever tells later says when it was
    return msgspec.json.encode(fields, enc_hook=str)


class LineLogger:
    """Writes what is logged within a moment in one go, as a write for each line costs as much as the line itself.

    At once goes what is worse than information, and everything where there is no event loop. What a SIGKILL can lose is
    one moment's information, and of decisions two moments', 40 ms: ``webhook/reports.py`` holds them for one before.
    """

    def __init__(self, stream: BinaryIO) -> None:
        """``stream`` takes bytes."""
        self._stream = stream
        self._lines: list[bytes] = []
        self._lock = threading.Lock()

    def info(self, line: bytes) -> None:
        """Log one line, soon."""
        with self._lock:
            self._lines.append(line)
            is_first = len(self._lines) == 1
        if is_first:
            try:
                asyncio.get_running_loop().call_later(MOMENT_SECONDS, self.flush)
            except RuntimeError:
                self.flush()

    def error(self, line: bytes) -> None:
        """Log one line, now."""
        with self._lock:
            self._lines.append(line)
        self.flush()

    msg = debug = info
    warning = critical = exception = error

    def flush(self) -> None:
        """Write all that is not yet written."""
        with self._lock:
            lines, self._lines = self._lines, []
            if lines:
                self._stream.write(b"\n".join((*lines, b"")))
                self._stream.flush()
