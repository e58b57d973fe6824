"""What is sent to write a ``SharedVIP``, as values; it never sends anything."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote

import msgspec

from sharedvip.ledger import object_name
from sharedvip.model import GroupName


@dataclass(frozen=True, slots=True)
class Write:
    """One server-side apply; without a spec the manager gives up all it owns."""

    name: GroupName
    field_manager: str
    spec: Mapping[str, object] | None
    resource_version: str = ""
    uid: str = ""
    force: bool = False
    dry_run: bool = False

    def at(self, resource_version: str) -> "Write":
        """The same, if the ledger is still of that version."""
        return replace(self, resource_version=resource_version)

    def forced(self) -> "Write":
        """The same, against everybody who owned something at its version."""
        return replace(self, force=True)

    @property
    def query(self) -> dict[str, str]:
        """Who writes, and how."""
        query = {"fieldManager": self.field_manager, "fieldValidation": "Strict"}
        if self.force:
            query["force"] = "true"
        if self.dry_run:
            query["dryRun"] = "All"
        return query

    @property
    def body(self) -> bytes:
        """What is applied."""
        metadata = {"resourceVersion": self.resource_version, "uid": self.uid}
        given = {field: value for field, value in metadata.items() if value}
        return document(self.name, metadata=given, **({} if self.spec is None else {"spec": self.spec}))


def path_of(name: GroupName) -> str:
    """Where the group's ``SharedVIP`` is."""
    namespace, shared_vip = quote(name.namespace, safe=""), quote(object_name(name.key), safe="")
    return f"/apis/sharedvip.dev/v1alpha1/namespaces/{namespace}/sharedvips/{shared_vip}"


def document(name: GroupName, *, metadata: Mapping[str, object] | None = None, **parts: object) -> bytes:
    """A ``SharedVIP`` with these parts."""
    return msgspec.json.encode(
        {
            "apiVersion": "sharedvip.dev/v1alpha1",
            "kind": "SharedVIP",
            "metadata": {"name": object_name(name.key), "namespace": name.namespace, **(metadata or {})},
            **parts,
        }
    )
