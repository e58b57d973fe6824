"""The forwarder carries bytes to whoever takes them, and nothing outlives it."""

import socket
import threading
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Final

import pytest

from localcluster.forwarder import Backend, Forwarder
from localcluster.ports import LOOPBACK, free_ports

TIMEOUT_SECONDS: Final = 10


@contextmanager
def serve(word: bytes) -> Generator[Backend]:
    """A server that reads a request to its end, then answers with its word and the request."""

    def answer() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=answer_one, args=(connection,), daemon=True).start()

    def answer_one(connection: socket.socket) -> None:
        with connection:
            request = b"".join(iter(lambda: connection.recv(65536), b""))
            connection.sendall(word + request)

    with socket.create_server((LOOPBACK, 0)) as listening:
        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield listening.getsockname()
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def ask(address: Backend, request: bytes = b"") -> bytes:
    """Send a request, end our direction, and read the answer to its end."""
    with socket.create_connection(address, timeout=TIMEOUT_SECONDS) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_connections_go_round() -> None:
    """Each backend gets every second connection."""
    with serve(b"a") as first, serve(b"b") as second, Forwarder([first, second]) as forwarder:
        answers = [ask(forwarder.address) for _ in range(4)]

    assert answers in ([b"a", b"b"] * 2, [b"b", b"a"] * 2)


def test_an_answer_after_half_close_arrives_whole() -> None:
    """The client's end reaches the server, and an answer larger than any buffer still comes back."""
    request = b"x" * 8_000_000
    with serve(b"a") as backend, Forwarder([backend]) as forwarder:
        answer = ask(forwarder.address, request)

    assert answer == b"a" + request


def test_a_backend_that_refuses_is_passed() -> None:
    """A killed replica costs nobody a connection while another lives."""
    dead = (LOOPBACK, free_ports(1)[0])
    with serve(b"a") as alive, Forwarder([dead, alive, dead]) as forwarder:
        answers = [ask(forwarder.address) for _ in range(4)]

    assert answers == [b"a"] * 4


@pytest.mark.parametrize("backends", [[], [(LOOPBACK, free_ports(1)[0])]], ids=["no backend", "only a dead one"])
def test_without_a_backend_the_connection_ends(backends: list[Backend]) -> None:
    """The client is not left waiting."""
    with (
        Forwarder(backends) as forwarder,
        socket.create_connection(forwarder.address, timeout=TIMEOUT_SECONDS) as client,
    ):
        assert has_ended(client)


def has_ended(connection: socket.socket) -> bool:
    """Whether the other side has closed or reset it."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_new_backends_count_from_the_next_connection_on() -> None:
    """A replica that was taken out gets nothing new."""
    with serve(b"a") as first, serve(b"b") as second, Forwarder([first]) as forwarder:
        before = ask(forwarder.address)
        forwarder.set_backends([second])
        after = ask(forwarder.address)

    assert (before, after) == (b"a", b"b")


def test_its_end_closes_open_connections_and_the_port() -> None:
    """Leaving the context cuts a connection in the middle, and nobody listens any more."""
    with serve(b"a") as backend:
        with Forwarder([backend]) as forwarder:
            address = forwarder.address
            client = socket.create_connection(address, timeout=TIMEOUT_SECONDS)
            client.sendall(b"unfinished")
        with client:
            assert has_ended(client)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, timeout=TIMEOUT_SECONDS)


@pytest.mark.timeout(60)
def test_its_end_comes_also_amid_connections_that_are_just_made() -> None:
    """With ``asyncio.wait_for`` of Python 3.11 the first of these rounds hung for ever."""
    with socket.create_server((LOOPBACK, 0), backlog=256) as backend:
        for _ in range(20):
            with ExitStack() as clients, Forwarder([backend.getsockname()]) as forwarder:
                for _ in range(8):
                    clients.enter_context(socket.create_connection(forwarder.address, timeout=TIMEOUT_SECONDS))


def test_without_its_context_it_has_no_address() -> None:
    """Asking too early is a mistake in the test, told as one."""
    forwarder = Forwarder()
    with pytest.raises(RuntimeError, match=r"^this forwarder does not listen yet$"):
        _ = forwarder.address
    with forwarder:
        assert forwarder.address[0] == LOOPBACK


def test_what_is_held_arrives_when_it_is_released() -> None:
    """As behind a network that drops packets for a while: open connections stay open, and nothing is lost."""
    with serve(b"a") as backend, Forwarder([backend]) as forwarder:
        forwarder.hold()
        with socket.create_connection(forwarder.address, timeout=0.2) as connection:
            connection.sendall(b"x")
            connection.shutdown(socket.SHUT_WR)
            with pytest.raises(TimeoutError):
                connection.recv(65536)

            forwarder.release()
            connection.settimeout(TIMEOUT_SECONDS)
            answered = b"".join(iter(lambda: connection.recv(65536), b""))

    assert answered == b"ax"
