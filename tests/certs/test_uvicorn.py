"""The TLS context in the server that the webhook really runs: uvicorn serves with it, and follows a swap."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import uvicorn

from certs.issue import expiry, parse_certificate
from certs.serving import Reload, ServingCertificate
from tests.certs.builders import NAME, MountedSecret, authority, serving, today

AUTHORITY: Final = authority(now=today())
DEADLINE_SECONDS: Final = 10.0

Message = MutableMapping[str, Any]
"""An ASGI event, as the ASGI specification has it."""


async def hello(
    _scope: Message, _receive: Callable[[], Awaitable[Message]], send: Callable[..., Awaitable[None]]
) -> None:
    """An application that answers anything."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


class _Server(uvicorn.Server):
    """Tells when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.port: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def startup(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - the overridden method's signature
        """Then the port is known."""
        await super().startup(*arguments, **options)
        self.port.set_result(self.servers[0].sockets[0].getsockname()[1])


@asynccontextmanager
async def serve(certificate: ServingCertificate) -> AsyncGenerator[int]:
    """Uvicorn on a free port, until the end."""
    config = uvicorn.Config(
        hello,
        port=0,
        lifespan="off",
        ws="none",
        log_config=None,
        ssl_context_factory=certificate.ssl_context_factory,
    )
    server = _Server(config)
    running = asyncio.create_task(server.serve())
    try:
        yield await asyncio.wait_for(asyncio.shield(server.port), DEADLINE_SECONDS)
    finally:
        server.should_exit = True
        await asyncio.wait_for(running, DEADLINE_SECONDS)


async def visit(port: int) -> tuple[bytes, int]:
    """The last line of one answer, and the serial number of the certificate shown."""
    trusting = ssl.create_default_context(cadata=AUTHORITY.certificate_pem.decode())
    opened = asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname=NAME)
    reader, writer = await asyncio.wait_for(opened, DEADLINE_SECONDS)
    writer.write(f"GET / HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), DEADLINE_SECONDS)
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    return answer, parse_certificate(ssl.DER_cert_to_PEM_cert(shown).encode()).serial_number


def test_uvicorn_serves_the_mounted_pair_and_its_successor(tmp_path: Path) -> None:
    """Without a restart, by the watch that runs beside it."""
    pairs = serving(AUTHORITY, now=today()), serving(AUTHORITY, now=today())
    mounted = MountedSecret(tmp_path, pairs[0])
    certificate = ServingCertificate(mounted.certificate, mounted.key)
    told: asyncio.Queue[Reload] = asyncio.Queue()

    async def story() -> list[int]:
        async with serve(certificate) as port:
            watch = asyncio.create_task(certificate.watch(on_change=told.put_nowait, interval_seconds=0.01))
            answer, before = await visit(port)
            assert answer.endswith(b"hello")
            mounted.swap(pairs[1])
            assert await asyncio.wait_for(told.get(), DEADLINE_SECONDS) is Reload.LOADED
            _, after = await visit(port)
            watch.cancel()
            await asyncio.wait([watch])
        return [before, after]

    expected = [parse_certificate(pair.certificate_pem).serial_number for pair in pairs]
    assert asyncio.run(story()) == expected
    assert certificate.not_after == expiry(pairs[1].certificate_pem)
