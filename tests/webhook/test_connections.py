"""Connections that never come to the point are ended; the fuzzer found that uvicorn alone keeps them for ever."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest
from starlette.types import Receive, Scope, Send

from localcluster.ports import LOOPBACK
from tests.webhook.streams import DEADLINE_SECONDS, Hasty, Streams, connected, port_of, rest, serving
from webhook.connections import PromptProtocol, WholeAnswers

MUCH = 8 * 1024 * 1024
"""Twice what the system's buffers of one connection take."""


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers at once, and reads no body but where it is told to; much, where it is asked for that."""
    while (b"x-read", b"yes") in scope["headers"] and (await receive())["more_body"]:
        pass
    body = b"ok" * (MUCH if scope["path"] == "/much" else 1)
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def tell(story: Callable[[Streams], Awaitable[None]], *, keep_alive_seconds: int = 3600) -> None:
    """Run a story on a connection."""

    async def whole() -> None:
        async with (
            asyncio.timeout(DEADLINE_SECONDS),
            serving(app, keep_alive_seconds=keep_alive_seconds) as server,
            connected(server) as streams,
        ):
            await story(streams)

    asyncio.run(whole())


async def ask(streams: Streams, request: bytes) -> None:
    """An exchange that must be answered."""
    reader, writer = streams
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert await reader.readexactly(2) == b"ok"


REQUEST = b"POST /validate HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"


async def stays(reader: asyncio.StreamReader) -> None:
    """The server must not hang up for longer than a head may take."""
    with_time = asyncio.create_task(reader.read(1))
    done, _ = await asyncio.wait([with_time], timeout=3 * Hasty.head_seconds)
    assert not done
    with_time.cancel()


def test_a_connection_that_comes_to_the_point_stays() -> None:
    """One request after the other, also in pieces, and longer than a head may take."""

    async def story(streams: Streams) -> None:
        reader, writer = streams
        await ask(streams, REQUEST)
        writer.write(REQUEST[:20])
        await writer.drain()
        await ask(streams, REQUEST[20:])
        await stays(reader)

    tell(story)


def test_half_a_head_is_waited_for_a_while_only() -> None:
    """The fuzzer held connections open for as long as it liked: 20,000 of them are all that a process may have."""

    async def story(streams: Streams) -> None:
        reader, writer = streams
        writer.write(REQUEST[:20])
        assert await rest(reader) == b""

    tell(story)


def test_whoever_says_nothing_is_waited_for_as_between_two_requests() -> None:
    """The API server may connect before it needs to, so this is no head that is late."""

    async def story(streams: Streams) -> None:
        assert await rest(streams[0]) == b""

    tell(story, keep_alive_seconds=1)


def test_a_head_without_end_is_refused() -> None:
    """16 MiB of one header were kept, and more would have been."""

    async def story(streams: Streams) -> None:
        reader, writer = streams
        writer.write(b"POST /validate HTTP/1.1\r\nX: " + b"y" * 2000)
        assert (await rest(reader)).startswith(b"HTTP/1.1 431 ")

    tell(story)


def test_the_rest_of_what_is_answered_already_is_not_waited_for() -> None:
    """Who was told that the body is too large, and sends a byte of it now and then."""

    async def story(streams: Streams) -> None:
        reader, writer = streams
        await ask(streams, b"POST /validate HTTP/1.1\r\nContent-Length: 1000\r\n\r\n")
        writer.write(b"x")
        assert await rest(reader) == b""

    tell(story)


def test_a_connection_whose_answered_request_comes_to_its_end_stays() -> None:
    """The API server keeps it, and it was reset under the next request."""

    async def story(streams: Streams) -> None:
        reader, writer = streams
        await ask(streams, REQUEST[:-2])
        writer.write(REQUEST[-2:])
        await stays(reader)

    tell(story)


def test_a_connection_whose_answered_request_came_to_its_end_is_waited_for_as_any() -> None:
    """As between two requests."""

    async def story(streams: Streams) -> None:
        reader, writer = streams
        await ask(streams, REQUEST[:-2])
        writer.write(REQUEST[-2:])
        assert await rest(reader) == b""

    tell(story, keep_alive_seconds=1)


class Roomy(Hasty):
    """Never told that more is written than is read."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Room for everything."""
        transport.set_write_buffer_limits(high=16 * MUCH)
        super().connection_made(transport)


GET = b"GET /much HTTP/1.1\r\n"


@pytest.mark.parametrize(
    ("said", "http"),
    [
        pytest.param((GET + b"\r\n") * 3, Hasty, id="several requests at once"),
        pytest.param(GET + b"\r\n", Roomy, id="one, and uvicorn closes what is idle"),
        pytest.param(GET + b"Connection: close\r\n\r\n", Roomy, id="one that is to be the last"),
    ],
)
def test_whoever_reads_no_answer_is_waited_for_a_while_only(said: bytes, http: type[PromptProtocol]) -> None:
    """Closing waits until all is written, and writing until the caller reads: both for ever."""

    async def story() -> None:
        async with asyncio.timeout(DEADLINE_SECONDS), serving(app, keep_alive_seconds=1, http=http) as server:
            with socket.create_connection((LOOPBACK, port_of(server))) as line:
                line.sendall(said)
                while not server.server_state.total_requests:  # noqa: ASYNC110 - uvicorn tells nobody
                    await asyncio.sleep(0.01)
                while server.server_state.connections:  # noqa: ASYNC110 - likewise
                    await asyncio.sleep(0.01)

    asyncio.run(story())


def test_whoever_reads_late_is_served_on() -> None:
    """Once all is read, nothing is owed."""

    async def story(streams: Streams) -> None:
        reader, writer = streams
        writer.write(GET + b"\r\n")
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(2 * MUCH)
        done, _ = await asyncio.wait([with_time := asyncio.create_task(reader.read(1))], timeout=3 * Hasty.read_seconds)
        assert not done
        with_time.cancel()
        await asyncio.wait([with_time])
        await ask(streams, REQUEST)

    tell(story)


def test_a_head_that_trickles_is_given_no_more_time() -> None:
    """A byte now and then is no sign of good will: the time runs from the first one."""

    async def story(streams: Streams) -> None:
        reader, writer = streams
        ended = asyncio.create_task(rest(reader))
        writer.write(b"POST /validate HTTP/1.1\r\nX: ")
        while not ended.done():
            writer.write(b"y")
            await asyncio.wait([ended], timeout=Hasty.head_seconds / 4)
        assert await ended == b""

    tell(story)


def test_empty_lines_after_an_answer_buy_no_time() -> None:
    """They begin no request, and stop the timer that uvicorn has for whoever is between two."""

    async def story(streams: Streams) -> None:
        reader, writer = streams
        await ask(streams, REQUEST)
        writer.write(b"\r\n")
        assert await rest(reader) == b""

    tell(story)


class Recorded(asyncio.Transport):
    """Keeps each write."""

    def __init__(self) -> None:
        """Nothing written yet."""
        super().__init__()
        self.writes: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """One packet."""
        self.writes.append(bytes(data))

    def close(self) -> None:
        """The end."""
        self.is_closed = True


HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


def test_an_answer_is_one_write() -> None:
    """Two would be two packets: the API server would be woken twice."""
    beneath = Recorded()
    whole = WholeAnswers(beneath)
    for body in (b"one", b"", b"HTTP/1.1 two"):
        whole.write(HEAD)
        whole.write(body)

    assert beneath.writes == [HEAD + b"one", HEAD, HEAD + b"HTTP/1.1 two"]


def test_a_head_that_nothing_follows_goes_out_at_the_end() -> None:
    """At the answer's, or the connection's."""
    beneath = Recorded()
    whole = WholeAnswers(beneath)
    whole.write(HEAD)
    whole.flush()
    whole.write(HEAD)
    whole.close()

    assert beneath.writes == [HEAD, HEAD]
    assert beneath.is_closed


def test_who_asks_whether_to_go_on_is_told_at_once() -> None:
    """``Expect: 100-continue``: the body comes only after that."""

    async def story(streams: Streams) -> None:
        reader, writer = streams
        writer.write(b"POST /validate HTTP/1.1\r\nX-Read: yes\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        await ask(streams, b"{}")

    tell(story)
