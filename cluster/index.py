"""Records by something that several of them share; it never keeps an empty bucket."""

from collections.abc import Hashable, Iterator, ValuesView
from typing import Generic, TypeVar

Shared = TypeVar("Shared", bound=Hashable)
Name = TypeVar("Name", bound=Hashable)
Record = TypeVar("Record")


class Index(Generic[Shared, Name, Record]):
    """Shared value -> name -> record."""

    def __init__(self) -> None:
        """Begin empty."""
        self._buckets: dict[Shared, dict[Name, Record]] = {}

    def get(self, shared: Shared) -> ValuesView[Record]:
        """The records under a value, in no order."""
        return self._buckets.get(shared, {}).values()

    def __iter__(self) -> Iterator[Shared]:
        """All values that something is under."""
        return iter(self._buckets)

    def put(self, shared: Shared, name: Name, record: Record) -> None:
        """Add, or replace."""
        self._buckets.setdefault(shared, {})[name] = record

    def drop(self, shared: Shared, name: Name) -> None:
        """Take out, if it is there."""
        bucket = self._buckets.get(shared)
        if bucket is not None:
            bucket.pop(name, None)
            if not bucket:
                del self._buckets[shared]
