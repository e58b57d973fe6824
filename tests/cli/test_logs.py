"""Lines of JSON, all of them, in order, and soon."""

import asyncio
import io
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import structlog

from cli.logs import JsonLogger, LineLogger, LogFormat, configure


def test_without_a_loop_a_line_is_written_at_once() -> None:
    """As nobody would come back for it."""
    stream = io.BytesIO()

    LineLogger(stream).info(b"one")

    assert stream.getvalue() == b"one\n"


def test_within_a_loop_the_lines_of_a_moment_are_one_write() -> None:
    """In their order, and without any further line."""

    class Stream(io.BytesIO):
        """Counts writes."""

        writes = 0

        def write(self, content: object, /) -> int:
            self.writes += 1
            written.set()
            return super().write(content)  # pyright: ignore[reportArgumentType] - whatever buffer it is

    async def main() -> None:
        logger.info(b"one")
        logger.info(b"two")
        assert stream.writes == 0
        async with asyncio.timeout(5):
            await written.wait()

    stream, written = Stream(), asyncio.Event()
    logger = LineLogger(stream)

    asyncio.run(main())

    assert (stream.writes, stream.getvalue()) == (1, b"one\ntwo\n")


def test_what_is_worse_than_information_is_written_now() -> None:
    """With all that was said before it."""
    stream = io.BytesIO()
    logger = LineLogger(stream)

    async def main() -> bytes:
        logger.info(b"one")
        logger.warning(b"two")
        return stream.getvalue()

    assert asyncio.run(main()) == b"one\ntwo\n"


def test_threads_lose_no_line() -> None:
    """The reconciler logs from its workers."""
    stream = io.BytesIO()
    logger = LineLogger(stream)
    threads = [threading.Thread(target=lambda: [logger.info(b"x") for _ in range(500)]) for _ in range(4)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    logger.flush()

    assert stream.getvalue() == b"x\n" * 2000


def logged(log: Callable[[JsonLogger], None]) -> dict[str, Any]:
    """The one line that was logged."""
    stream = io.BytesIO()
    log(JsonLogger(LineLogger(stream), [], {"webhook": "validate"}))
    return msgspec.json.decode(stream.getvalue())


def test_a_line_says_when_and_how_bad() -> None:
    """In UTC, with what was bound, and whatever cannot be encoded as its text."""
    line = logged(lambda logger: logger.bind(port=80).warning("decided", what=ValueError("odd")))

    assert line.pop("timestamp").endswith("Z")
    assert line == {"webhook": "validate", "port": 80, "what": "odd", "event": "decided", "level": "warning"}


def test_an_exception_brings_its_traceback() -> None:
    """As an error."""

    def log(logger: JsonLogger) -> None:
        try:
            int("odd")
        except ValueError:
            logger.exception("failed")

    line = logged(log)

    assert line["level"] == "error"
    assert "ValueError: invalid literal" in line["exception"]
    assert "exc_info" not in line


def test_words_for_a_person_say_when_it_was_and_not_when_it_was_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Decisions are told some at once: each had the time of its telling."""
    before = structlog.get_config()
    try:
        configure(LogFormat.TEXT)
        structlog.get_logger().info("decided", timestamp=datetime(2026, 1, 1, 12, 30, tzinfo=UTC))
        structlog.get_logger().info("listening")
    finally:
        structlog.configure(**before)

    decided, listening = capsys.readouterr().err.splitlines()
    assert decided.startswith("2026-01-01T12:30:00Z [info     ] decided")
    assert re.match(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z \[info     \] listening", listening)
