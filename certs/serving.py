"""Serves TLS from mounted files and follows them while serving; it never serves a pair that it has not verified.

A mounted Secret changes by a swap of symbolic links, of which no file system event reliably tells, so the content is
looked at (kopf does the same, ``shared/design/kubernetes.md`` section 2).

The server keeps one context for its life, and each handshake is turned to a second one, made of what the files held
last: authorities of clients, once loaded into a context, cannot be taken out of it again.
"""

import asyncio
import os
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

from certs import metrics
from certs.clients import last_expiry
from certs.errors import MaterialError
from certs.issue import KeyPair, is_matching, parse_certificate

POLL_SECONDS: Final = 10.0
"""As controller-runtime's certwatcher polls. The kubelet itself needs up to a minute to swap a mounted Secret."""

FILE_LIMIT_BYTES: Final = 60_000
"""A chain has 2 to 8 kB. Less than a pipe's 64 KiB, through which it is handed to OpenSSL."""

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secret and authenticated only, all of which Go offers. TLS 1.3 has no weak ones to leave out."""

WARN_BEFORE: Final = timedelta(days=21)
"""Renewal is late by then: ``sharedvip certs`` renews 90 days before the end, cert-manager 30 of 90."""

WARN_PART: Final = 4
"""Of a short life, the last quarter: cert-manager renews when a third is left."""


class Reload(StrEnum):
    """What a look at the files led to; the values serve as metric labels."""

    UNCHANGED = "unchanged"
    LOADED = "loaded"
    REFUSED = "refused"
    """The files are bad: see ``ServingCertificate.problem``. The old ones are still served."""


class Mounted(NamedTuple):
    """What the files hold."""

    pair: KeyPair
    client_authorities_pem: bytes
    """b"": clients need no certificate."""

    @property
    def digest(self) -> bytes:
        """Tells it from any other content."""
        parts = (*self.pair, self.client_authorities_pem)
        # The lengths keep two contents apart whose concatenation is the same.
        return sha256(b" ".join(b"%d" % len(part) for part in parts) + b"".join(parts)).digest()


class ServingCertificate:
    """A certificate and key in files, and the live TLS context that serves them.

    For uvicorn: ``Config(app, ssl_context_factory=certificate.ssl_context_factory)``, and ``watch`` as a task.

    Args:
        certificate: PEM, the server's own certificate first.
        key: PEM, unencrypted.
        client_authorities: PEM; only clients with a certificate of one of them are served. None: all clients are.
        now: The clock, with a time zone.

    Raises:
        MaterialError: The files cannot be read, or do not match. An expired certificate is loaded all the same: then
            ``faults`` says so, and the server is not ready rather than gone.
    """

    def __init__(
        self,
        certificate: Path,
        key: Path,
        *,
        client_authorities: Path | None = None,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self.context: Final = _context(is_verifying=client_authorities is not None)
        self.context.sni_callback = self._turn
        self.problem = ""
        """Why what is mounted is not what is served; "" where it is."""
        self._certificate = certificate
        self._key = key
        self._client_authorities = client_authorities
        self._now = now or _utc_now
        self._refusal: tuple[str, bytes] | None = None
        self._serve(_verified(self._read()))

    @property
    def is_valid(self) -> bool:
        """Whether the certificate served is valid by the clock."""
        return self.not_before <= self._now() <= self.not_after

    @property
    def faults(self) -> tuple[str, ...]:
        """Why nobody can be served, one line each."""
        lines = () if self.is_valid else (f"the certificate is valid only {_span(self.not_before, self.not_after)}",)
        if self.clients_not_after is not None and self._now() > self.clients_not_after:
            return (*lines, f"the last client authority expired at {_moment(self.clients_not_after)}")
        return lines

    @property
    def warnings(self) -> tuple[str, ...]:
        """What will be a fault if nobody does anything, one line each."""
        lines = (f"what is mounted is refused, and the old certificate served: {self.problem}",) if self.problem else ()
        lifetime = self.not_after - self.not_before
        if self.is_valid and self.not_after - self._now() < min(WARN_BEFORE, lifetime / WARN_PART):
            lines = (*lines, f"the certificate expires at {_moment(self.not_after)}, and is not renewed yet")
        authorities = self.clients_not_after
        if authorities is not None and timedelta() <= authorities - self._now() < WARN_BEFORE:
            lines = (*lines, f"the last client authority expires at {_moment(authorities)}")
        return lines

    def ssl_context_factory(self, *_: object) -> ssl.SSLContext:
        """The live context, whatever uvicorn passes: its own configuration and its default factory."""
        return self.context

    def reload(self) -> Reload:
        """Look at the files once, and serve what they hold if it is new and good.

        New connections get the new certificate; open ones keep theirs, and no handshake fails.
        What is bad is reported as refused once, and tried again at each look: it may not be valid *yet*.
        """
        outcome = self._look()
        if outcome is not Reload.UNCHANGED:
            metrics.RELOADS.labels(outcome.value).inc()
        return outcome

    async def watch(self, *, on_change: Callable[[Reload], None], interval_seconds: float = POLL_SECONDS) -> None:
        """Look at the files until cancelled, and tell of each new pair, good or refused."""
        while True:
            await asyncio.sleep(interval_seconds)
            outcome = self.reload()
            if outcome is not Reload.UNCHANGED:
                on_change(outcome)

    def _look(self) -> Reload:
        digest = b""
        try:
            mounted = self._read()
            digest = mounted.digest
            if digest != self._served:
                self._serve(self._valid(_verified(mounted)))
                return self._settled(Reload.LOADED)
        except MaterialError as error:
            return self._refused(str(error), digest=digest)
        return self._settled(Reload.UNCHANGED)

    def _read(self) -> Mounted:
        # The swap may fall between the two reads. Then they do not match, and a second look does.
        mounted = self._read_once()
        again = self._read_once()
        return mounted if mounted == again else self._read_once()

    def _read_once(self) -> Mounted:
        authorities = _content(self._client_authorities) if self._client_authorities else b""
        return Mounted(KeyPair(_content(self._certificate), _content(self._key)), authorities)

    def _valid(self, mounted: Mounted) -> Mounted:
        certificate = parse_certificate(mounted.pair.certificate_pem)
        span = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if not span[0] <= self._now() <= span[1]:
            raise MaterialError(f"the certificate is valid only {_span(*span)}")
        if self._client_authorities and last_expiry(mounted.client_authorities_pem) < self._now():
            raise MaterialError("every client authority has expired")
        return mounted

    def _settled(self, outcome: Reload) -> Reload:
        self.problem, self._refusal = "", None
        return outcome

    def _refused(self, problem: str, *, digest: bytes) -> Reload:
        is_news = (problem, digest) != self._refusal
        self.problem, self._refusal = problem, (problem, digest)
        return Reload.REFUSED if is_news else Reload.UNCHANGED

    def _serve(self, mounted: Mounted) -> None:
        is_verifying = self._client_authorities is not None
        clients_not_after = last_expiry(mounted.client_authorities_pem) if is_verifying else None
        self._live = _loaded(_context(is_verifying=is_verifying), mounted)
        certificate = parse_certificate(mounted.pair.certificate_pem)
        self.not_before = certificate.not_valid_before_utc
        self.not_after = certificate.not_valid_after_utc
        self.clients_not_after = clients_not_after
        """Until when the client authorities let anybody in; None: clients need no certificate."""
        self._served = mounted.digest
        metrics.EXPIRY.labels("serving").set(self.not_after.timestamp())
        if clients_not_after is not None:
            metrics.EXPIRY.labels("client-authority").set(clients_not_after.timestamp())

    def _turn(self, connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """Called in every handshake, with or without a server name: OpenSSL 1.1.1 and newer ask always."""
        connection.context = self._live


def server_context() -> ssl.SSLContext:
    """A server's context without a certificate: TLS 1.2 or 1.3, HTTP/1.1, no compression, no renegotiation.

    The key exchange is left to OpenSSL's list: Go offers X25519 first, and insisting on P-256 there would cost each
    handshake another round trip.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_ciphers(CIPHERS)
    # The API server speaks HTTP/1.1 to webhooks (kubernetes/kubernetes#75791), and so does uvicorn.
    context.set_alpn_protocols(["http/1.1"])
    return context


def _context(*, is_verifying: bool) -> ssl.SSLContext:
    """A server's context that asks clients for a certificate, or does not.

    With certificates only TLS 1.3, and no tickets: nothing can be resumed then, and each connection is verified by the
    authorities of that moment. (Python cannot turn off the session cache of TLS 1.2; every supported API server speaks
    1.3.)
    """
    context = server_context()
    if is_verifying:
        context.verify_mode = ssl.CERT_REQUIRED
        # As Go verifies: whatever certificate is in the file is trusted, be it signed by another one or by itself.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    return context


def _loaded(context: ssl.SSLContext, mounted: Mounted) -> ssl.SSLContext:
    # OpenSSL takes files only, certificate first. Were it given the mounted files, the swap could fall between. So it
    # reads the very bytes that were verified, from pipes: nothing is written to a disk.
    try:
        _load_chain(context, mounted.pair)
        if mounted.client_authorities_pem:
            context.load_verify_locations(cadata=mounted.client_authorities_pem.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise MaterialError(f"OpenSSL refuses what is mounted: {error}") from None
    return context


def _load_chain(context: ssl.SSLContext, pair: KeyPair) -> None:
    certificate, key = _readable(pair.certificate_pem), _readable(pair.key_pem)
    try:
        # Without a password function an encrypted key would make OpenSSL ask on the terminal.
        context.load_cert_chain(f"/dev/fd/{certificate}", f"/dev/fd/{key}", password=lambda: b"")
    finally:
        os.close(certificate)
        os.close(key)


def _readable(content: bytes) -> int:
    reader, writer = os.pipe()
    try:
        os.write(writer, content)
    finally:
        os.close(writer)
    return reader


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MaterialError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) > FILE_LIMIT_BYTES:
        raise MaterialError(
            f"{path}: {len(content)} bytes are more than the {FILE_LIMIT_BYTES} of a certificate or key"
        )
    return content


def _verified(mounted: Mounted) -> Mounted:
    if not is_matching(*mounted.pair):
        raise MaterialError("the key is not the certificate's key")
    return mounted


def _span(first: datetime, last: datetime) -> str:
    return f"from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _utc_now() -> datetime:
    return datetime.now(UTC)
