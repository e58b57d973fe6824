"""The load generator counts what was answered, how soon and how rightly."""

import asyncio
import ssl
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench.generator import Load, is_whole, percentile, render_request
from localcluster.credentials import write_certificates

ANSWER = b'{"allowed":true}'


def answer(body: bytes, *, status: str = "200 OK") -> bytes:
    """An HTTP answer."""
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status.encode(), len(body), body)


@contextmanager
def server(directory: Path, reply: bytes) -> Generator[tuple[str, int]]:
    """A TLS server that answers everything alike, in two pieces."""
    write_certificates(directory)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.crt", directory / "server.key")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            for piece in (reply[:30], reply[30:]):
                writer.write(piece)
                await writer.drain()

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(_ignore)
    listening = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0, ssl=context))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield listening.sockets[0].getsockname()
    finally:
        loop.call_soon_threadsafe(listening.close)
        asyncio.run_coroutine_threadsafe(_end_tasks(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _ignore(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A client that leaves is no news."""
    del loop, context


async def _end_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize(
    ("reply", "all_wrong"),
    [
        pytest.param(answer(ANSWER), False, id="right"),
        pytest.param(answer(b'{"allowed":false}'), True, id="the other verdict"),
        pytest.param(answer(ANSWER, status="503 Service Unavailable"), True, id="no decision"),
    ],
)
def test_every_answer_is_counted_and_looked_at(tmp_path: Path, reply: bytes, *, all_wrong: bool) -> None:
    """A fast server that says nonsense must not win."""
    with server(tmp_path, reply) as address:
        requests = [render_request("/validate", b"{}")]
        load = Load(address, ca=tmp_path / "ca.crt", requests=requests, connections=3)
        measured = load.run(seconds=0.2, expect=ANSWER)
        load.close()

    assert measured.requests >= 3
    assert measured.wrong == (measured.requests if all_wrong else 0)
    assert 0 < measured.p50_ms <= measured.p99_ms
    assert measured.rate == pytest.approx(measured.requests / measured.seconds)
    assert measured.busy > 0


@pytest.mark.parametrize("length", range(len(answer(ANSWER))))
def test_an_answer_is_whole_with_its_last_byte(length: int) -> None:
    """And not one byte earlier."""
    assert not is_whole(answer(ANSWER)[:length])
    assert is_whole(answer(ANSWER))


def test_percentiles_are_values_that_were_seen() -> None:
    """The smallest that enough of the values do not exceed."""
    values = [float(value) for value in range(1, 101)]

    assert percentile(values, 0.5) == 50
    assert percentile(values, 0.99) == 99
    assert percentile([7.0], 0.99) == 7
