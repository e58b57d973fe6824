"""Keeps the key material in two Secrets; it never overwrites what somebody else wrote meanwhile.

``sharedvip-webhook-tls`` is mounted into the webhook: ``tls.crt``, ``tls.key`` and ``ca.crt``, the bundle to trust.
``sharedvip-webhook-ca`` holds the authority with its key, for ``sharedvip certs`` only: who could read it could pose as
any webhook of ours. Source: Kubernetes API reference, type ``kubernetes.io/tls``.
"""

import base64
from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol

import msgspec
from msgspec.json import encode

from certs.issue import Authority, KeyPair
from certs.renewal import Material
from cluster.errors import NotFound

CERTIFICATE: Final = "tls.crt"
KEY: Final = "tls.key"
BUNDLE: Final = "ca.crt"
TLS_TYPE: Final = "kubernetes.io/tls"
MERGE_PATCH: Final = "application/merge-patch+json"
"""Leaves labels and further entries as they are: they are somebody's."""
REQUEST_SECONDS: Final = 10.0
"""A read or write takes milliseconds; an API server that needs longer is left to the Job's next try."""


class Api(Protocol):
    """What is used of ``cluster.api.KubernetesApi``."""

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        content_type: str = "application/json",
        timeout_seconds: float = REQUEST_SECONDS,
    ) -> bytes:
        """The body of a successful answer; raises a ``cluster.errors.ClusterError`` for any other."""
        ...


class Names(NamedTuple):
    """Which two Secrets."""

    namespace: str
    authority: str
    serving: str


class _Metadata(msgspec.Struct, frozen=True):
    resourceVersion: str = ""  # noqa: N815 - Kubernetes' spelling


class _Secret(msgspec.Struct, frozen=True):
    metadata: _Metadata = _Metadata()
    data: dict[str, bytes] | None = None  # msgspec decodes base64 into bytes

    def part(self, name: str) -> bytes:
        return (self.data or {}).get(name, b"")

    def __repr__(self) -> str:
        return f"_Secret(metadata={self.metadata}, parts={sorted(self.data or {})})"


_DECODER: Final = msgspec.json.Decoder(_Secret)


class Stored(NamedTuple):
    """The two Secrets as the API server gave them; None where there is none."""

    authority: _Secret | None
    serving: _Secret | None

    @property
    def material(self) -> Material:
        """What they hold; a part that is missing is empty bytes."""
        authority, serving = self.authority or _Secret(), self.serving or _Secret()
        return Material(
            Authority(authority.part(CERTIFICATE), authority.part(KEY)),
            KeyPair(serving.part(CERTIFICATE), serving.part(KEY)),
            authority.part(BUNDLE),
        )


async def read(api: Api, names: Names) -> Stored:
    """Both Secrets.

    Raises:
        ClusterError: The API server does not give them.
    """
    return Stored(
        await _read(api, names.namespace, names.authority),
        await _read(api, names.namespace, names.serving),
    )


async def put_authority(api: Api, names: Names, *, stored: Stored, material: Material) -> bool:
    """Write the authority, its key and the bundle, where they differ from what is stored.

    Returns:
        Whether there was anything to write.

    Raises:
        AlreadyExists, Conflict: Somebody wrote it since it was read.
        ClusterError: The API server does not take it.
    """
    data = {
        CERTIFICATE: material.authority.certificate_pem,
        KEY: material.authority.key_pem,
        BUNDLE: material.bundle_pem,
    }
    return await _put(api, names.namespace, names.authority, before=stored.authority, data=data)


async def put_serving(api: Api, names: Names, *, stored: Stored, material: Material) -> bool:
    """Write the serving certificate, its key and the bundle, where they differ from what is stored.

    Returns:
        Whether there was anything to write.

    Raises:
        AlreadyExists, Conflict: Somebody wrote it since it was read.
        ClusterError: The API server does not take it.
    """
    data = {CERTIFICATE: material.serving.certificate_pem, KEY: material.serving.key_pem, BUNDLE: material.bundle_pem}
    return await _put(api, names.namespace, names.serving, before=stored.serving, data=data)


async def _read(api: Api, namespace: str, name: str) -> _Secret | None:
    try:
        return _DECODER.decode(await api.request("GET", _path(namespace, name), timeout_seconds=REQUEST_SECONDS))
    except NotFound:
        return None


async def _put(api: Api, namespace: str, name: str, *, before: _Secret | None, data: Mapping[str, bytes]) -> bool:
    encoded = {part: base64.b64encode(content).decode() for part, content in data.items()}
    if before is None:
        secret = _new(namespace, name, encoded)
        await api.request("POST", _path(namespace), body=encode(secret), timeout_seconds=REQUEST_SECONDS)
        return True
    if all(before.part(part) == content for part, content in data.items()):
        return False
    # With the resourceVersion that was read, a lost race is a Conflict.
    patch = {"metadata": {"resourceVersion": before.metadata.resourceVersion}, "data": encoded}
    path = _path(namespace, name)
    await api.request("PATCH", path, body=encode(patch), content_type=MERGE_PATCH, timeout_seconds=REQUEST_SECONDS)
    return True


def _new(namespace: str, name: str, encoded: Mapping[str, str]) -> dict[str, object]:
    metadata = {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/part-of": "sharedvip"}}
    return {"apiVersion": "v1", "kind": "Secret", "type": TLS_TYPE, "metadata": metadata, "data": encoded}


def _path(namespace: str, name: str = "") -> str:
    return f"/api/v1/namespaces/{namespace}/secrets" + (f"/{name}" if name else "")
