"""The webhook with its certificate: the two packages that may not know each other meet here; it decides nothing."""

import asyncio
from pathlib import Path

import structlog

from certs.clients import names_of_client
from certs.serving import Reload, ServingCertificate
from webhook.clients import Certificate
from webhook.serve import serve
from webhook.settings import WebhookSettings

_log = structlog.get_logger()


async def run_webhook(settings: WebhookSettings, *, certificate: Path, key: Path, kubeconfig: Path | None) -> int:
    """Serve until SIGTERM or SIGINT; the exit code.

    Raises:
        MaterialError: The certificate, its key or the client authorities cannot be used.
        ClusterError: No API server is named.
        OSError: A port cannot be had.
    """
    serving = ServingCertificate(certificate, key, client_authorities=settings.client_ca)

    def tell(outcome: Reload) -> None:
        say = _log.warning if outcome is Reload.REFUSED else _log.info
        not_after = serving.not_after.isoformat()
        say("certificate.looked-at", outcome=outcome.value, problem=serving.problem, not_after=not_after)

    seen = Certificate(
        context=serving.context,
        faults=lambda: serving.faults,
        warnings=lambda: serving.warnings,
        names_of_client=names_of_client,
    )
    watch = serving.watch(on_change=tell, interval_seconds=settings.certificate_poll_seconds)
    watching = asyncio.create_task(watch)
    try:
        return await serve(settings, seen, kubeconfig=kubeconfig)
    finally:
        watching.cancel()
