"""The webhook with its certificate: the two packages that may not know each other meet here; it decides nothing."""

import asyncio
from pathlib import Path

import structlog

from certs.serving import Reload, ServingCertificate
from webhook.serve import Certificate, serve
from webhook.settings import WebhookSettings

_log = structlog.get_logger()


async def run_webhook(settings: WebhookSettings, *, certificate: Path, key: Path, kubeconfig: Path | None) -> int:
    """Serve until SIGTERM or SIGINT; the exit code.

    Raises:
        MaterialError: The certificate or its key cannot be used.
        ClusterError: No API server is named.
        OSError: A port cannot be had.
    """
    serving = ServingCertificate(certificate, key)

    def tell(outcome: Reload) -> None:
        _log.info("certificate.looked-at", outcome=outcome.value, problem=serving.problem)

    def problem() -> str:
        return "" if serving.is_valid else f"the certificate is valid only until {serving.not_after:%Y-%m-%d %H:%M} UTC"

    watching = asyncio.create_task(serving.watch(on_change=tell))
    try:
        return await serve(settings, Certificate(serving.context, problem=problem), kubeconfig=kubeconfig)
    finally:
        watching.cancel()
