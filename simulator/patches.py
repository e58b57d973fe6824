"""PATCH: the document a patch makes of a stored one; it stores nothing.

Source: avi.md 2.7 [DOC "API - HTTP PATCH Support"]: add, replace, delete at depth 1; [SDK samples]: json_patch.
"""

from typing import Final

from simulator.documents import Document, entries, is_list, is_message, messages, text
from simulator.refusals import RefusedError

VERBS: Final = ("add", "replace", "delete")
OPERATIONS: Final = ("add", "remove", "replace")


def patched(document: Document, patch: Document) -> Document:
    """``document`` (references already as in ``patch``) with the patch applied; verbs in the order they stand.

    Raises:
        RefusedError: 400, an unknown verb, an operation that does not fit, or a path that leads nowhere.
    """
    if not patch or any(verb not in (*VERBS, "json_patch") for verb in patch):
        raise RefusedError(400, f"PATCH takes {', '.join(VERBS)} or json_patch, not {', '.join(patch) or 'nothing'}")
    for verb, change in patch.items():
        document = _with_json_patch(document, change) if verb == "json_patch" else _with_verb(document, verb, change)
    return document


def _with_verb(document: Document, verb: str, change: object) -> Document:
    if not is_message(change):
        raise RefusedError(400, f"PATCH {verb} takes fields")
    changed = dict(document)
    for field, value in change.items():
        result = _field(document.get(field), verb, value)
        changed[field] = result
    return {field: value for field, value in changed.items() if value is not None}


def _field(stored: object, verb: str, value: object) -> object:
    """A field after ``verb``; None is unset: its default returns."""
    if not is_list(value) and not is_list(stored):
        return None if verb == "delete" else value
    if verb == "replace":
        return value
    given = entries(value) if is_list(value) else [value]
    if verb == "add":
        return [*entries(stored), *given]
    if not is_list(value):
        return None  # Assumed: deleting a list by a value that is no list empties it.
    return [entry for entry in entries(stored) if not any(_matches(entry, pattern) for pattern in given)]


def _matches(entry: object, pattern: object) -> bool:
    """Whether a list entry is meant. Assumed: a message is meant by any part of it."""
    if is_message(entry) and is_message(pattern):
        return all(key in entry and _matches(entry[key], value) for key, value in pattern.items())
    return entry == pattern


def _with_json_patch(document: Document, operations: object) -> Document:
    for operation in messages(operations):
        if operation.get("op") not in OPERATIONS or not text(operation.get("path")).startswith("/"):
            raise RefusedError(400, f"json_patch takes op {', '.join(OPERATIONS)} and a path that begins with '/'")
        steps = [step.replace("~1", "/").replace("~0", "~") for step in text(operation["path"])[1:].split("/")]
        changed = _at(document, steps, operation)
        document = changed if is_message(changed) else document
    return document


def _at(value: object, steps: list[str], operation: Document) -> object:
    """A copy of ``value`` with the operation done at the end of ``steps``."""
    step, rest = steps[0], steps[1:]
    if is_message(value):
        return _at_field(value, step, rest, operation)
    if is_list(value):
        return _at_index(entries(value), step, rest, operation)
    raise _nowhere(operation)


def _at_field(document: Document, step: str, rest: list[str], operation: Document) -> Document:
    if step not in document and (rest or operation["op"] != "add"):
        raise _nowhere(operation)
    changed = dict(document)
    if rest:
        changed[step] = _at(document[step], rest, operation)
    elif operation["op"] == "remove":
        del changed[step]
    else:
        changed[step] = operation.get("value")
    return changed


def _at_index(listed: list[object], step: str, rest: list[str], operation: Document) -> list[object]:
    is_insert = not rest and operation["op"] == "add"
    index = len(listed) if step == "-" else int(step) if step.isascii() and step.isdigit() else -1
    if not 0 <= index < len(listed) + is_insert:
        raise _nowhere(operation)
    changed = list(listed)
    if rest:
        changed[index] = _at(listed[index], rest, operation)
    elif is_insert:
        changed.insert(index, operation.get("value"))
    elif operation["op"] == "remove":
        del changed[index]
    else:
        changed[index] = operation.get("value")
    return changed


def _nowhere(operation: Document) -> RefusedError:
    return RefusedError(400, f"json_patch path {operation.get('path')!r} leads nowhere")
