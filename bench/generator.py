"""The load generator: one process on one processor, keep-alive TLS connections, prebuilt requests; it never retries.

A closed loop: each connection sends its next request when the answer to the last is complete. Plain sockets and epoll,
because asyncio needs as much time for a request as the server does, and would be what is measured. Whether it was
not is told with each result: ``busy`` is the part of the time that this process itself was computing.
"""

import argparse
import gc
import json
import os
import selectors
import socket
import ssl
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Final

from bench.pinned import pin

_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"
_CHUNK_BYTES: Final = 65536
_PATIENCE_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measurement; ``wrong`` counts answers that are not 200 or lack the expected words."""

    requests: int
    seconds: float
    rate: float
    p50_ms: float
    p99_ms: float
    wrong: int
    busy: float


@dataclass(slots=True)
class _Connection:
    """One connection with its requests, and what came of the answer so far."""

    socket: ssl.SSLSocket
    requests: Iterator[bytes]
    sent: int = 0
    received: bytearray = field(default_factory=bytearray)

    def send(self) -> None:
        """Send the next request; 4 kB fit into the socket's buffer, so that this does not wait."""
        request = next(self.requests)
        self.sent = time.perf_counter_ns()
        self.socket.sendall(request)

    def receive(self) -> bytes | None:
        """The whole answer; None while it is not whole.

        Raises:
            ConnectionError: The server has closed.
        """
        try:
            chunk = self.socket.recv(_CHUNK_BYTES)
        except ssl.SSLWantReadError:
            return None
        if not chunk:
            raise ConnectionError("the server closed a connection")
        received = self.received
        received += chunk
        if not is_whole(received):
            return self.receive()
        answer = bytes(received)
        received.clear()
        return answer


def is_whole(answer: bytes | bytearray) -> bool:
    """Whether all bytes are there that the head announces."""
    end = answer.find(_HEAD_END)
    if end < 0:
        return False
    head = bytes(answer[:end]).lower()
    begin = head.find(_LENGTH) + len(_LENGTH)
    length = int(head[begin:].partition(b"\r\n")[0])
    return len(answer) >= end + len(_HEAD_END) + length


def render_request(path: str, body: bytes) -> bytes:
    """A request as the API server sends it."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: kube-apiserver-admission\r\n"
        f"Content-Length: {len(body)}\r\nAccept: application/json, */*\r\nContent-Type: application/json\r\n\r\n"
    )
    return head.encode() + body


def percentile(sorted_values: Sequence[float], part: float) -> float:
    """The smallest value that at least ``part`` (0 to 1) of the values do not exceed."""
    return sorted_values[max(0, -(-len(sorted_values) * round(part * 1000) // 1000) - 1)]


class Load:
    """Open connections to one server."""

    def __init__(self, address: tuple[str, int], *, ca: Path, requests: Sequence[bytes], connections: int) -> None:
        """Connect; each connection begins at another of the requests."""
        context = ssl.create_default_context(cafile=str(ca))
        self._selector = selectors.DefaultSelector()
        self._connections: list[_Connection] = []
        for number in range(connections):
            plain = socket.create_connection(address, timeout=_PATIENCE_SECONDS)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            secured = context.wrap_socket(plain, server_hostname=address[0])
            secured.setblocking(False)  # noqa: FBT003 - the standard library's signature
            begin = number * len(requests) // connections
            turn = cycle([*islice(requests, begin, None), *islice(requests, begin)])
            connection = _Connection(secured, turn)
            self._connections.append(connection)
            self._selector.register(secured, selectors.EVENT_READ, connection)

    def run(self, *, seconds: float, expect: bytes) -> Measurement:
        """Load the server for so long.

        Raises:
            ConnectionError: The server has closed, or says nothing for 10 s.
        """
        gc.collect()
        gc.disable()
        latencies: list[int] = []
        begun, computed = time.perf_counter(), time.process_time()
        wrong = self._loop(latencies, until=begun + seconds, expect=expect)
        elapsed, busy = time.perf_counter() - begun, time.process_time() - computed
        self._drain()
        gc.enable()
        return _measurement(latencies, seconds=elapsed, wrong=wrong, busy=busy / elapsed)

    def close(self) -> None:
        """Close all connections."""
        for connection in self._connections:
            connection.socket.close()
        self._selector.close()

    def _loop(self, latencies: list[int], *, until: float, expect: bytes) -> int:
        wrong = 0
        now = time.perf_counter_ns
        for connection in self._connections:
            connection.send()
        while time.perf_counter() < until:
            events = self._selector.select(_PATIENCE_SECONDS)
            if not events:
                raise ConnectionError(f"the server says nothing for {_PATIENCE_SECONDS:g} s")
            for key, _ in events:
                connection: _Connection = key.data
                answer = connection.receive()
                if answer is not None:
                    latencies.append(now() - connection.sent)
                    wrong += not (answer.startswith(b"HTTP/1.1 200") and expect in answer)
                    connection.send()
        return wrong

    def _drain(self) -> None:
        """Take the last answers, which nobody counts."""
        waiting = set(map(id, self._connections))
        while waiting and (events := self._selector.select(_PATIENCE_SECONDS)):
            waiting -= {id(key.data) for key, _ in events if key.data.receive() is not None}


def _measurement(latencies: list[int], *, seconds: float, wrong: int, busy: float) -> Measurement:
    if not latencies:
        raise ConnectionError("no request was answered in time")
    ordered = [value / 1e6 for value in sorted(latencies)]
    return Measurement(
        requests=len(ordered),
        seconds=seconds,
        rate=len(ordered) / seconds,
        p50_ms=percentile(ordered, 0.5),
        p99_ms=percentile(ordered, 0.99),
        wrong=wrong,
        busy=busy,
    )


def processor_seconds(pid: int) -> float:
    """The processor time that a process has used so far; 0 where the system does not tell (no ``/proc``)."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return 0.0
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main(argv: Sequence[str] | None = None) -> None:
    """Read the words, warm up, measure, print one JSON line."""
    parser = argparse.ArgumentParser(prog="bench.generator")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--ca", type=Path, required=True)
    parser.add_argument("--bodies", type=Path, required=True, help="one JSON body a line")
    parser.add_argument("--expect", required=True, help="words that every answer holds")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--warm-up-seconds", type=float, default=1.0)
    parser.add_argument("--cpu", type=int, required=True, help="where this process runs")
    parser.add_argument("--pid", type=int, required=True, help="the server, whose processor time is told")
    given = parser.parse_args(argv)
    pin(given.cpu)
    bodies: list[bytes] = given.bodies.read_bytes().splitlines()
    requests = [render_request(given.path, body) for body in bodies]
    load = Load(("127.0.0.1", given.port), ca=given.ca, requests=requests, connections=given.connections)
    expect = given.expect.encode()
    load.run(seconds=given.warm_up_seconds, expect=expect)
    begun = processor_seconds(given.pid)
    measured = load.run(seconds=given.seconds, expect=expect)
    used = processor_seconds(given.pid) - begun
    load.close()
    sys.stdout.write(json.dumps({**asdict(measured), "server_cpu_seconds": used}) + "\n")


if __name__ == "__main__":
    main()
