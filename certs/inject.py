"""Tells the API server which authorities to trust when it calls us; it never touches another's configuration."""

import base64
from typing import Final

import msgspec
from msgspec.json import encode

from certs.secret import REQUEST_SECONDS, Api
from cluster.errors import NotFound

KINDS: Final = ("validatingwebhookconfigurations", "mutatingwebhookconfigurations")
STRATEGIC_MERGE: Final = "application/strategic-merge-patch+json"
"""Merges the list of webhooks by name, so one patch names ``caBundle`` and nothing that others may have edited."""


class _ClientConfig(msgspec.Struct, frozen=True):
    caBundle: str = ""  # noqa: N815 - Kubernetes' spelling, base64


class _Webhook(msgspec.Struct, frozen=True):
    name: str
    clientConfig: _ClientConfig  # noqa: N815 - Kubernetes' spelling


class _Metadata(msgspec.Struct, frozen=True):
    resourceVersion: str  # noqa: N815 - Kubernetes' spelling


class _Configuration(msgspec.Struct, frozen=True):
    metadata: _Metadata
    webhooks: tuple[_Webhook, ...] = ()


_DECODER: Final = msgspec.json.Decoder(_Configuration)


async def inject(api: Api, *, configuration: str, bundle_pem: bytes) -> tuple[str, ...]:
    """Put the bundle into each webhook of both configurations of that name, where it is not there yet.

    Returns:
        The kinds (as in paths) for which there is no such configuration: nothing can call us through those.

    Raises:
        ClusterError: The API server does not take it, or somebody else wrote meanwhile (``Conflict``).
    """
    bundle = base64.b64encode(bundle_pem).decode()
    return tuple([kind for kind in KINDS if not await _inject(api, kind=kind, name=configuration, bundle=bundle)])


async def _inject(api: Api, *, kind: str, name: str, bundle: str) -> bool:
    path = f"/apis/admissionregistration.k8s.io/v1/{kind}/{name}"
    try:
        found = await api.request("GET", path, timeout_seconds=REQUEST_SECONDS)
        patch = render_patch(found, bundle=bundle)
        if patch:
            await _patch(api, path, patch)
    except NotFound:
        return False
    return True


async def _patch(api: Api, path: str, patch: dict[str, object]) -> None:
    body = encode(patch)
    await api.request("PATCH", path, body=body, content_type=STRATEGIC_MERGE, timeout_seconds=REQUEST_SECONDS)


def render_patch(configuration: bytes, *, bundle: str) -> dict[str, object]:
    """The strategic merge patch that leaves every webhook with the bundle; empty where all have it.

    It carries the resourceVersion read: a webhook that was removed meanwhile must not come back as a stump.

    Args:
        configuration: A Validating- or MutatingWebhookConfiguration as JSON.
        bundle: PEM in base64, as ``caBundle`` is spelled.
    """
    found = _DECODER.decode(configuration)
    stale = [
        {"name": webhook.name, "clientConfig": {"caBundle": bundle}}
        for webhook in found.webhooks
        if webhook.clientConfig.caBundle != bundle
    ]
    return {"metadata": {"resourceVersion": found.metadata.resourceVersion}, "webhooks": stale} if stale else {}
