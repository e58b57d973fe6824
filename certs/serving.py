"""Serves TLS from mounted files and follows them while serving; it never serves a pair that it has not verified.

A mounted Secret changes by a swap of symbolic links, of which no file system event reliably tells, so the content is
looked at (kopf does the same, ``shared/design/kubernetes.md`` section 2).
"""

import asyncio
import os
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Final

from certs.errors import MaterialError
from certs.issue import KeyPair, is_matching, parse_certificate

POLL_SECONDS: Final = 10.0
"""As controller-runtime's certwatcher polls. The kubelet itself needs up to a minute to swap a mounted Secret."""

FILE_LIMIT_BYTES: Final = 60_000
"""A chain has 2 to 8 kB. Less than a pipe's 64 KiB, through which it is handed to OpenSSL."""

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secret and authenticated only, all of which Go offers. TLS 1.3 has no weak ones to leave out."""


class Reload(StrEnum):
    """What a look at the files led to; the values serve as metric labels."""

    UNCHANGED = "unchanged"
    LOADED = "loaded"
    REFUSED = "refused"
    """The files are bad: see ``ServingCertificate.problem``. The old pair is still served."""


class ServingCertificate:
    """A certificate and key in files, and the live TLS context that serves them.

    For uvicorn: ``Config(app, ssl_context_factory=certificate.ssl_context_factory)``, and ``watch`` as a task.

    Args:
        certificate: PEM, the server's own certificate first.
        key: PEM, unencrypted.
        now: The clock, with a time zone.

    Raises:
        MaterialError: The files cannot be read, or do not match. An expired certificate is loaded all the same: then
            ``is_valid`` says no, and the server is not ready rather than gone.
    """

    def __init__(self, certificate: Path, key: Path, *, now: Callable[[], datetime] | None = None) -> None:
        self.context: Final = server_context()
        self.problem = ""
        """Why what is mounted is not what is served; "" where it is."""
        self._certificate = certificate
        self._key = key
        self._now = now or _utc_now
        self._refusal: tuple[str, bytes] | None = None
        self._serve(_verified(self._read()))

    @property
    def is_valid(self) -> bool:
        """Whether the certificate served is valid by the clock."""
        return self.not_before <= self._now() <= self.not_after

    def ssl_context_factory(self, *_: object) -> ssl.SSLContext:
        """The live context, whatever uvicorn passes: its own configuration and its default factory."""
        return self.context

    def reload(self) -> Reload:
        """Look at the files once, and serve what they hold if it is new and good.

        New connections get the new certificate; open ones keep theirs, and no handshake fails.
        What is bad is reported as refused once, and tried again at each look: it may not be valid *yet*.
        """
        digest = b""
        try:
            pair = self._read()
            digest = _digest(pair)
            if digest != self._served:
                self._serve(self._valid(_verified(pair)))
                return self._settled(Reload.LOADED)
        except MaterialError as error:
            return self._refused(str(error), digest=digest)
        return self._settled(Reload.UNCHANGED)

    async def watch(self, *, on_change: Callable[[Reload], None], interval_seconds: float = POLL_SECONDS) -> None:
        """Look at the files until cancelled, and tell of each new pair, good or refused."""
        while True:
            await asyncio.sleep(interval_seconds)
            outcome = self.reload()
            if outcome is not Reload.UNCHANGED:
                on_change(outcome)

    def _read(self) -> KeyPair:
        # The swap may fall between the two reads. Then they do not match, and a second look does.
        pair = KeyPair(_content(self._certificate), _content(self._key))
        again = KeyPair(_content(self._certificate), _content(self._key))
        return pair if pair == again else KeyPair(_content(self._certificate), _content(self._key))

    def _valid(self, pair: KeyPair) -> KeyPair:
        certificate = parse_certificate(pair.certificate_pem)
        if not certificate.not_valid_before_utc <= self._now() <= certificate.not_valid_after_utc:
            raise MaterialError(
                f"the certificate is valid only from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} "
                f"to {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
            )
        return pair

    def _settled(self, outcome: Reload) -> Reload:
        self.problem, self._refusal = "", None
        return outcome

    def _refused(self, problem: str, *, digest: bytes) -> Reload:
        is_news = (problem, digest) != self._refusal
        self.problem, self._refusal = problem, (problem, digest)
        return Reload.REFUSED if is_news else Reload.UNCHANGED

    def _serve(self, pair: KeyPair) -> None:
        _load_pair(self.context, pair)
        certificate = parse_certificate(pair.certificate_pem)
        self.not_before = certificate.not_valid_before_utc
        self.not_after = certificate.not_valid_after_utc
        self._served = _digest(pair)


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


def _load_pair(context: ssl.SSLContext, pair: KeyPair) -> None:
    # OpenSSL takes files only, certificate first, and a key that then does not match leaves the context with none.
    # Were it given the mounted files, the swap could fall between. So it reads the very bytes that were verified, from
    # pipes: nothing is written to a disk.
    try:
        # A rehearsal: whatever OpenSSL dislikes, it dislikes here.
        _load_chain(server_context(), pair)
        _load_chain(context, pair)
    except (ssl.SSLError, ValueError) as error:
        raise MaterialError(f"OpenSSL refuses the certificate or its key: {error}") from None


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


def _verified(pair: KeyPair) -> KeyPair:
    if not is_matching(pair.certificate_pem, pair.key_pem):
        raise MaterialError("the key is not the certificate's key")
    return pair


def _digest(pair: KeyPair) -> bytes:
    # The lengths keep two pairs apart whose concatenation is the same.
    return sha256(b"%d %d " % (len(pair.certificate_pem), len(pair.key_pem)) + b"".join(pair)).digest()


def _utc_now() -> datetime:
    return datetime.now(UTC)
