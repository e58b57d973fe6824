"""A TCP forwarder on loopback that stands in for a Service's address: round-robin, and past a backend that refuses.

It never looks into what it carries, and keeps no connection beyond its own life.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Coroutine, Sequence
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from localcluster.ports import LOOPBACK

Backend = tuple[str, int]
T = TypeVar("T")

CHUNK_BYTES: Final = 64 * 1024
# On loopback an answer takes microseconds; a backend that hangs this long is as good as gone.
CONNECT_TIMEOUT_SECONDS: Final = 2.0


class Forwarder:
    """Listens on a free port of loopback while its context lasts, in a thread with an event loop of its own."""

    def __init__(self, backends: Sequence[Backend] = ()) -> None:
        """``backends`` are (host, port); with none, every connection is closed at once."""
        self._backends = tuple(backends)
        self._turn = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="localcluster-forwarder", daemon=True)
        self._listening: socket.socket | None = None
        self._is_flowing = asyncio.Event()
        self._is_flowing.set()

    def __enter__(self) -> Self:
        """Listen."""
        self._listening = socket.create_server((LOOPBACK, 0))
        self._listening.setblocking(False)  # noqa: FBT003 - the standard library's signature
        self._thread.start()
        self._run(self._open(self._listening))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the port and every connection."""
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def address(self) -> Backend:
        """Where it listens: (host, port)."""
        if self._listening is None:
            raise RuntimeError("this forwarder does not listen yet")
        return self._listening.getsockname()

    def set_backends(self, backends: Sequence[Backend]) -> None:
        """Where new connections go from now on; those that are open stay where they are."""
        self._backends = tuple(backends)

    def hold(self) -> None:
        """Carry nothing until ``release``, as a network that drops every packet: nobody is told that anything ended."""
        self._loop.call_soon_threadsafe(self._is_flowing.clear)

    def release(self) -> None:
        """Carry again, first what has come meanwhile."""
        self._loop.call_soon_threadsafe(self._is_flowing.set)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _open(self, listening: socket.socket) -> None:
        """Accept by a callback of our own: asyncio's server may hold a connection that it has not shown us yet."""
        self._loop.add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the client is gone already
            client, _ = listening.accept()
            client.setblocking(False)  # noqa: FBT003 - the standard library's signature
            self._keep(self._carry(client), of=client)

    def _keep(self, work: Coroutine[Any, Any, None], *, of: socket.socket) -> None:
        """Run the work for a socket until it ends or we do; then the socket is closed."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: of.close())

    async def _close(self) -> None:
        if self._listening is not None:
            self._loop.remove_reader(self._listening)
            self._listening.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry(self, client: socket.socket) -> None:
        """Connect one client to the next backend, and carry both directions until both have ended."""
        async with contextlib.AsyncExitStack() as stack:
            reader, writer = await asyncio.open_connection(sock=client)
            stack.callback(writer.transport.abort)
            backend = await self._connect()
            if backend is None:
                return
            backend_reader, backend_writer = backend
            stack.callback(backend_writer.transport.abort)
            flowing = self._is_flowing
            await asyncio.gather(_pump(reader, backend_writer, flowing), _pump(backend_reader, writer, flowing))
            await _finish(backend_writer, writer)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """A connection to the first backend, from the one whose turn it is, that takes it; None when none does."""
        backends = self._backends
        self._turn += 1
        for offset in range(len(backends)):
            host, port = backends[(self._turn + offset) % len(backends)]
            # Not ``wait_for``: Python 3.11's swallows a cancellation that comes as it is done, and our end never came.
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                    return await asyncio.open_connection(host, port)
        return None


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_flowing: asyncio.Event) -> None:
    """Carry one direction while it may flow, then pass on its end, so that the other direction may go on (half-close).

    A reset cannot be passed on as one: both sides are cut.
    """
    try:
        while chunk := await reader.read(CHUNK_BYTES):
            await is_flowing.wait()
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.transport.abort()


async def _finish(*writers: asyncio.StreamWriter) -> None:
    """Close them after what they still hold is sent."""
    for writer in writers:
        writer.close()
    for writer in writers:
        with contextlib.suppress(OSError):
            await writer.wait_closed()
