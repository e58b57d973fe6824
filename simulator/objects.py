"""The endpoints about objects: lists, CRUD, inventory, runtime, macro; it turns calls into Controller operations."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from simulator import query
from simulator.calls import Call, Reply
from simulator.controller import Controller
from simulator.documents import Document
from simulator.refusals import RefusedError
from simulator.render import Rendering, rendered
from simulator.runtime import Runtime
from simulator.store import Record
from simulator.writes import Caller

INVENTORIES: Final = {f"{path}-inventory": path for path in ("virtualservice", "vsvip", "pool")}
RUNTIME_KINDS: Final = frozenset(INVENTORIES.values())


class Objects:
    """Answers calls about the objects of one Controller."""

    def __init__(self, controller: Controller) -> None:
        """Serve ``controller``'s objects."""
        self._controller = controller

    def list(self, path: str, call: Call, caller: Caller) -> Reply:
        """GET /api/<kind>. Source: avi.md 2.3 [CAS]: count and results, ``next`` absolute, nothing found is 200."""
        how = self._asked(call)
        return self._paged(path, call, caller, show=lambda record: self._joined(record, call, how))

    def inventory(self, path: str, call: Call, caller: Caller) -> Reply:
        """GET /api/<kind>-inventory. Source: avi.md 2.10 [DOC][SW]; ``include`` narrows config and runtime: assumed."""
        runtime, how = self._runtime(), self._asked(call)
        wanted = set(call.query.get("include", "").split(",")) - {""}

        def show(record: Record) -> Document:
            item = runtime.inventory(record, how)
            return {key: part for key, part in item.items() if key not in {"config", "runtime"} - wanted or not wanted}

        return self._paged(path, call, caller, show=show)

    def inventory_item(self, path: str, uuid: str, call: Call, caller: Caller) -> Reply:
        """GET /api/<kind>-inventory/<uuid>."""
        return Reply(200, self._runtime().inventory(self._controller.get(path, uuid, caller), self._asked(call)))

    def read(self, path: str, uuid: str, call: Call, caller: Caller) -> Reply:
        """GET /api/<kind>/<uuid>."""
        record = self._controller.get(path, uuid, caller)
        asked = self._asked(call)
        return Reply(200, self._joined(record, call, replace(asked, is_single=not asked.fields)))

    def runtime(self, path: str, uuid: str, caller: Caller, *, detail: bool) -> Reply:
        """GET /api/<kind>/<uuid>/runtime; ``/detail`` of a pool is a list. Source: avi.md 2.10 [SDK]."""
        if path not in RUNTIME_KINDS:
            raise RefusedError(404, f"{path} has no runtime")
        shown = self._runtime().of(self._controller.get(path, uuid, caller))
        return Reply(200, [shown] if detail and path == "pool" else shown)

    def create(self, path: str, call: Call, caller: Caller) -> Reply:
        """POST /api/<kind>: 201 with Location. Source: avi.md 2.3 [CAS]; ``Slug`` 2.2 [CAS]."""
        record = self._controller.create(path, call.document(), caller, forced_uuid=call.headers.get("slug", ""))
        shown = self._written(record, call)
        return Reply(201, shown, headers={"Location": str(shown["url"])})

    def replace(self, path: str, uuid: str, call: Call, caller: Caller) -> Reply:
        """PUT: 200 with the object. Source: avi.md 2.3."""
        return Reply(200, self._written(self._controller.replace(path, uuid, call.document(), caller), call))

    def patch(self, path: str, uuid: str, call: Call, caller: Caller) -> Reply:
        """PATCH: 200 with the object. Source: avi.md 2.7."""
        return Reply(200, self._written(self._controller.patch(path, uuid, call.document(), caller), call))

    def delete(self, path: str, uuid: str, caller: Caller) -> Reply:
        """DELETE: 204. Source: avi.md 2.3."""
        self._controller.delete(path, uuid, caller)
        return Reply(204)

    def macro(self, call: Call, caller: Caller) -> Reply:
        """POST, PUT and DELETE /api/macro. Source: avi.md 4.1; statuses 201 as briefed, 200 and 204 assumed."""
        if call.method == "DELETE":
            self._controller.macro_delete(call.document(), caller)
            return Reply(204)
        upserts = call.method == "PUT" or self._controller.settings.knobs.macro_upserts
        records = self._controller.macro(call.document(), caller, upserts=upserts)
        return Reply(201 if call.method == "POST" else 200, [self._written(record, call) for record in records])

    def _paged(self, path: str, call: Call, caller: Caller, *, show: Callable[[Record], Document]) -> Reply:
        records = query.selected(self._controller.store, path, call.query, tenant=caller.tenant)
        page = query.page(records, call.query, self._controller.settings.knobs)
        shown: Document = {"count": page.count, "results": [show(record) for record in page.records]}
        if page.next_query:
            shown["next"] = f"{call.origin}/{'/'.join(call.segments)}?{page.next_query}"
        return Reply(200, shown)

    def _asked(self, call: Call) -> Rendering:
        return Rendering(
            call.origin,
            query.is_flag_set(call.query, "include_name"),
            query.fields(call.query),
            skips_defaults=query.is_flag_set(call.query, "skip_default"),
        )

    def _joined(self, record: Record, call: Call, how: Rendering) -> Document:
        """An object, with its runtime if asked for. Source: avi.md 2.4 [SW] ``join_subresources=runtime``."""
        shown = rendered(self._controller.store, record, how)
        if "runtime" in call.query.get("join_subresources", "").split(",") and record.kind.path in RUNTIME_KINDS:
            shown["runtime"] = self._runtime().of(record)
        return shown

    def _written(self, record: Record, call: Call) -> Mapping[str, object]:
        """An object after a write. Source: avi.md 2.3 [CAS], ako.md 6.2: references carry ``#name``."""
        return rendered(self._controller.store, record, Rendering(call.origin, is_named=True))

    def _runtime(self) -> Runtime:
        knobs = self._controller.settings.knobs
        return Runtime(self._controller.store, self._controller.clock(), knobs.placement_seconds)
