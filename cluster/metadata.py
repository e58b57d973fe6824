"""The parts of a Kubernetes object that every kind has, as typed records; it never knows a kind."""

import msgspec


class ObjectMeta(msgspec.Struct, rename="camel"):
    """``metadata``, as far as we read it."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    deletion_timestamp: str | None = None
    annotations: dict[str, str] | None = None
    labels: dict[str, str] | None = None
    finalizers: list[str] | None = None


class AnyObject(msgspec.Struct):
    """An object of any kind: only its metadata."""

    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)


class ListMeta(msgspec.Struct, rename="camel"):
    """``metadata`` of a list: where it stands, and where it goes on."""

    resource_version: str = ""
    continue_: str = msgspec.field(name="continue", default="")


class Page(msgspec.Struct):
    """One page of a list, its items still bytes: one odd object must not cost the others."""

    metadata: ListMeta = msgspec.field(default_factory=ListMeta)
    items: list[msgspec.Raw] | None = None


class WatchEvent(msgspec.Struct):
    """One line of a watch."""

    type: str
    object: msgspec.Raw


PAGE: msgspec.json.Decoder[Page] = msgspec.json.Decoder(Page)
WATCH_EVENT: msgspec.json.Decoder[WatchEvent] = msgspec.json.Decoder(WatchEvent)
ANY_OBJECT: msgspec.json.Decoder[AnyObject] = msgspec.json.Decoder(AnyObject)
