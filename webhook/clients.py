"""Who is let in to admission: the TLS context decides, and where only some names may come, their certificate's names.

It reads no request: who is not let in is gone before a byte of HTTP is looked at.
"""

import asyncio
import ssl
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

import structlog

from webhook import metrics
from webhook.connections import PromptProtocol

_log: Final = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What serving needs of a certificate; ``cli`` builds it of ``certs``, which this package may not know."""

    context: ssl.SSLContext
    faults: Callable[[], tuple[str, ...]]
    """Why nobody can be served, one line each."""
    warnings: Callable[[], tuple[str, ...]]
    """What will be a fault, one line each."""
    names_of_client: Callable[[bytes], frozenset[str]]
    """What a client's certificate (DER) calls it."""

    def serve(self, *_: object) -> ssl.SSLContext:
        """The live context, whatever uvicorn offers to build one of."""
        return self.context


def protocol(certificate: Certificate, *, names: Collection[str]) -> type[PromptProtocol]:
    """The HTTP protocol for uvicorn: the usual one where every verified client may come, else one that compares."""
    if not names:
        return PromptProtocol
    allowed = frozenset(names)

    class Comparing(PromptProtocol):
        """Hangs up on others."""

        def connection_made(self, transport: asyncio.Transport) -> None:
            """The handshake is done, and the chain verified."""
            found = certificate.names_of_client(_shown(transport))
            if found & allowed:
                super().connection_made(transport)
                return
            metrics.CLIENT_REFUSALS.inc()
            _log.warning("client.refused", names=sorted(found), peer=str(transport.get_extra_info("peername")))
            transport.set_protocol(asyncio.Protocol())
            transport.abort()

    return Comparing


def _shown(transport: asyncio.Transport) -> bytes:
    shown: bytes | None = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
    assert shown is not None  # noqa: S101 - the context asks for one, and verified it
    return shown
