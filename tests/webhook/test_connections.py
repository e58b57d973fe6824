"""Connections that never come to the point are ended; the fuzzer found that uvicorn alone keeps them for ever."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import Receive, Scope, Send

from localcluster.ports import LOOPBACK
from webhook.connections import PromptProtocol, WholeAnswers

DEADLINE_SECONDS = 30.0
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Hasty(PromptProtocol):
    """With less patience than in earnest."""

    head_seconds = 0.2
    head_limit_bytes = 1000


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers at once, and reads no body but where it is told to."""
    while (b"x-read", b"yes") in scope["headers"] and (await receive())["more_body"]:
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def served(*, keep_alive_seconds: int) -> AsyncGenerator[Streams]:
    """A connection to a server."""
    config = uvicorn.Config(
        app, port=0, http=Hasty, ws="none", lifespan="off", log_config=None, timeout_keep_alive=keep_alive_seconds
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    try:
        while not server.started:  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        yield reader, writer
        writer.close()
    finally:
        server.should_exit = True
        await task


def tell(story: Callable[[Streams], Awaitable[None]], *, keep_alive_seconds: int = 3600) -> None:
    """Run a story on a connection."""

    async def whole() -> None:
        async with asyncio.timeout(DEADLINE_SECONDS), served(keep_alive_seconds=keep_alive_seconds) as streams:
            await story(streams)

    asyncio.run(whole())


async def rest(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the server hangs up."""
    said = b""
    try:
        while piece := await reader.read(1000):
            said += piece
    except ConnectionError:
        pass
    return said


async def ask(streams: Streams, request: bytes) -> None:
    """An exchange that must be answered."""
    reader, writer = streams
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert await reader.readexactly(2) == b"ok"


REQUEST = b"POST /validate HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"


def test_a_connection_that_comes_to_the_point_stays() -> None:
    """One request after the other, also in pieces, and longer than a head may take."""

    async def story(streams: Streams) -> None:
        reader, writer = streams
        await ask(streams, REQUEST)
        writer.write(REQUEST[:20])
        await writer.drain()
        await ask(streams, REQUEST[20:])
        with_time = asyncio.create_task(rest(reader))
        done, _ = await asyncio.wait([with_time], timeout=3 * Hasty.head_seconds)
        assert not done
        with_time.cancel()

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
