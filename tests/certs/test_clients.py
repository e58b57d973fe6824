"""Client certificates over real TLS: who is served, who is not, and how their authorities change while serving."""

import contextlib
import ssl
from datetime import datetime
from pathlib import Path
from typing import Final

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from prometheus_client import REGISTRY

from certs.clients import names_of_client
from certs.errors import MaterialError
from certs.issue import Authority, KeyPair, parse_certificate
from certs.serving import Reload, ServingCertificate
from tests.certs.builders import DAY, YEAR, MountedSecret, authority, client, serving, today
from tests.certs.echo import Server, visit

AUTHORITY: Final = authority(now=today())
PAIR: Final = serving(AUTHORITY, now=today())
CLIENTS: Final = authority(now=today())
OTHERS: Final = authority(now=today())
API_SERVER: Final = client(CLIENTS)
HUNG_UP: Final = (ssl.SSLError, ConnectionError)
"""With TLS 1.3 a client learns that its certificate is not taken by its first read: an alert, a reset, or nothing."""


class Mounted:
    """The serving pair, and a bundle of client authorities."""

    def __init__(self, directory: Path, *authorities: Authority, now: datetime | None = None) -> None:
        self.bundle = directory / "client-ca.crt"
        self.trust(*authorities)
        self.secret = MountedSecret(directory, PAIR)
        self.serving = ServingCertificate(
            self.secret.certificate, self.secret.key, client_authorities=self.bundle, now=(lambda: now) if now else None
        )

    def trust(self, *authorities: Authority) -> None:
        """Write the bundle."""
        self.bundle.write_bytes(b"".join(one.certificate_pem for one in authorities))


def showing(pair: KeyPair | None, directory: Path, *, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """A client's context with this certificate."""
    context = ssl.create_default_context(cadata=AUTHORITY.certificate_pem.decode())
    if pair is not None:
        file = directory / "client.pem"
        file.write_bytes(pair.certificate_pem + pair.key_pem)
        context.load_cert_chain(file)
    if version is not None:
        context.maximum_version = version
    return context


async def is_served(server: Server, context: ssl.SSLContext) -> bool:
    """Whether a line is answered."""
    try:
        connection = await server.connect_with(context)
    except HUNG_UP:
        return False
    try:
        return await connection.echo(b"hello\n") == b"hello\n"
    except HUNG_UP:
        return False
    finally:
        connection.writer.transport.abort()
        with contextlib.suppress(*HUNG_UP):
            await connection.writer.wait_closed()


@pytest.mark.parametrize(
    ("pair", "served"),
    [
        pytest.param(API_SERVER, True, id="a certificate of the authority is let in"),
        pytest.param(None, False, id="no certificate is refused"),
        pytest.param(client(OTHERS), False, id="another authority of the same name is refused"),
        pytest.param(client(CLIENTS, now=today() - 2 * YEAR), False, id="an expired certificate is refused"),
        pytest.param(serving(CLIENTS, now=today()), False, id="a server's certificate is refused"),
    ],
)
def test_only_a_certificate_of_the_authority_is_let_in(tmp_path: Path, pair: KeyPair | None, *, served: bool) -> None:
    """By chain, time and purpose."""
    mounted = Mounted(tmp_path, CLIENTS)

    async def story(server: Server) -> None:
        assert await is_served(server, showing(pair, tmp_path)) is served

    visit(mounted.serving.context, story)


def test_without_authorities_nobody_is_asked_for_a_certificate(tmp_path: Path) -> None:
    """Who has one is not asked for it either."""
    mounted = MountedSecret(tmp_path, PAIR)

    async def story(server: Server) -> None:
        assert await is_served(server, showing(None, tmp_path))
        assert await is_served(server, showing(client(OTHERS), tmp_path))

    visit(ServingCertificate(mounted.certificate, mounted.key).context, story)


def test_an_intermediate_in_the_file_is_trusted_as_go_trusts_it(tmp_path: Path) -> None:
    """Even the client's own certificate may stand there, without who signed it."""
    mounted = Mounted(tmp_path, Authority(API_SERVER.certificate_pem, b""))

    async def story(server: Server) -> None:
        assert await is_served(server, showing(API_SERVER, tmp_path))
        assert not await is_served(server, showing(client(CLIENTS), tmp_path))

    visit(mounted.serving.context, story)


def test_nothing_is_resumed_and_tls_1_2_is_not_spoken(tmp_path: Path) -> None:
    """A resumed session would be verified by authorities of the past."""
    mounted = Mounted(tmp_path, CLIENTS)

    async def story(server: Server) -> None:
        connection = await server.connect_with(showing(API_SERVER, tmp_path))
        assert await connection.echo(b"hello\n") == b"hello\n"
        assert connection.tls.version() == "TLSv1.3"
        assert connection.tls.session is None or not connection.tls.session.has_ticket
        await connection.close()
        assert not await is_served(server, showing(API_SERVER, tmp_path, version=ssl.TLSVersion.TLSv1_2))

    visit(mounted.serving.context, story)


def test_authorities_rotate_while_serving(tmp_path: Path) -> None:
    """Old, both, new: nobody is refused who is trusted, nobody served who is not any more; open connections stay."""
    mounted = Mounted(tmp_path, CLIENTS)
    old, new = showing(API_SERVER, tmp_path), showing(client(OTHERS), tmp_path)

    async def story(server: Server) -> None:
        early = await server.connect_with(old)
        served: list[tuple[bool, bool]] = []
        for trusted in ((CLIENTS,), (CLIENTS, OTHERS), (OTHERS,), (CLIENTS,)):
            mounted.trust(*trusted)
            mounted.serving.reload()
            served.append((await is_served(server, old), await is_served(server, new)))

        assert served == [(True, False), (True, True), (False, True), (True, False)]
        assert await early.echo(b"still here\n") == b"still here\n"
        await early.close()

    visit(mounted.serving.context, story)


@pytest.mark.parametrize(
    ("bundle", "problem"),
    [
        pytest.param(b"", "the client authorities are not PEM X.509 certificates", id="nothing"),
        pytest.param(b"junk", "the client authorities are not PEM X.509 certificates", id="no PEM"),
        pytest.param(
            authority(now=today() - 2 * YEAR, lifetime=YEAR).certificate_pem,
            "every client authority has expired",
            id="an authority of the past",
        ),
    ],
)
def test_a_bad_bundle_is_refused_and_the_old_one_kept(tmp_path: Path, bundle: bytes, problem: str) -> None:
    """Never does a broken file let everybody in, or nobody."""
    mounted = Mounted(tmp_path, CLIENTS)
    mounted.bundle.write_bytes(bundle)

    async def story(server: Server) -> None:
        assert mounted.serving.reload() is Reload.REFUSED
        assert mounted.serving.problem == problem
        assert await is_served(server, showing(API_SERVER, tmp_path))
        assert not await is_served(server, showing(None, tmp_path))

    visit(mounted.serving.context, story)


def test_a_server_does_not_start_with_a_bad_bundle(tmp_path: Path) -> None:
    """It would have to choose between everybody and nobody."""
    with pytest.raises(MaterialError, match="client authorities"):
        Mounted(tmp_path)


def test_expired_authorities_are_a_fault_and_told_before(tmp_path: Path) -> None:
    """While one is replaced, the successor's time counts."""
    short, moment = authority(now=today(), lifetime=DAY), today()
    mounted = Mounted(tmp_path, short, now=moment)
    expiry = f"{moment + DAY:%Y-%m-%d %H:%M} UTC"

    assert mounted.serving.faults == ()
    assert mounted.serving.warnings == (f"the last client authority expires at {expiry}",)
    mounted.trust(short, CLIENTS)
    assert mounted.serving.reload() is Reload.LOADED
    assert mounted.serving.warnings == ()
    told = REGISTRY.get_sample_value(
        "sharedvip_certificate_expiry_timestamp_seconds", {"certificate": "client-authority"}
    )
    assert told == parse_certificate(CLIENTS.certificate_pem).not_valid_after_utc.timestamp()

    (tmp_path / "late").mkdir()
    late = Mounted(tmp_path / "late", short, now=moment + 2 * DAY)
    assert late.serving.faults == (f"the last client authority expired at {expiry}",)


def test_a_client_is_called_by_its_common_and_dns_names() -> None:
    """Both, as certificates from different tools have the one or the other."""

    def names(pair: KeyPair) -> frozenset[str]:
        return names_of_client(parse_certificate(pair.certificate_pem).public_bytes(Encoding.DER))

    assert names(client(CLIENTS, "kube-apiserver")) == {"kube-apiserver"}
    assert names(client(CLIENTS, "a", dns="b.example.com")) == {"a", "b.example.com"}
    with pytest.raises(MaterialError):
        names_of_client(b"junk")
