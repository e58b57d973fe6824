"""The Controller as a plain object: every operation on its objects, atomic under one lock; it knows no HTTP."""

import random
import secrets
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from simulator import macros, patches, seed, versions
from simulator.documents import Document
from simulator.kinds import KINDS, Kind
from simulator.life import Clock, Life
from simulator.ratelimit import RateLimit
from simulator.references import ADMIN, Scope, is_visible, resolved
from simulator.refusals import RefusedError
from simulator.sessions import Sessions
from simulator.settings import Settings
from simulator.store import Record, Store
from simulator.writes import Caller, Writer


class Controller:
    """One simulated Avi Controller, freshly seeded.

    Attributes:
        settings: What it is like.
        store: Its objects; read it freely, write it only through the methods.
        sessions: Who is logged in.
        clock: Seconds since the epoch; it can be made to jump.
        life: Whether it is ready, and who leads.
        rate_limit: How fast one client may ask; it may be changed.
        version: The highest API version.
        cluster_uuid: As in ``/api/cluster``.
    """

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.time) -> None:
        """Seed a fresh Controller.

        Raises:
            ValueError: The settings' version is no version, or a subnet's ranges do not fit it.
        """
        version = versions.numbers(settings.version)
        if version is None:
            raise ValueError(f"version: {settings.version!r} is no version; give one such as 30.2.1")
        # Uuids are names, not secrets, and tests want them repeatable; sessions and tokens come from ``secrets``.
        chance = random.Random(secrets.randbits(64) if settings.seed is None else settings.seed)  # noqa: S311 - see above
        if settings.nodes < 1:
            raise ValueError(f"nodes: {settings.nodes} is no number of nodes; give 1 or 3")
        self.settings = settings
        self.clock = Clock(clock)
        self.version = version
        self.life = Life(self.clock, nodes=settings.nodes)
        self.rate_limit = RateLimit(
            settings.requests_per_second, settings.knobs.request_burst, settings.knobs.rate_limited_retry_after_seconds
        )
        self.sessions = Sessions(settings, clock=self.clock)
        self._chance = chance
        self._lock = threading.RLock()
        self.store, self._writer = self._fresh()
        self.cluster_uuid = self._writer.new_uuid(Kind("cluster", "Cluster"))

    def restart(self, *, keeps_state: bool, seconds: float = 0.0) -> None:
        """Go down and come up again; every session ends. Assumed: without its state the cluster keeps its uuid.

        Args:
            keeps_state: Whether objects and tokens are there afterwards; else all is as freshly seeded.
            seconds: How long it is not ready.
        """
        with self._lock:
            if keeps_state:
                self.sessions.expire_all()
            else:
                self.sessions.forget()
                self.store, self._writer = self._fresh()
            self.life.restart(seconds=seconds)

    def get(self, path: str, uuid: str, caller: Caller) -> Record:
        """The object, or 404 as if it were not there when the tenant does not see it."""
        record = self.store.get(uuid)
        if record is None or record.kind.path != path or not is_visible(record, caller.tenant):
            raise RefusedError(404, f"{KINDS[path].class_name} object not found!")
        return record

    def create(self, path: str, body: Document, caller: Caller, *, forced_uuid: str = "") -> Record:
        """A new object, with its VIP addresses allocated."""
        with self._transaction():
            record = self._writer.create(KINDS[path], body, caller, forced_uuid=forced_uuid)
            if path == "cloud":
                seed.cloud_defaults(self._writer, record.name)
            return record

    def replace(self, path: str, uuid: str, body: Document, caller: Caller) -> Record:
        """PUT: ``body`` is the whole new content."""
        with self._transaction():
            return self._writer.change(self.get(path, uuid, caller), body, caller)

    def patch(self, path: str, uuid: str, body: Document, caller: Caller) -> Record:
        """PATCH: the stored content with the patch applied; no optimistic lock (avi.md 2.7)."""
        with self._transaction():
            record = self.get(path, uuid, caller)
            scope = Scope(record.tenant, record.cloud)
            versions.check_fields(body, caller.version)
            # A field the caller does not touch may be newer than the caller: only the patch itself is checked.
            whole = patches.patched(record.document, resolved(body, self.store, scope))
            whole.pop("_last_modified", None)
            return self._writer.change(record, whole, Caller(caller.tenant, username=caller.username))

    def delete(self, path: str, uuid: str, caller: Caller) -> None:
        """DELETE: forget the object and free its addresses."""
        with self._transaction():
            self._writer.delete(self.get(path, uuid, caller))

    def macro(self, body: Document, caller: Caller, *, upserts: bool) -> list[Record]:
        """POST or PUT macro: all of a tree or nothing."""
        with self._transaction():
            return macros.Macro(self._writer, caller, upserts).build(body)

    def macro_delete(self, body: Document, caller: Caller) -> None:
        """DELETE macro: a tree, except what others use."""
        with self._transaction():
            macros.remove(self._writer, body, tenant=caller.tenant)

    def tenant_uuid(self, name: str, *, is_uuid: bool = False) -> str:
        """The tenant of a header. Source: avi.md 2.4: 403 "Tenant 'x' does not exist!" [AKO]."""
        if is_uuid:
            found = self.store.get(name)
            found = found if found is not None and found.kind.path == "tenant" else None
        else:
            found = next(iter(self.store.named("tenant", name, tenant=ADMIN)), None)
        if found is None:
            raise RefusedError(403, f"Tenant '{name}' does not exist!")
        return found.uuid

    def _fresh(self) -> tuple[Store, Writer]:
        store = Store()
        writer = Writer(store, self.settings, self.clock, self._chance)
        try:
            seed.seed(writer, self.settings)
        except RefusedError as refusal:
            raise ValueError(f"settings: {refusal}") from None
        return store, writer

    @contextmanager
    def _transaction(self) -> Generator[None]:
        with self._lock, self.store.transaction():
            yield
