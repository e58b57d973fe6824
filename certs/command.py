"""The work of `sharedvip certs`: issue or renew, store, and tell the API server; it serves nothing.

The order is what makes renewal harmless: the authority is stored, then trusted, and only then is a certificate of it
served. Stopped after any step, the next run goes on from there.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import structlog

from certs.errors import MaterialError
from certs.files import read_files, write_files
from certs.inject import KINDS, inject
from certs.issue import Names, expiry
from certs.renewal import Material, renewed
from certs.secret import Api, put_authority, put_serving, read
from certs.secret import Names as SecretNames
from cluster.api import KubernetesApi
from cluster.errors import AlreadyExists, ClusterError, Conflict

TRIES: Final = 5
"""A lost race means that another run just did that step. There are four to lose (two Secrets, two configurations)."""

DNS_NAME: Final = re.compile(r"(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""A namespace's or Service's name. Source: RFC 1123, as Kubernetes reads it."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertsSettings:
    """All settings of `sharedvip certs`; ``problems`` tells what is wrong with them, all at once."""

    namespace: str = "sharedvip-system"
    """Where the Secrets and the webhook's Service are."""
    service: str = "sharedvip-webhook"
    """The Service by which the API server calls the webhook."""
    dns_names: tuple[str, ...] = ()
    """Further names, where the API server calls by URL."""
    ip_addresses: tuple[str, ...] = ()
    """Further addresses, likewise."""
    serving_secret: str = "sharedvip-webhook-tls"  # noqa: S105 - the name of an object
    authority_secret: str = "sharedvip-webhook-ca"  # noqa: S105 - the name of an object
    configuration: str = "sharedvip.dev"
    """The name of the Validating- and of the MutatingWebhookConfiguration."""
    kubeconfig: Path | None = None
    """None: the pod's own service account."""
    directory: Path | None = None
    """Set: write the files there and ask no cluster at all."""

    @property
    def names(self) -> Names:
        """What the serving certificate is for: ``<service>.<namespace>.svc``, which the API server calls, and more."""
        addresses = (str(ip_address(address)) for address in self.ip_addresses)
        return Names(frozenset((f"{self.service}.{self.namespace}.svc", *self.dns_names)), frozenset(addresses))

    @property
    def secrets(self) -> SecretNames:
        """Where the material is kept."""
        return SecretNames(self.namespace, self.authority_secret, self.serving_secret)

    @property
    def problems(self) -> tuple[str, ...]:
        """One line per setting that is wrong: its name, its value, what it must be, an example."""
        return tuple(_problems(self))


def _problems(settings: CertsSettings) -> Iterator[str]:
    for name, value in (("namespace", settings.namespace), ("service", settings.service)):
        if not LABEL.fullmatch(value):
            yield f"{name}: {value!r} must be 1 to 63 of a-z, 0-9 and '-'; for example 'sharedvip-webhook'"
    for value in settings.dns_names:
        if not DNS_NAME.fullmatch(value):
            yield f"dns_names: {value!r} must be a DNS name in lower case; for example 'webhook.example.com'"
    for value in settings.ip_addresses:
        if not _is_address(value):
            yield f"ip_addresses: {value!r} must be an IPv4 or IPv6 address; for example '127.0.0.1'"


async def run(settings: CertsSettings, *, now: Callable[[], datetime] | None = None) -> int:
    """Do it once and say what was done, one log line each.

    Returns:
        The exit code: 0 done (or nothing to do), 1 the API server or a file is in the way (try again), 2 a setting is
        wrong.
    """
    for problem in settings.problems:
        log.error("setting-refused", problem=problem)
    if settings.problems:
        return 2
    moment = (now or _utc_now)()
    try:
        return (
            _in_directory(settings, settings.directory, moment)
            if settings.directory
            else await _in_cluster(settings, moment)
        )
    except (MaterialError, ClusterError) as error:
        log.error("certs-failed", problem=str(error))  # noqa: TRY400 - an answer, not a traceback
        return 1


async def provision(api: Api, settings: CertsSettings, *, now: datetime) -> tuple[Material, tuple[str, ...]]:
    """Issue or renew, store in both Secrets, and put the bundle into the webhook configurations.

    Returns:
        The material now in force, and the kinds of webhook configuration that do not exist.

    Raises:
        MaterialError: The settings' names are none for a certificate.
        AlreadyExists, Conflict: Another run was at it at the same time, and more than once per step.
        ClusterError: The API server does not take it.
    """
    for _ in range(TRIES - 1):
        try:
            return await _provision(api, settings, now=now)
        except (AlreadyExists, Conflict) as race:
            log.info("certs-raced", problem=str(race))
    return await _provision(api, settings, now=now)


async def _provision(api: Api, settings: CertsSettings, *, now: datetime) -> tuple[Material, tuple[str, ...]]:
    stored = await read(api, settings.secrets)
    material = renewed(stored.material, names=settings.names, now=now)
    authority_written = await put_authority(api, settings.secrets, stored=stored, material=material)
    missing = await inject(api, configuration=settings.configuration, bundle_pem=material.bundle_pem)
    serving_written = await put_serving(api, settings.secrets, stored=stored, material=material)
    log.info(
        "certs-in-force",
        authority_written=authority_written,
        serving_written=serving_written,
        not_after=expiry(material.serving.certificate_pem).isoformat(),
        authority_not_after=expiry(material.authority.certificate_pem).isoformat(),
    )
    return material, missing


async def _in_cluster(settings: CertsSettings, now: datetime) -> int:
    api = await KubernetesApi.connect(settings.kubeconfig, user_agent="sharedvip-certs")
    try:
        _, missing = await provision(api, settings, now=now)
    finally:
        await api.close()
    for kind in missing:
        log.warning("webhook-configuration-missing", kind=kind, name=settings.configuration)
    # One may have been left out on purpose. With none, nobody would ever call us: that is an unfinished installation.
    return int(len(missing) == len(KINDS))


def _in_directory(settings: CertsSettings, directory: Path, now: datetime) -> int:
    before = read_files(directory)
    material = renewed(before, names=settings.names, now=now)
    if material != before:
        write_files(directory, material)
    not_after = expiry(material.serving.certificate_pem).isoformat()
    log.info("certs-in-force", directory=str(directory), written=material != before, not_after=not_after)
    return 0


def _is_address(value: str) -> bool:
    try:
        ip_address(value)
    except ValueError:
        return False
    return True


def _utc_now() -> datetime:
    return datetime.now(UTC)
