"""Which answers to a body are right, read with Python's own ``json``: a witness that knows none of the webhook's code.

What Kubernetes' types allow is decided, what they forbid is a 400. Where two readers of JSON may differ (a key that
comes twice, null for a text, bytes that are no UTF-8 inside a string that nobody reads, thousands of levels) both are
right, and only the form of the answer is looked at.
"""

import base64
import json
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Final, cast

from sharedvip.annotations import LOAD_BALANCER_IP, SHARED_VIP

OK: Final = 200
BAD: Final = 400
AWAY: Final = 503
REFUSALS: Final = frozenset({403, 409})
_JUDGED: Final = frozenset({"CREATE", "UPDATE"})
_OUR_BUG: Final = "the webhook failed"
_LEVELS: Final = 400
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_UID: Final = re.compile(r"[-0-9a-zA-Z]{0,64}")
_INT32: Final = range(-(2**31), 2**31)

Object = dict[str, Any]
TEXT, FLAG, INT, TEXTS, INT_OR_TEXT = "text", "flag", "int", "texts", "int or text"
UNREAD_TEXT, UNREAD_TEXTS = "text, if it is read", "texts, if they are read"
Shape = Any
"""What Kubernetes' types say of a value: one of the words above, fields by name, or a list of one shape."""
_SERVICE: Final[Shape] = {
    "apiVersion": UNREAD_TEXT,
    "kind": UNREAD_TEXT,
    "metadata": {
        **dict.fromkeys(("name", "generateName", "namespace", "uid", "deletionTimestamp"), TEXT),
        "annotations": TEXTS,
        "labels": UNREAD_TEXTS,
        "resourceVersion": UNREAD_TEXT,
    },
    "spec": {
        **dict.fromkeys(
            ("type", "loadBalancerIP", "loadBalancerClass", "sessionAffinity", "externalTrafficPolicy"), TEXT
        ),
        "ports": [{"name": TEXT, "port": INT, "protocol": TEXT, "targetPort": INT_OR_TEXT}],
        "ipFamilies": [TEXT],
        "loadBalancerSourceRanges": [TEXT],
    },
    "status": {"loadBalancer": {"ingress": [{"ip": TEXT}]}, "conditions": [{"type": TEXT}]},
}
_KIND: Final[Shape] = {"group": TEXT, "version": TEXT, "kind": TEXT}
_REQUEST: Final[Shape] = {
    **dict.fromkeys(("uid", "operation", "name", "namespace", "subResource"), TEXT),
    "kind": _KIND,
    "dryRun": FLAG,
}
_REVIEW: Final[Shape] = {"apiVersion": TEXT, "kind": TEXT, "request": _REQUEST}


@dataclass(frozen=True, slots=True)
class Expected:
    """The right answers."""

    statuses: frozenset[int]
    uid: str | None = None
    """What the answer must repeat; None: not known for sure."""
    allowed: bool | None = None
    """The verdict, where it follows from the request alone."""


@dataclass(slots=True)
class _Reading:
    """What was seen on the way through the document."""

    is_wrong: bool = False
    """It breaks Kubernetes' types."""
    is_doubtful: bool = False
    """Two readers may differ."""
    double_keys: set[str] = field(default_factory=set[str])

    def pairs(self, items: list[tuple[str, Any]]) -> dict[str, Any]:
        """The last of two keys counts, if anybody is sure."""
        found = dict(items)
        if len(found) < len(items):
            self.is_doubtful = True
            self.double_keys |= {key for key, _ in items}
        return found


def expect(body: bytes, *, path: str, namespaces: Collection[str]) -> Expected:
    """The right answers to a body that is sent as JSON to ``/validate`` or ``/mutate``."""
    reading = _Reading()
    try:
        whole = _load(body, reading)
    except RecursionError:
        return Expected(frozenset({OK, BAD}))
    except ValueError:
        return Expected(frozenset({BAD, OK}) if reading.is_doubtful else frozenset({BAD}))
    return _expect(whole, reading, path=path, namespaces=namespaces)


def _load(body: bytes, reading: _Reading) -> Any:  # noqa: ANN401 - JSON is of any shape
    try:
        text = body.decode()
    except UnicodeDecodeError:
        reading.is_doubtful = True
        text = body.decode("utf-8", "surrogateescape")
    whole = json.loads(text, object_pairs_hook=reading.pairs, parse_int=_whole_number, parse_constant=_refuse_constant)
    if re.search(r"\\u[dD][89a-fA-F]", text) or _levels(body) > _LEVELS:
        reading.is_doubtful = True
    return whole


def _whole_number(text: str) -> int:
    """A number of thousands of digits is too large for anything, and Python's ``int`` refuses it."""
    return int(text[:100])


def _refuse_constant(text: str) -> None:
    raise ValueError(text)


def _levels(body: bytes) -> int:
    """At most so many levels: brackets in strings are counted too."""
    return max(body.count(b"["), body.count(b'{"a":'))


def _expect(whole: Any, reading: _Reading, *, path: str, namespaces: Collection[str]) -> Expected:  # noqa: ANN401 - likewise
    _compare(whole, _REVIEW, reading)
    review, request = _fields(whole), _fields(_fields(whole).get("request"))
    is_review = (review.get("apiVersion"), review.get("kind")) == ("admission.k8s.io/v1", "AdmissionReview")
    has_all = request.get("uid") and all(request.get(needed) is not None for needed in ("operation", "kind"))
    if reading.is_wrong or not is_review or not has_all:
        return Expected(frozenset({BAD, OK}) if reading.is_doubtful else frozenset({BAD}))
    answer = _decided(request, reading, path=path, namespaces=namespaces)
    uid = None if reading.double_keys & {"uid", "request"} else str(request["uid"])
    if reading.is_doubtful:
        return Expected(answer.statuses | {OK, BAD}, uid)
    return Expected(answer.statuses, uid, answer.allowed)


def _decided(request: Object, reading: _Reading, *, path: str, namespaces: Collection[str]) -> Expected:
    """The answer to a request whose own fields are of the right types."""
    kind = tuple(request["kind"].get(part) or "" for part in ("group", "version", "kind"))
    new, old, operation = request.get("object"), request.get("oldObject"), request["operation"]
    if kind != ("", "v1", "Service") or request.get("subResource") or operation not in _JUDGED or new is None:
        return Expected(frozenset({OK}), allowed=True)
    if operation == "UPDATE" and old is None:
        return Expected(frozenset({BAD}))
    for one in (new, old) if operation == "UPDATE" else (new,):
        _compare(one, _SERVICE, reading)
    if reading.is_wrong:
        return Expected(frozenset({BAD}))
    return Expected(
        frozenset({OK, *_excuses(request, path=path, namespaces=namespaces)}), allowed=_verdict(request, path=path)
    )


def _verdict(request: Object, *, path: str) -> bool | None:
    """What follows from the Service alone."""
    new = request["object"]
    if path == "/mutate" or _fields(_fields(new).get("metadata")).get("deletionTimestamp"):
        return True
    if SHARED_VIP not in _notes(new):
        has_left = request["operation"] == "UPDATE" and SHARED_VIP in _notes(request["oldObject"])
        # With an address: may it take that along?
        return None if has_left and _has_address(new) else True
    has_other_type = _fields(_fields(new).get("spec")).get("type") != "LoadBalancer"
    return False if has_other_type and request["operation"] == "CREATE" else None


def _notes(service: Any) -> Object:  # noqa: ANN401 - JSON is of any shape
    return _fields(_fields(_fields(service).get("metadata")).get("annotations"))


def _has_address(service: Any) -> bool:  # noqa: ANN401 - likewise
    return bool(_fields(_fields(service).get("spec")).get("loadBalancerIP") or _notes(service).get(LOAD_BALANCER_IP))


def _excuses(request: Object, *, path: str, namespaces: Collection[str]) -> set[int]:
    """What may be answered beside a verdict to what no API server can have sent."""
    objects = [request["object"], *([request["oldObject"]] if request["operation"] == "UPDATE" else [])]
    found: set[int] = set()
    for one in objects:
        metadata = _fields(_fields(one).get("metadata"))
        namespace = metadata.get("namespace") or request.get("namespace") or ""
        if namespace not in namespaces:
            found.add(AWAY)  # the ledger's door is closed there
        names = (namespace, metadata.get("name") or "")
        if path == "/validate" and not (all(map(_NAME.fullmatch, names)) and _UID.fullmatch(metadata.get("uid") or "")):
            found.add(BAD)
    return found


def _fields(node: Any) -> Object:  # noqa: ANN401 - likewise
    """Those of an object; none of anything else."""
    return cast("Object", node) if isinstance(node, dict) else {}


def _compare(node: Any, shape: Shape, reading: _Reading) -> None:  # noqa: ANN401 - likewise
    """Note what is of another type than Kubernetes' own."""
    if node is None:
        reading.is_doubtful = True
    elif isinstance(shape, dict | list):
        reading.is_wrong |= not isinstance(node, dict if isinstance(shape, dict) else list)
        for inner, inner_shape in _inside(node, shape):
            _compare(inner, inner_shape, reading)
    elif shape in {UNREAD_TEXT, UNREAD_TEXTS}:
        reading.is_doubtful |= not (isinstance(node, str) if shape == UNREAD_TEXT else _are_texts(node))
    elif not _is_of(node, shape, reading):
        reading.is_wrong = True


def _inside(node: Any, shape: Shape) -> list[tuple[Any, Shape]]:  # noqa: ANN401 - likewise
    if isinstance(shape, dict):
        return [(_fields(node)[key], inner) for key, inner in cast("Object", shape).items() if key in _fields(node)]
    return [(item, shape[0]) for item in cast("list[Any]", node)] if isinstance(node, list) else []


def _is_of(node: Any, shape: str, reading: _Reading) -> bool:  # noqa: ANN401 - likewise
    if isinstance(node, float) and "int" in shape:
        reading.is_doubtful = True  # 80.0 is 80 to some
        return True
    if isinstance(node, int) and not isinstance(node, bool) and "int" in shape:
        # Beyond 32 bits Kubernetes' own decoder gives up: both a 400 and a refusal say so.
        reading.is_doubtful |= node not in _INT32
        return True
    if shape == TEXTS:
        reading.is_doubtful |= None in _fields(node).values()
        return _are_texts(node)
    return isinstance(node, bool) if shape == FLAG else isinstance(node, str) and "text" in shape


def _are_texts(node: Any) -> bool:  # noqa: ANN401 - likewise
    return isinstance(node, dict) and all(value is None or isinstance(value, str) for value in _fields(node).values())


def find_fault(status: int, content: bytes, expected: Expected, *, path: str) -> str:
    """What is wrong with an answer; "" for nothing."""
    if status not in expected.statuses:
        return f"{status} where {sorted(expected.statuses)} would be right: {content[:200]!r}"
    if b"Traceback" in content or b'File "' in content:
        return f"a traceback: {content[:200]!r}"
    if status == OK:
        return _fault_in_review(content, expected, path=path)
    text = content.decode("utf-8", "replace")
    return "" if text.endswith("\n") and _OUR_BUG not in text else f"{status} with {text[:200]!r}"


def _fault_in_review(content: bytes, expected: Expected, *, path: str) -> str:
    try:
        review = json.loads(content, parse_constant=_refuse_constant)
        response = review["response"]
        if (review["apiVersion"], review["kind"]) != ("admission.k8s.io/v1", "AdmissionReview"):
            return f"no AdmissionReview: {content[:200]!r}"
        return _fault_in_response(response, expected, path=path)
    except (ValueError, KeyError, TypeError) as error:
        return f"not the form of an AdmissionReview: {error!r}: {content[:200]!r}"


def _fault_in_response(response: Object, expected: Expected, *, path: str) -> str:
    if expected.uid is not None and response["uid"] != expected.uid:
        return f"the uid of another request: {response['uid']!r}"
    if not isinstance(response["allowed"], bool) or expected.allowed not in {None, response["allowed"]}:
        return f"allowed is {response['allowed']!r}: {response.get('status')}"
    if not response["allowed"] and not (response["status"]["code"] in REFUSALS and response["status"]["message"]):
        return f"a refusal without reason: {response['status']}"
    if "patch" in response and (path != "/mutate" or not json.loads(base64.b64decode(response["patch"]))):
        return f"a patch: {response['patch']!r}"
    return ""
