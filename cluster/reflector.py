"""Keeps a copy of one kind of object in step with the API server: LIST in pages, then WATCH; it never writes.

Our own, because the official client's informer asks for no bookmarks, cannot say whether it has synced, hangs on a
half-open connection, does not back off, reads the list in one piece and does not exist for asyncio
(``shared/design/kubernetes.md`` 3.3; ``docs/adr/0003-reflector.md``).
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, NamedTuple, TypeVar

import msgspec
import structlog

from cluster import metrics
from cluster.api import KubernetesApi
from cluster.errors import ClusterError, Gone, Unreachable, parse_error
from cluster.metadata import ANY_OBJECT, PAGE, WATCH_EVENT, ListMeta, ObjectMeta, WatchEvent

Raw = TypeVar("Raw")
Record = TypeVar("Record")

PAGE_SIZE = 500
IDLE_SECONDS = 90.0
"""A watch that was silent for so long is broken: bookmarks come every minute."""
_WATCH_SECONDS = (240, 300)
_BACK_OFF_SECONDS = (0.8, 30.0)
_log = structlog.get_logger()


class ObjectName(NamedTuple):
    """What tells an object from the others of its kind."""

    namespace: str
    name: str


class Reflector(Generic[Raw, Record]):
    """A copy of what ``select`` keeps of every object under a path."""

    def __init__(
        self,
        api: KubernetesApi,
        path: str,
        *,
        raw: type[Raw],
        select: Callable[[Raw], Record | None],
        on_change: Callable[[Record | None, Record | None], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read nothing yet.

        Args:
            api: The connection.
            path: Of the collection, over all namespaces: ``/api/v1/services``.
            raw: The msgspec type an object is decoded to: only the fields that ``select`` reads.
            select: What to keep of an object; None: nothing.
            on_change: Called with the record before and after; one of them may be None, never both, never equal.
            clock: Monotonic seconds.
        """
        self._api = api
        self._path = path
        self._resource = path.rpartition("/")[2]
        self._decoder = msgspec.json.Decoder(raw)
        self._select = select
        self._on_change = on_change
        self._clock = clock
        self._records: dict[ObjectName, Record] = {}
        self.position = ""
        """The version that the copy has reached, as the API server counts; "" before the first list."""
        self._synced = asyncio.Event()
        self._heard = self._as_of = clock()
        self._failures = 0
        self._changed = asyncio.Event()
        metrics.CACHE_STALENESS.labels(self._resource).set_function(self.staleness_seconds)
        metrics.CACHE_AGE.labels(self._resource).set_function(self.age_seconds)

    @property
    def has_synced(self) -> bool:
        """Whether the copy was complete at least once."""
        return self._synced.is_set()

    async def synced(self) -> None:
        """Wait until it is."""
        await self._synced.wait()

    def staleness_seconds(self) -> float:
        """Seconds since the API server last said anything, bookmarks included."""
        return self._clock() - self._heard

    def age_seconds(self) -> float:
        """Seconds since a moment of which the copy is at least: that of a bookmark, or of the beginning of a list.

        Other events do not tell: a watch that goes on after a while brings old ones first.
        """
        return self._clock() - self._as_of

    def __len__(self) -> int:
        """How many records are kept."""
        return len(self._records)

    def get(self, namespace: str, name: str) -> Record | None:
        """One record."""
        return self._records.get(ObjectName(namespace, name))

    def records(self) -> Iterator[Record]:
        """All of them, in no order."""
        return iter(self._records.values())

    async def next_change(self) -> None:
        """Wait until the API server tells something."""
        await self._changed.wait()

    async def run(self) -> None:
        """Keep in step until cancelled; whatever the API server does is tried again."""
        position = ""
        while True:
            try:
                if self.age_seconds() > IDLE_SECONDS:
                    # A list tells at once of which moment it is, a watch in a minute only.
                    position = ""
                position = position or await self._list()
                position = await self._watch(position)
            except Gone:
                self._ended("gone")
                position = ""
                # The first time at once; an API server that says so again and again is not asked in a loop.
                await asyncio.sleep(back_off_seconds(self._failures) if self._failures else 0)
                self._failures += 1
            except (ClusterError, msgspec.DecodeError) as error:
                self._ended("error")
                # Not from the old position: its events would bring back what has gone since.
                position = ""
                _log.warning("watch.failed", resource=self._resource, error=str(error), failures=self._failures)
                await asyncio.sleep(back_off_seconds(self._failures))
                self._failures += 1

    async def _list(self) -> str:
        """Read all, tell the differences; where the list stands."""
        begun, found = self._clock(), dict[ObjectName, Record]()
        page = ListMeta()
        while True:
            query = {"limit": str(PAGE_SIZE)} | ({"continue": page.continue_} if page.continue_ else {})
            page = self._collect(await self._api.request("GET", self._path, query=query, timeout_seconds=60), found)
            if not page.continue_:
                break
            await asyncio.sleep(0)  # lets a waiting admission request through between two pages
        self._replace(found)
        # Not at each page: a list that breaks in the middle, again and again, leaves the copy as it was.
        self._as_of, self.position = begun, page.resource_version
        metrics.CACHE_LISTS.labels(self._resource).inc()
        return page.resource_version

    def _collect(self, body: bytes, found: dict[ObjectName, Record]) -> ListMeta:
        page = PAGE.decode(body)
        for item in page.items or ():
            entry = self._read(item)
            if entry is not None and entry[1] is not None:
                found[_name(entry[0])] = entry[1]
        self._heard = self._clock()
        return page.metadata

    def _replace(self, found: Mapping[ObjectName, Record]) -> None:
        for name in [name for name in self._records if name not in found]:
            self._put(name, None)
        for name, record in found.items():
            self._put(name, record)
        if not self._synced.is_set():
            _log.info("cache.synced", resource=self._resource, objects=len(self._records))
        self._synced.set()
        self._tell()

    def _read(self, item: msgspec.Raw) -> tuple[ObjectMeta, Record | None] | None:
        try:
            return ANY_OBJECT.decode(item).metadata, self._select(self._decoder.decode(item))
        except (msgspec.DecodeError, ValueError) as error:
            # Stored by an API server, so odd rather than wrong; the others must not wait for it.
            metrics.CACHE_UNREADABLE.labels(self._resource).inc()
            _log.warning("cache.unreadable", resource=self._resource, error=str(error))
            return None

    async def _watch(self, position: str) -> str:
        """Follow from a position until the API server ends the watch; the position reached."""
        heard = self._heard
        seconds = random.randint(*_WATCH_SECONDS)  # noqa: S311 - so that replicas do not come back together
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": position,
            "timeoutSeconds": str(seconds),
        }
        try:
            # Closed here: a line that cannot be read would leave it to the garbage collector.
            async with contextlib.aclosing(
                self._api.lines(self._path, query=query, idle_seconds=IDLE_SECONDS)
            ) as lines:
                async for line in lines:
                    self.position = position = self._take(WATCH_EVENT.decode(line)) or position
        except Unreachable as error:
            # Nothing is lost: the next watch goes on from here, or a list tells all.
            self._ended("broken")
            _log.info("watch.broken", resource=self._resource, error=str(error), failures=self._failures)
            await asyncio.sleep(back_off_seconds(self._failures))
            self._failures += 1
        else:
            self._ended("over")
            await self._pause_if_silent(heard)
        return position

    async def _pause_if_silent(self, heard: float) -> None:
        """A watch that ends without a word, again and again, must not become a busy loop."""
        if self._heard == heard:
            await asyncio.sleep(back_off_seconds(self._failures))
            self._failures += 1

    def _hear(self) -> None:
        self._heard = self._clock()
        self._failures = 0

    def _take(self, event: WatchEvent) -> str:
        """Follow one event; the position after it, "" where it does not tell."""
        if event.type == "ERROR":
            raise error_of(event)
        self._hear()
        if event.type == "BOOKMARK":
            self._as_of = self._clock()
            return ANY_OBJECT.decode(event.object).metadata.resource_version
        entry = self._read(event.object)
        if entry is None:
            return ""
        self._put(_name(entry[0]), None if event.type == "DELETED" else entry[1])
        self._tell()
        return entry[0].resource_version

    def _put(self, name: ObjectName, record: Record | None) -> None:
        old = self._records.get(name)
        if record is None:
            self._records.pop(name, None)
        else:
            self._records[name] = record
        metrics.CACHE_OBJECTS.labels(self._resource).set(len(self._records))
        if old != record:
            self._on_change(old, record)

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _ended(self, reason: str) -> None:
        metrics.CACHE_WATCH_ENDS.labels(self._resource, reason).inc()


class _Code(msgspec.Struct):
    code: int = 500


def error_of(event: WatchEvent) -> ClusterError:
    """What a watch's event of type ``ERROR`` says, which comes with HTTP's 200: most often that it is too long ago."""
    return parse_error(msgspec.json.decode(event.object, type=_Code).code, bytes(event.object))


def _name(metadata: ObjectMeta) -> ObjectName:
    return ObjectName(metadata.namespace, metadata.name)


def back_off_seconds(failures: int) -> float:
    """Full jitter, so that replicas come back one by one."""
    low, high = _BACK_OFF_SECONDS
    # Bounded: after a day without an API server the power would be too large for a float.
    return random.uniform(0, min(high, low * 2 ** min(failures, 16)))  # noqa: S311 - no secret
