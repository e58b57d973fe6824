"""An echo server over TLS on loopback, and its clients; it judges nothing."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from certs.issue import parse_certificate
from tests.certs.builders import NAME

DEADLINE_SECONDS: Final = 10.0


class Connection(NamedTuple):
    """An open connection, as a client has it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def echo(self, line: bytes) -> bytes:
        """What the server says to it."""
        self.writer.write(line)
        return await self.reader.readline()

    @property
    def tls(self) -> ssl.SSLObject:
        """What the handshake agreed on."""
        found = self.writer.get_extra_info("ssl_object")
        assert isinstance(found, ssl.SSLObject)
        return found

    @property
    def serial_number(self) -> int:
        """Of the certificate that the server showed."""
        shown = self.tls.getpeercert(binary_form=True)
        assert shown is not None
        return parse_certificate(ssl.DER_cert_to_PEM_cert(shown).encode()).serial_number

    async def close(self) -> None:
        """Orderly."""
        self.writer.close()
        await self.writer.wait_closed()


class Server(NamedTuple):
    """An echo server on loopback."""

    port: int

    async def connect(self, *, trust: bytes, name: str = NAME) -> Connection:
        """As a client that verifies chain and name."""
        return await self.connect_with(ssl.create_default_context(cadata=trust.decode()), name=name)

    async def connect_with(self, context: ssl.SSLContext, *, name: str = NAME) -> Connection:
        """As a client of any kind."""
        opened = asyncio.open_connection("127.0.0.1", self.port, ssl=context, server_hostname=name)
        return Connection(*await asyncio.wait_for(opened, DEADLINE_SECONDS))


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Line by line, until the client goes."""
    async for line in reader:
        writer.write(line)
    writer.close()
    await writer.wait_closed()


@asynccontextmanager
async def serve(context: ssl.SSLContext) -> AsyncGenerator[Server]:
    """On a free port, until the end."""
    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=context)
    try:
        yield Server(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        await server.wait_closed()


def visit(context: ssl.SSLContext, client: Callable[[Server], Awaitable[None]]) -> None:
    """One client's story with a server of this context."""

    async def story() -> None:
        async with serve(context) as server:
            await client(server)

    asyncio.run(story())
