"""Runs the simulator: certificates, sockets, the two servers, ``avi.json`` when it listens; it decides no behaviour."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import threading
import warnings
from collections.abc import Callable, Coroutine, Generator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final

import uvicorn
import uvloop
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from simulator.app import create_app
from simulator.control import create_control_app
from simulator.controller import Controller
from simulator.faults import ABORT, Faults
from simulator.journal import Journal
from simulator.latency import slowed
from simulator.ratelimit import Limiter
from simulator.settings import Settings
from simulator.tls import Certificates, issue

LOOPBACK: Final = "127.0.0.1"
ACCESS_FILE: Final = "avi.json"
START_SECONDS: Final = 30.0
"""Longer than a start takes on a machine busy with a whole test run; it takes about 0.1 s."""
HANG_UP_SECONDS: Final = 1.0
"""At most, at the end; it takes a turn or two of the loop."""
BACKLOG: Final = 512
"""Connections that may wait: all threads of a load test at once."""


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach a running simulator: what ``avi.json`` says.

    Attributes:
        url: ``https://127.0.0.1:<port>``.
        username: Who may log in.
        password: Its password.
        ca: Path of the CA certificate to verify with.
        control: ``http://127.0.0.1:<port>`` of the control port.
    """

    url: str
    username: str
    password: str
    ca: str
    control: str


@dataclass(frozen=True, slots=True)
class Running:
    """A simulator running in a thread of this process."""

    access: Access
    controller: Controller
    journal: Journal
    faults: Faults


class Protocol(HttpToolsProtocol):
    """uvicorn's HTTP, whose requests can reset their connection."""

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: {"call": self.transport.abort}}


class Server(uvicorn.Server):
    """A uvicorn server that leaves signals to us and says when it listens."""

    def __init__(self, app: ASGIApp, certificates: Certificates | None) -> None:
        """Serve ``app``, over TLS if there are certificates."""
        files = certificates
        config = uvicorn.Config(
            app,
            http=Protocol,
            lifespan="off",
            access_log=False,
            log_level="warning",
            server_header=False,
            timeout_keep_alive=120,  # Assumed: longer than the pauses of a client, so that its connections live on.
            ssl_certfile=files.certificate if files else None,
            ssl_keyfile=files.key if files else None,
        )
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Nothing: two servers share the process, ``serve`` hears the signals for both."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        self.listening.set()

    def hang_up(self) -> None:
        """Reset every connection, and go on listening."""
        for connection in list(self.server_state.connections):
            if isinstance(connection, HttpToolsProtocol):
                connection.transport.abort()

    def renew(self, certificates: Certificates) -> None:
        """Serve with other certificates from the next handshake on."""
        if self.config.ssl is not None:
            self.config.ssl.load_cert_chain(certificates.certificate, certificates.key)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Reset every connection; uvicorn's own waits for clients that are gone or never began to speak TLS."""
        for closing in (*self.servers, *(sockets or [])):
            closing.close()
        deadline = asyncio.get_running_loop().time() + HANG_UP_SECONDS
        while self.server_state.connections and asyncio.get_running_loop().time() < deadline:
            self.hang_up()
            await asyncio.sleep(0)
        await asyncio.sleep(0)  # for the sockets below TLS

    def stop(self) -> None:
        """End at once, without waiting for connections."""
        self.should_exit = self.force_exit = True


def serve(
    settings: Settings,
    *,
    directory: Path,
    port: int = 0,
    control_port: int = 0,
    announce: Callable[[Access], object] = lambda _access: None,
) -> None:
    """Run until SIGTERM or SIGINT; only the main thread can.

    Args:
        settings: What the Controller is like.
        directory: Made with mode 0700 if it is not there. Gets ``ca.crt``, ``tls.crt``, ``tls.key``, and ``avi.json``
            (``Access`` as JSON, mode 0600) once the simulator listens; the latter is removed at the end.
        port: The REST interface's; 0 is any free one.
        control_port: The control port's; likewise.
        announce: Called once, when it listens and ``avi.json`` is written.

    Raises:
        OSError: A port is taken, or the directory cannot be written.
        ValueError: The settings do not fit together.
    """
    simulator = _Simulator(settings, directory=directory, port=port, control_port=control_port)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, simulator.stop)
        await simulator.run(then=lambda: announce(simulator.access))

    _run(run())


@contextlib.contextmanager
def running(settings: Settings, *, directory: Path) -> Generator[Running]:
    """A simulator in a thread, listening; it ends with the block.

    Args:
        settings: What the Controller is like.
        directory: As for ``serve``.

    Raises:
        TimeoutError: It does not listen in time.
    """
    simulator = _Simulator(settings, directory=directory, port=0, control_port=0)
    listening = threading.Event()
    failures: list[BaseException] = []

    def run() -> None:
        try:
            _run(simulator.run(then=listening.set))
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            failures.append(error)
            listening.set()

    thread = threading.Thread(target=run, name="avi-simulator")
    thread.start()
    try:
        if not listening.wait(START_SECONDS):
            raise TimeoutError(f"the simulator did not listen within {START_SECONDS} s")
        if failures:
            raise failures[0]
        yield Running(simulator.access, simulator.controller, simulator.journal, simulator.faults)
    finally:
        simulator.stop()
        thread.join()


def _run(main: Coroutine[None, None, None]) -> None:
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    try:
        runner.run(main)
    finally:
        with warnings.catch_warnings():
            # uvloop warns of clients that never finished their handshake, which nobody can close; where warnings are
            # errors, as in tests, its loop would then never end.
            warnings.simplefilter("ignore", ResourceWarning)
            runner.close()


class _Simulator:
    """The parts of one simulator and their life."""

    def __init__(self, settings: Settings, *, directory: Path, port: int, control_port: int) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = directory / ACCESS_FILE
        self._file.unlink(missing_ok=True)
        # First what may fail for the settings' sake, then what must be closed again.
        self.controller, self.journal, self.faults = Controller(settings), Journal(), Faults()
        certificates = issue(directory)
        avi = Server(self._app(settings), certificates)
        control = create_control_app(
            self.controller,
            journal=self.journal,
            faults=self.faults,
            hang_up=avi.hang_up,
            renew_certificates=lambda: avi.renew(issue(directory)),
        )
        self._sockets = _sockets(port, control_port)
        self._servers = (avi, Server(control, None))
        ports = [one.getsockname()[1] for one in self._sockets]
        self.access = Access(
            url=f"https://{LOOPBACK}:{ports[0]}",
            username=settings.username,
            password=settings.password,
            ca=str(certificates.ca.resolve()),
            control=f"http://{LOOPBACK}:{ports[1]}",
        )

    def _app(self, settings: Settings) -> ASGIApp:
        limiter = Limiter(self.controller.rate_limit)
        slow = partial(slowed, settings=settings)
        return create_app(self.controller, layers=(self.journal.layer, limiter.layer, self.faults.layer, slow))

    async def run(self, *, then: Callable[[], object] = lambda: None) -> None:
        """Serve until stopped; ``then`` is called when it listens."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for server, listener in zip(self._servers, self._sockets, strict=True):
                    tasks.create_task(server.serve(sockets=[listener]))
                for server in self._servers:
                    await server.listening.wait()
                _write_atomically(self._file, asdict(self.access))
                then()
        finally:
            self._file.unlink(missing_ok=True)
            for listener in self._sockets:
                listener.close()

    def stop(self) -> None:
        """End; callable from a signal handler and from another thread."""
        for server in self._servers:
            server.stop()


def _sockets(*ports: int) -> list[socket.socket]:
    """All of them, or none."""
    opened: list[socket.socket] = []
    try:
        for port in ports:
            opened.append(_socket(port))  # noqa: PERF401 - those before the one that fails must be closed
    except OSError:
        for listener in opened:
            listener.close()
        raise
    return opened


def _socket(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _write_atomically(path: Path, content: object) -> None:
    """A reader sees the whole file or none; it holds a password, so only the owner reads it."""
    draft = path.with_suffix(".tmp")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(content, file, indent=2)
    draft.replace(path)
