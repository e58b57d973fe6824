"""Records by something that several of them share; it never keeps an empty bucket, and never sorts one twice."""

from collections.abc import Hashable, Iterator, ValuesView
from typing import Any, Generic, Protocol, TypeVar


class _Ordered(Protocol):
    def __lt__(self, other: Any, /) -> bool: ...  # noqa: ANN401 - as the type stubs of ``sorted`` have it


Shared = TypeVar("Shared", bound=Hashable)
Name = TypeVar("Name", bound=_Ordered)
Record = TypeVar("Record")


class Index(Generic[Shared, Name, Record]):
    """Shared value -> name -> record."""

    def __init__(self) -> None:
        """Begin empty."""
        self._buckets: dict[Shared, dict[Name, Record]] = {}
        self._sorted: dict[Shared, tuple[Record, ...]] = {}

    def get(self, shared: Shared) -> ValuesView[Record]:
        """The records under a value, in no order."""
        return self._buckets.get(shared, {}).values()

    def sorted(self, shared: Shared) -> tuple[Record, ...]:
        """The records under a value, by name; the very same tuple until one of them changes."""
        found = self._sorted.get(shared)
        if found is None:
            bucket = self._buckets.get(shared)
            if bucket is None:
                return ()
            found = self._sorted[shared] = tuple([bucket[name] for name in sorted(bucket)])
        return found

    def __iter__(self) -> Iterator[Shared]:
        """All values that something is under."""
        return iter(self._buckets)

    def put(self, shared: Shared, name: Name, record: Record) -> None:
        """Add, or replace."""
        self._buckets.setdefault(shared, {})[name] = record
        self._sorted.pop(shared, None)

    def drop(self, shared: Shared, name: Name) -> None:
        """Take out, if it is there."""
        bucket = self._buckets.get(shared)
        if bucket is not None:
            bucket.pop(name, None)
            self._sorted.pop(shared, None)
            if not bucket:
                del self._buckets[shared]
