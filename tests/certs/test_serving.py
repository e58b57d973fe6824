"""Real TLS on loopback: who is let in, and what happens to connections while the files change."""

import asyncio
import ssl
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
from prometheus_client import REGISTRY

from certs.errors import MaterialError
from certs.issue import Authority, KeyPair, expiry, parse_certificate
from certs.serving import FILE_LIMIT_BYTES, Reload, ServingCertificate
from tests.certs.builders import DAY, NAME, YEAR, MountedSecret, authority, serving, today
from tests.certs.echo import DEADLINE_SECONDS, Server, visit

AUTHORITY: Final = authority(now=today())
PAIR: Final = serving(AUTHORITY, now=today())
NEXT: Final = serving(AUTHORITY, now=today())


@pytest.fixture
def mounted(tmp_path: Path) -> MountedSecret:
    """The first pair, as a pod sees it."""
    return MountedSecret(tmp_path, PAIR)


@pytest.fixture
def certificate(mounted: MountedSecret) -> ServingCertificate:
    """What a server serves from it."""
    return ServingCertificate(mounted.certificate, mounted.key)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(NAME, id="the Service's name is accepted"),
        pytest.param("127.0.0.1", id="an IPv4 address is accepted"),
        pytest.param("::1", id="an IPv6 address is accepted"),
    ],
)
def test_a_client_that_trusts_the_authority_is_served(certificate: ServingCertificate, name: str) -> None:
    """Chain and name are verified, TLS 1.3 and HTTP/1.1 agreed on, nothing compressed."""

    async def client(server: Server) -> None:
        trusting = ssl.create_default_context(cadata=AUTHORITY.certificate_pem.decode())
        trusting.set_alpn_protocols(["h2", "http/1.1"])
        connection = await server.connect_with(trusting, name=name)

        assert await connection.echo(b"hello\n") == b"hello\n"
        assert connection.tls.version() == "TLSv1.3"
        assert connection.tls.selected_alpn_protocol() == "http/1.1"
        assert connection.tls.compression() is None
        await connection.close()

    visit(certificate.context, client)


def test_a_client_of_another_name_goes_away(certificate: ServingCertificate) -> None:
    """The certificate is for our Service only."""

    async def client(server: Server) -> None:
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            await server.connect(trust=AUTHORITY.certificate_pem, name="other.sharedvip-system.svc")

    visit(certificate.context, client)


def test_a_client_that_trusts_another_authority_goes_away(certificate: ServingCertificate) -> None:
    """The same name does not make it the same authority."""

    async def client(server: Server) -> None:
        with pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed"):
            await server.connect(trust=authority(now=today()).certificate_pem)

    visit(certificate.context, client)


def test_tls_1_2_is_served_with_forward_secrecy(certificate: ServingCertificate) -> None:
    """For an API server from a cautious distribution."""

    async def client(server: Server) -> None:
        context = ssl.create_default_context(cadata=AUTHORITY.certificate_pem.decode())
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        connection = await server.connect_with(context)

        assert connection.tls.version() == "TLSv1.2"
        assert (connection.tls.cipher() or ("",))[0].startswith("ECDHE-ECDSA-")
        await connection.close()

    visit(certificate.context, client)


def test_tls_1_1_is_refused(certificate: ServingCertificate) -> None:
    """The same client, which puts up with anything, is served as soon as it may speak 1.2."""

    async def client(server: Server) -> None:
        context = ssl.create_default_context(cadata=AUTHORITY.certificate_pem.decode())
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python, too, advises against it
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        # asyncio's server resets such a connection without an alert, so the client learns no reason.
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            await server.connect_with(context)

        context.maximum_version = ssl.TLSVersion.TLSv1_2
        await (await server.connect_with(context)).close()

    visit(certificate.context, client)


def test_unchanged_files_are_left_alone(certificate: ServingCertificate) -> None:
    """Every ten seconds, for a year."""
    assert certificate.reload() is Reload.UNCHANGED
    assert certificate.problem == ""
    assert certificate.not_after == expiry(PAIR.certificate_pem)
    assert certificate.is_valid


def test_a_swap_is_served_to_new_connections_and_open_ones_stay(
    certificate: ServingCertificate, mounted: MountedSecret
) -> None:
    """Nobody is cut off, and nobody gets the old certificate any more."""

    async def client(server: Server) -> None:
        early = await server.connect(trust=AUTHORITY.certificate_pem)
        mounted.swap(NEXT)

        assert certificate.reload() is Reload.LOADED
        late = await server.connect(trust=AUTHORITY.certificate_pem)

        assert early.serial_number == parse_certificate(PAIR.certificate_pem).serial_number
        assert late.serial_number == parse_certificate(NEXT.certificate_pem).serial_number
        assert await early.echo(b"still here\n") == b"still here\n"
        await early.close()
        await late.close()

    visit(certificate.context, client)
    assert certificate.not_after == expiry(NEXT.certificate_pem)


def test_no_handshake_fails_while_certificate_and_authority_rotate(
    certificate: ServingCertificate, mounted: MountedSecret
) -> None:
    """Four clients that trust old and new connect again and again while the files are swapped forty times."""
    new = authority(now=today())
    bundle = new.certificate_pem + AUTHORITY.certificate_pem
    pairs = (serving(new, now=today()), PAIR)
    served: list[int] = []

    async def customer(server: Server) -> None:
        for _ in range(25):
            connection = await server.connect(trust=bundle)
            served.append(connection.serial_number)
            await connection.close()

    async def rotation() -> None:
        for number in range(40):
            mounted.swap(pairs[number % 2])
            assert certificate.reload() is Reload.LOADED
            await asyncio.sleep(0)

    async def client(server: Server) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(customer(server))
            group.create_task(rotation())

    visit(certificate.context, client)
    assert len(served) == 100


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        pytest.param(
            KeyPair(NEXT.certificate_pem, PAIR.key_pem),
            "the key is not the certificate's key",
            id="a pair that does not match is refused",
        ),
        pytest.param(
            KeyPair(b"", PAIR.key_pem),
            "the certificate is not a PEM X.509 certificate",
            id="an empty certificate is refused",
        ),
        pytest.param(
            KeyPair(NEXT.certificate_pem, b"junk"),
            "the key is not an unencrypted PEM private key",
            id="an unreadable key is refused",
        ),
        pytest.param(
            serving(Authority(*AUTHORITY), now=today() - YEAR, lifetime=100 * DAY),
            "the certificate is valid only from ",
            id="an expired certificate is refused",
        ),
    ],
)
def test_a_bad_pair_is_refused_and_the_old_one_served(
    certificate: ServingCertificate, mounted: MountedSecret, bad: KeyPair, problem: str
) -> None:
    """It is told once, held as the problem while it lasts, and gone when the files are good again."""

    async def client(server: Server) -> None:
        mounted.swap(bad)
        assert [certificate.reload(), certificate.reload()] == [Reload.REFUSED, Reload.UNCHANGED]
        assert certificate.problem.startswith(problem)

        connection = await server.connect(trust=AUTHORITY.certificate_pem)
        assert connection.serial_number == parse_certificate(PAIR.certificate_pem).serial_number
        await connection.close()

    visit(certificate.context, client)
    mounted.swap(NEXT)
    assert certificate.reload() is Reload.LOADED
    assert certificate.problem == ""


def test_files_that_are_gone_are_a_problem_until_they_are_back(
    certificate: ServingCertificate, mounted: MountedSecret
) -> None:
    """The same content again is no news, and no problem any more."""
    with mounted.gone():
        assert [certificate.reload(), certificate.reload()] == [Reload.REFUSED, Reload.UNCHANGED]
        assert certificate.problem == f"{mounted.certificate}: cannot be read: No such file or directory"

    assert certificate.reload() is Reload.UNCHANGED
    assert certificate.problem == ""


def test_a_certificate_from_the_future_is_served_when_its_time_has_come(mounted: MountedSecret) -> None:
    """It is tried again at each look, though the files stay as they are."""
    moment = today()
    certificate = ServingCertificate(mounted.certificate, mounted.key, now=lambda: moment)
    mounted.swap(serving(AUTHORITY, now=moment + DAY))

    assert certificate.reload() is Reload.REFUSED
    moment += DAY
    assert certificate.reload() is Reload.LOADED


def test_a_server_starts_with_an_expired_certificate_and_says_so(mounted: MountedSecret) -> None:
    """Not ready is a clearer answer than a pod that ends again and again."""
    certificate = ServingCertificate(mounted.certificate, mounted.key, now=lambda: today() + 2 * YEAR)

    assert not certificate.is_valid
    assert certificate.not_after < today() + 2 * YEAR


def test_a_server_does_not_start_with_a_pair_that_does_not_match(tmp_path: Path) -> None:
    """There is nothing to serve."""
    mounted = MountedSecret(tmp_path, KeyPair(NEXT.certificate_pem, PAIR.key_pem))

    with pytest.raises(MaterialError, match=r"^the key is not the certificate's key$"):
        ServingCertificate(mounted.certificate, mounted.key)


def test_a_file_too_large_for_a_certificate_is_refused(mounted: MountedSecret) -> None:
    """Somebody mounted something else."""
    mounted.swap(KeyPair(b"x" * (FILE_LIMIT_BYTES + 1), PAIR.key_pem))

    with pytest.raises(MaterialError, match="bytes are more than the"):
        ServingCertificate(mounted.certificate, mounted.key)


@pytest.mark.parametrize(
    ("lifetime", "age", "is_told"),
    [
        pytest.param(YEAR, YEAR - 22 * DAY, False, id="not while three weeks are left"),
        pytest.param(YEAR, YEAR - 20 * DAY, True, id="when renewal is late"),
        pytest.param(4 * DAY, 2 * DAY, False, id="not in the first three quarters of a short life"),
        pytest.param(4 * DAY, 3.5 * DAY, True, id="in the last quarter of a short one"),
    ],
)
def test_a_certificate_about_to_expire_is_a_warning(
    mounted: MountedSecret, lifetime: timedelta, age: timedelta, *, is_told: bool
) -> None:
    """Still served, still ready."""
    start = today()
    mounted.swap(serving(AUTHORITY, now=start, lifetime=lifetime))
    certificate = ServingCertificate(mounted.certificate, mounted.key, now=lambda: start + age)
    told = f"the certificate expires at {start + lifetime:%Y-%m-%d %H:%M} UTC, and is not renewed yet"

    assert certificate.faults == ()
    assert certificate.warnings == ((told,) if is_told else ())


def test_an_expired_certificate_is_a_fault_and_a_bad_mounted_pair_a_warning(mounted: MountedSecret) -> None:
    """The old one is served while it lasts; what is mounted is told all that time."""
    moment = today()
    certificate = ServingCertificate(mounted.certificate, mounted.key, now=lambda: moment)
    mounted.swap(KeyPair(NEXT.certificate_pem, PAIR.key_pem))
    certificate.reload()
    refused = "what is mounted is refused, and the old certificate served: the key is not the certificate's key"

    assert (certificate.faults, certificate.warnings) == ((), (refused,))
    moment += 2 * YEAR
    assert [fault.partition(" from ")[0] for fault in certificate.faults] == ["the certificate is valid only"]
    assert certificate.warnings == (refused,)


def test_expiry_and_reloads_are_counted(certificate: ServingCertificate, mounted: MountedSecret) -> None:
    """The time is that of what is served."""

    def value(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, labels) or 0.0

    def reloads() -> tuple[float, float]:
        outcomes = Reload.LOADED.value, Reload.REFUSED.value
        loaded, refused = (value("sharedvip_certificate_reloads_total", outcome=outcome) for outcome in outcomes)
        return loaded, refused

    before = reloads()
    short = serving(AUTHORITY, now=today(), lifetime=DAY)
    for pair in (short, KeyPair(NEXT.certificate_pem, PAIR.key_pem)):
        mounted.swap(pair)
        certificate.reload()
        certificate.reload()

    assert reloads() == (before[0] + 1, before[1] + 1)
    expiry_seconds = value("sharedvip_certificate_expiry_timestamp_seconds", certificate="serving")
    assert expiry_seconds == expiry(short.certificate_pem).timestamp()


def test_the_watch_tells_of_each_new_pair(certificate: ServingCertificate, mounted: MountedSecret) -> None:
    """Good or refused, by itself, until it is cancelled."""

    async def story() -> list[Reload]:
        told: asyncio.Queue[Reload] = asyncio.Queue()
        watch = asyncio.create_task(certificate.watch(on_change=told.put_nowait, interval_seconds=0.01))
        mounted.swap(NEXT)
        first = await asyncio.wait_for(told.get(), DEADLINE_SECONDS)
        mounted.swap(KeyPair(NEXT.certificate_pem, PAIR.key_pem))
        second = await asyncio.wait_for(told.get(), DEADLINE_SECONDS)
        watch.cancel()
        await asyncio.wait([watch], timeout=timedelta(seconds=DEADLINE_SECONDS).total_seconds())
        return [first, second]

    assert asyncio.run(story()) == [Reload.LOADED, Reload.REFUSED]
