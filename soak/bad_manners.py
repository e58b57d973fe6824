"""Callers that speak HTTP or TLS badly, slowly, or not to the end, each with the answers that are right.

None of them may get a 500, hang the server, or keep it from serving the next one.
"""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final

from localcluster.ports import LOOPBACK
from soak.line import Address, Line, Reply, head, post

LIMIT_BYTES: Final = 7 * 1024 * 1024
"""As in the webhook's settings, and in controller-runtime."""
PATIENCE_SECONDS: Final = 60.0
"""More than the webhook waits for the end of a head."""
_JSON: Final = b"Content-Type: application/json\r\n"
_OK: Final = 200
_PIECE: Final = 16384
_ENDLESS_BYTES: Final = 16 * 1024 * 1024

Caller = Callable[[random.Random, Address], Awaitable[str]]
"""What is wrong with what it got; "" for nothing."""


def deletion(padding: int = 0) -> bytes:
    """A review that is allowed whatever the world is like; exactly so many bytes where there is room for padding."""
    request: dict[str, Any] = {"uid": "polite", "operation": "DELETE", "kind": {"version": "v1", "kind": "Service"}}
    whole = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request, "padding": ""}
    body = json.dumps(whole).encode()
    return body[:-2] + b"x" * (padding - len(body)) + b'"}'


def change_of_nothing(size: int) -> bytes:
    """An update of a member, exactly so many bytes, most of them in what a Service may hold; it is allowed."""
    annotations = {"ako.vmware.com/enable-shared-vip": "key", "notes": "PADDING"}
    metadata = {"name": "web", "namespace": "default", "uid": "1", "annotations": annotations}
    spec = {"type": "LoadBalancer", "ports": [{"port": 80}]}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
    request: dict[str, Any] = {"uid": "polite", "operation": "UPDATE", "namespace": "default", "name": "web"}
    request |= {"kind": {"version": "v1", "kind": "Service"}, "object": service, "oldObject": service}
    whole = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    begin, middle, end = json.dumps(whole).encode().split(b"PADDING")
    room = size - len(begin + middle + end)
    return begin + b"x" * (room // 2) + middle + b"x" * (room - room // 2) + end


def _fault(reply: Reply, *right: int, is_cut_right: bool = False) -> str:
    statuses = {*right, 0} if is_cut_right else {*right}
    if reply.status not in statuses or b"Traceback" in reply.content:
        return f"{reply.status} where {sorted(statuses)} would be right: {reply.content[:200]!r}"
    is_yes = b'"response":{"uid":"polite","allowed":true' in reply.content
    return "" if reply.status != _OK or is_yes else f"another answer: {reply.content[:200]!r}"


async def _ask(address: Address, request: bytes, *right: int, is_cut_right: bool = False) -> str:
    async with Line(address) as line:
        return _fault(await line.exchange(request), *right, is_cut_right=is_cut_right)


async def body_at_the_limit(chance: random.Random, address: Address) -> str:
    """Exactly 7 MiB."""
    made, path = chance.choice((deletion, change_of_nothing)), chance.choice(("/validate", "/mutate"))
    return await _ask(address, post(path, made(LIMIT_BYTES - chance.randrange(2))), 200)


async def body_beyond_the_limit(chance: random.Random, address: Address) -> str:
    """Announced: refused before it is kept; whoever goes on sending may find the line closed."""
    return await _ask(address, post("/mutate", deletion(LIMIT_BYTES + 1 + chance.randrange(2))), 413, is_cut_right=True)


async def chunks(chance: random.Random, address: Address) -> str:
    """A body in pieces, without its length."""
    body, pieces = deletion(), b""
    while body:
        size = chance.randrange(1, 60)
        piece, body = body[:size], body[size:]
        pieces += b"%x\r\n%b\r\n" % (len(piece), piece)
    request = head("/validate", headers=_JSON + b"Transfer-Encoding: chunked\r\n") + pieces + b"0\r\n\r\n"
    return await _ask(address, request, 200)


async def chunks_without_end(chance: random.Random, address: Address) -> str:
    """More and more: 413 as soon as it is too much, and in the end nobody listens any more."""
    del chance
    piece = b"%x\r\n%b\r\n" % (_PIECE, b"x" * _PIECE)
    async with Line(address) as line:
        return await _pour(line, head("/validate", headers=_JSON + b"Transfer-Encoding: chunked\r\n"), piece, 413)


async def head_without_end(chance: random.Random, address: Address) -> str:
    """One header after the other, or one that does not end: nobody keeps all that."""
    piece = chance.choice((b"X: " + b"y" * _PIECE + b"\r\n", b"y" * _PIECE))
    async with Line(address) as line:
        return await _pour(line, b"POST /validate HTTP/1.1\r\nX: ", piece, 400, 431)


async def _pour(line: Line, begin: bytes, piece: bytes, *right: int) -> str:
    """Send until the server has had enough."""
    sent, answer = 0, asyncio.create_task(line.answer())
    try:
        await line.send(begin)
        while sent < _ENDLESS_BYTES and not answer.done():
            await line.send(piece)
            sent += len(piece)
    except OSError:
        return _fault(await answer, *right, is_cut_right=True)
    return _fault(await answer, *right, is_cut_right=True)


async def broken_chunks(chance: random.Random, address: Address) -> str:
    """A length that is none, or less than nothing."""
    size = chance.choice((b"zz", b"-1", b"", b"f" * 40, b"1;" + b"x" * 100))
    request = head("/validate", headers=_JSON + b"Transfer-Encoding: chunked\r\n") + size + b"\r\nx\r\n\r\n"
    return await _ask(address, request, 400, is_cut_right=True)


async def another_length(chance: random.Random, address: Address) -> str:
    """A length that is none, two lengths, a length beside chunks, a length that is too short."""
    body = deletion()
    lengths = (b"Content-Length: -1\r\n", b"Content-Length: many\r\n", b"Content-Length: 99999999999999999999999\r\n",
               b"Content-Length: 5\r\nContent-Length: 6\r\n", b"Content-Length: 10\r\n",
               b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"")  # fmt: skip
    request = head("/validate", headers=_JSON + chance.choice(lengths)) + body
    return await _ask(address, request, 400, 413, is_cut_right=True)


async def another_method_or_path(chance: random.Random, address: Address) -> str:
    """Only POST, only two paths."""
    method = chance.choice((b"GET", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE", b"PURGE"))
    path = chance.choice(
        ("/validate", "/mutate", "/", "/validate/", "/%2e%2e/validate", "/metrics", "/docs", "//validate")
    )
    return await _ask(address, head(path, headers=b"Connection: close\r\n", method=method), 404, 405, 307)


_NO_REQUESTS: Final = (
    b"\x00\x01\x02\r\n\r\n",
    b"post / HTTP/1.1\r\n\r\n",
    b"GET\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"POST \xff\xfe HTTP/1.1\r\n\r\n",
    b"CONNECT a:1 HTTP/1.1\r\n\r\n",
    b"POST /validate HTTP/9.9\r\n\r\n",
)


async def no_method(chance: random.Random, address: Address) -> str:
    """What is no HTTP at all, inside TLS."""
    said = chance.choice(_NO_REQUESTS)
    return await _ask(address, said, 400, 404, 405, is_cut_right=True)


async def another_content_type(chance: random.Random, address: Address) -> str:
    """Only JSON."""
    content_type = chance.choice((b"text/plain", b"", b"application/xml", b"\xff", b"application/json-patch+json"))
    return await _ask(address, post("/validate", deletion(), content_type=content_type), 415)


async def upgrade(chance: random.Random, address: Address) -> str:
    """We speak nothing else."""
    to = chance.choice((b"websocket", b"h2c", b"TLS/1.0"))
    headers = b"Connection: Upgrade\r\nUpgrade: " + to + b"\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n"
    return await _ask(address, post("/validate", deletion(), headers=headers), 200, 400, 426, is_cut_right=True)


async def expecting(chance: random.Random, address: Address) -> str:
    """Waits to be told to go on."""
    del chance
    return await _ask(address, post("/validate", deletion(), headers=b"Expect: 100-continue\r\n"), 200)


async def pipelined(chance: random.Random, address: Address) -> str:
    """Does not wait for an answer: each gets its own."""
    count = chance.randrange(2, 6)
    async with Line(address) as line:
        await line.send(post("/validate", deletion()) * count)
        return next(filter(None, [_fault(await line.answer(), 200) for _ in range(count)]), "")


async def dribble(chance: random.Random, address: Address) -> str:
    """A byte now and then: told when its own time is over."""
    body = deletion()
    async with Line(address) as line:
        await line.send(post("/validate", body, seconds=1)[: -len(body)])
        answer = asyncio.create_task(line.answer())
        for byte in body:
            done, _ = await asyncio.wait([answer], timeout=0.05 + chance.random() / 10)
            if done:
                break
            await line.send(bytes([byte]))
        return _fault(await answer, 503)


async def gone_in_the_middle(chance: random.Random, address: Address) -> str:
    """Begins, and is killed."""
    request = post("/validate", deletion())
    async with Line(address) as line:
        await line.send(request[: chance.randrange(len(request))])
    return ""


async def no_tls(chance: random.Random, address: Address) -> str:
    """Rubbish, or HTTP, where a handshake belongs: the line is closed, and nothing is served on it."""
    said = chance.choice(
        (chance.randbytes(200), post("/validate", deletion()), b"\x16\x03\x01\x02\x00\x01" + b"\0" * 600)
    )
    reader, writer = await asyncio.open_connection(LOOPBACK, address.port)
    try:
        writer.write(said)
        writer.write_eof()
        async with asyncio.timeout(PATIENCE_SECONDS * 2):
            answered = await reader.read()
    except OSError:
        return ""
    finally:
        writer.transport.abort()
    return "served without TLS" if b"HTTP/1.1 200" in answered else ""


CALLERS: Final[tuple[Caller, ...]] = (
    *(chunks, broken_chunks, another_length, another_method_or_path, no_method, another_content_type, upgrade),
    *(expecting, pipelined, dribble, gone_in_the_middle, no_tls),
)
HEAVY_CALLERS: Final[tuple[Caller, ...]] = (
    body_at_the_limit,
    body_beyond_the_limit,
    chunks_without_end,
    head_without_end,
)
"""They send megabytes."""


async def half_a_request(chance: random.Random, address: Address) -> str:
    """Begins a request's head, and says no more: after a while the server hangs up.

    Raises:
        TimeoutError: It does not.
    """
    request = post("/validate", deletion())
    async with Line(address) as line:
        await line.send(request[: chance.randrange(1, request.index(b"\r\n\r\n"))])
        async with asyncio.timeout(PATIENCE_SECONDS):
            await line.is_closed()
    return ""


async def half_a_handshake(chance: random.Random, address: Address) -> str:
    """The same with TLS; a minute is asyncio's own patience.

    Raises:
        TimeoutError: It does not hang up.
    """
    reader, writer = await asyncio.open_connection(LOOPBACK, address.port)
    try:
        writer.write(b"\x16\x03\x01\x02\x00"[: 1 + chance.randrange(5)])
        async with asyncio.timeout(2 * PATIENCE_SECONDS):
            await reader.read()
    except ConnectionError:
        return ""
    finally:
        writer.transport.abort()
    return ""
