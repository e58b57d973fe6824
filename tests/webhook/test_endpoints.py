"""The two endpoints answer whatever comes, in the right kind, and in time."""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message
from structlog.testing import capture_logs

from cluster.errors import Forbidden, TooManyRequests, Unreachable
from sharedvip.annotations import SHARED_VIP
from sharedvip.inherit import Inheritance
from sharedvip.model import Denial, ServiceName
from tests.builders import service_object
from tests.webhook.reviews import Object, Reply, encoded, post, review
from tests.webhook.samples import sample
from webhook import metrics
from webhook.admission import Admission
from webhook.answer import Answer, Verdict, already_exists, denied
from webhook.deadline import deadline_seconds
from webhook.endpoints import AdmissionEndpoint
from webhook.settings import WebhookSettings
from webhook.world import Asked

Decide = Callable[[Asked], Awaitable[Answer]]
DENIAL = Denial("duplicate-port", "spec.ports[0]", "is wrong", "do right", "80/TCP", ("other",))


@dataclass
class Readiness:
    """What an endpoint asks of ``Admission`` besides a decision."""

    is_ready: bool = True


async def allow(asked: Asked) -> Answer:
    """A decision that asks nobody."""
    del asked
    return Answer()


async def never(asked: Asked) -> Answer:
    """A decision that does not come."""
    del asked
    await asyncio.Event().wait()
    return Answer()


def deciding(answer: Answer) -> Decide:
    """The same decision for all."""

    async def decide(asked: Asked) -> Answer:
        del asked
        return answer

    return decide


def failing(error: Exception) -> Decide:
    """An error for all."""

    async def decide(asked: Asked) -> Answer:
        del asked
        raise error

    return decide


def endpoint(
    decide: Decide = allow, *, is_ready: bool = True, limit: int = 10_000, at_once: int = 9
) -> AdmissionEndpoint:
    """``/validate`` with another mind."""
    admission = cast("Admission", Readiness(is_ready))
    settings = WebhookSettings(body_limit_bytes=limit, in_flight_limit=at_once)
    return AdmissionEndpoint("validate", decide, admission=admission, settings=settings)


def ask(
    whole: object = None,
    decide: Decide = allow,
    *,
    body: bytes | None = None,
    query: bytes = b"timeout=5s",
    headers: Sequence[tuple[bytes, bytes]] = ((b"content-type", b"application/json"),),
    messages: Sequence[Message] | None = None,
    **settings: Any,  # noqa: ANN401 - of ``endpoint``
) -> Reply:
    """One exchange that must be answered."""
    content = body if body is not None else encoded(whole if whole is not None else review())
    reply = asyncio.run(post(endpoint(decide, **settings), content, query=query, headers=headers, messages=messages))
    metrics.catch_up()  # what is told a moment later belongs to this request, too
    assert reply is not None
    return reply


def failures(reason: str) -> float:
    """How many requests of ``/validate`` had no decision for this reason."""
    return sample("sharedvip_admission_failures_total", webhook="validate", reason=reason)


def without(whole: Object, field: str) -> Object:
    """The review without a field of its request."""
    return {**whole, "request": {k: v for k, v in whole["request"].items() if k != field}}


def test_a_yes_is_the_uid_and_nothing_else() -> None:
    """HTTP 200 and the request's uid."""
    reply = ask()

    assert (reply.status, reply.headers[b"content-type"]) == (200, b"application/json")
    assert reply.response == {"uid": "the-uid-of-the-request", "allowed": True}


def test_a_no_is_a_status_for_people_and_machines() -> None:
    """403 and Forbidden, one cause per violation, the rules in the audit log, and the warnings beside it."""
    reply = ask(decide=deciding(denied((DENIAL,), warnings=("mind this",))))

    assert reply.status == 200
    assert reply.response == {
        "uid": "the-uid-of-the-request",
        "allowed": False,
        "status": {
            "code": 403,
            "reason": "Forbidden",
            "message": "spec.ports[0]: is wrong; do right [duplicate-port]",
            "details": {
                "name": "web",
                "kind": "Service",
                "causes": [
                    {"reason": "duplicate-port", "message": "is wrong; do right", "field": "spec.ports[0]"},
                ],
            },
        },
        "warnings": ["mind this"],
        "auditAnnotations": {"rules": "duplicate-port"},
    }


def test_what_exists_is_the_api_servers_own_answer() -> None:
    """409, as it would give it after us."""
    status = ask(decide=deciding(already_exists(ServiceName("default", "web")))).response["status"]

    assert status == {"code": 409, "reason": "AlreadyExists", "message": 'services "web" already exists'}


def test_an_address_is_inherited_by_a_json_patch() -> None:
    """Base64, with its type, and in the audit log."""
    response = ask(decide=deciding(Answer(inheritance=Inheritance("spec.loadBalancerIP", "10.0.0.1")))).response

    patch = msgspec.json.decode(base64.b64decode(response["patch"]))
    assert response["patchType"] == "JSONPatch"
    assert patch == [{"op": "add", "path": "/spec/loadBalancerIP", "value": "10.0.0.1"}]
    assert response["auditAnnotations"] == {"inherited": "spec.loadBalancerIP=10.0.0.1"}


@pytest.mark.parametrize(
    ("whole", "said"),
    [
        pytest.param(review(operation="DELETE"), "operation DELETE", id="a deletion"),
        pytest.param(review(operation="CONNECT"), "operation CONNECT", id="a connection"),
        pytest.param(review(operation="DANCE"), "operation DANCE", id="an operation that does not exist"),
        pytest.param(review(kind={"group": "", "version": "v1", "kind": "Pod"}), "v1/Pod is not", id="a Pod"),
        pytest.param(
            review({"spec": 7}, kind={"group": "apps", "version": "v1", "kind": "Deployment"}),
            "apps/v1/Deployment is not",
            id="an object that is nothing like a Service",
        ),
        pytest.param(review(subResource="status"), "v1/Service/status is not", id="a subresource"),
        pytest.param(review(object=None), "holds no object", id="no object"),
        pytest.param(without(review(), "object"), "holds no object", id="not even a null"),
    ],
)
def test_what_is_none_of_our_business_is_allowed_with_a_word(whole: Object, said: str) -> None:
    """The rules of the webhook configuration are at fault, not the user."""
    response = ask(whole, failing(AssertionError("nobody should be asked"))).response

    assert response["allowed"]
    assert said in response["warnings"][0]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="half an object"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"\xff\xfe{}", id="no UTF-8"),
        pytest.param(encoded(review()).replace(b"the-uid", b"the-\xff-uid"), id="invalid UTF-8 in a text that is read"),
        pytest.param(encoded(review()).replace(b"LoadBalancer", rb"\ud800"), id="half a surrogate pair"),
        pytest.param(b"[" * 9_000, id="deep nesting"),
        pytest.param(encoded(review()).replace(b"{}", b'{"a":' * 1500 + b"1" + b"}" * 1500), id="deep nesting within"),
        pytest.param(encoded({**review(), "apiVersion": "admission.k8s.io/v1beta1"}), id="another version"),
        pytest.param(encoded({**review(), "kind": "ConversionReview"}), id="another kind"),
        pytest.param(encoded({**review(), "request": None}), id="no request"),
        pytest.param(encoded(review(uid="")), id="no uid"),
        pytest.param(encoded(review({"spec": 7})), id="a Service that is none"),
        pytest.param(encoded(review({"spec": {"ports": [{"port": "http"}]}})), id="a port that is a text"),
        pytest.param(encoded(review()).replace(b":80,", b":" + b"9" * 5000 + b","), id="a port of 5,000 digits"),
        pytest.param(encoded(review()).replace(b":80,", b":1e400,"), id="an infinite port"),
        pytest.param(encoded(review()).replace(b":80,", b":2147483648,"), id="a port beyond 32 bits"),
        pytest.param(encoded(review(operation="UPDATE")), id="an update of nothing"),
    ],
)
def test_what_is_no_review_is_a_bad_request(body: bytes) -> None:
    """400 with a sentence, never a traceback."""
    before = failures("bad-review")

    reply = ask(body=body)

    assert (reply.status, reply.headers[b"content-type"]) == (400, b"text/plain; charset=utf-8")
    assert reply.text.endswith("\n")
    assert "Traceback" not in reply.text
    assert failures("bad-review") == before + 1


@pytest.mark.parametrize("announced", [True, False])
def test_a_large_body_is_refused_before_it_is_kept(announced: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """413, by what is announced, or as soon as it is more than the limit."""
    headers = [(b"content-type", b"application/json")] + ([(b"content-length", b"10001")] if announced else [])
    endless: list[Message] = [{"type": "http.request", "body": b"x" * 6_000, "more_body": True}] * 3

    reply = ask(headers=headers, messages=endless)

    assert (reply.status, reply.text) == (413, "the body must not be larger than 10000 bytes\n")


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        pytest.param(b"application/json", 200, id="JSON"),
        pytest.param(b"Application/JSON; charset=utf-8", 200, id="with a parameter"),
        pytest.param(b"text/plain", 415, id="a text"),
        pytest.param(b"\xff", 415, id="garbage"),
        pytest.param(b"", 415, id="none"),
    ],
)
def test_only_json_is_read(content_type: bytes, status: int) -> None:
    """415 for anything else."""
    assert ask(headers=[(b"content-type", content_type)]).status == status


def test_a_body_may_come_in_pieces() -> None:
    """As HTTP/1.1 allows."""
    body = encoded(review())
    pieces: list[Message] = [{"type": "http.request", "body": bytes([byte]), "more_body": True} for byte in body]

    assert ask(messages=[*pieces, {"type": "http.request"}]).status == 200


def test_who_is_gone_gets_no_answer() -> None:
    """The connection broke in the middle of the body."""
    half: list[Message] = [{"type": "http.request", "body": b"{", "more_body": True}]

    before = failures("client-gone")

    assert asyncio.run(post(endpoint(), messages=half)) is None
    assert failures("client-gone") == before + 1


@pytest.mark.parametrize(
    ("query", "seconds"),
    [
        pytest.param(b"timeout=5s", 4.5, id="as the API server says it"),
        pytest.param(b"a=b&timeout=30s", 27.0, id="the longest that the API allows"),
        pytest.param(b"timeout=99999999999999999999s", 27.0, id="longer than anybody waits"),
        pytest.param(b"timeout=" + b"9" * 400 + b"s", 27.0, id="longer than a float"),
        pytest.param(b"", 9.0, id="nothing"),
        pytest.param(b"timeout=soon", 9.0, id="no duration"),
        pytest.param(b"timeout=%ff", 9.0, id="garbage"),
    ],
)
def test_the_callers_timeout_is_the_deadline(query: bytes, seconds: float) -> None:
    """A tenth is left for the way back."""
    assert deadline_seconds(query) == pytest.approx(seconds)


def test_a_decision_that_does_not_come_is_a_503_before_the_caller_gives_up() -> None:
    """The ``failurePolicy`` decides then."""

    async def story() -> Reply | None:
        async with asyncio.timeout(1):  # the caller's own
            return await post(endpoint(never), encoded(review()), query=b"timeout=1s")

    before = failures("deadline")
    reply = asyncio.run(story())

    assert reply is not None
    assert (reply.status, reply.text) == (503, "no decision within the caller's timeout\n")
    assert failures("deadline") == before + 1


def test_who_waits_for_others_waits_half_of_the_callers_time_at_most() -> None:
    """And a second, where there is more."""
    patience: list[float] = []

    async def decide(asked: Asked) -> Answer:
        patience.append(asked.patience_seconds)
        return Answer()

    for query in (b"timeout=1s", b"timeout=10s"):
        assert ask(decide=decide, query=query).status == 200

    assert patience == [pytest.approx(0.45), 1.0]


def test_too_many_at_once_are_told_at_once() -> None:
    """503 beyond the limit; who has not sent his body yet takes no place."""

    async def story() -> None:
        begun, go = asyncio.Event(), asyncio.Event()

        async def slow(asked: Asked) -> Answer:
            del asked
            begun.set()
            await go.wait()
            return Answer()

        async def unfinished() -> Message:
            await asyncio.Event().wait()
            return {}

        one = endpoint(slow, at_once=1)
        body = encoded(review())
        scope = {"type": "http", "query_string": b"", "headers": [(b"content-type", b"application/json")]}
        talker = asyncio.create_task(one(scope, unfinished, lambda _: unfinished()))  # pyright: ignore[reportArgumentType] - never sends
        first = asyncio.create_task(post(one, body))
        async with asyncio.timeout(10):
            await begun.wait()
        second = await post(one, body)
        go.set()
        third = await first
        talker.cancel()

        assert second is not None
        assert third is not None
        assert (second.status, second.text, third.status) == (503, "too many requests at once\n", 200)
        assert one.in_flight == 0

    asyncio.run(story())


def test_nobody_is_judged_before_the_caches_are_complete() -> None:
    """503; what needs no judging is answered all the same."""
    assert ask(is_ready=False).text == "the caches are not complete yet\n"
    assert ask(review(operation="DELETE"), is_ready=False).status == 200


@pytest.mark.parametrize(
    ("error", "reason", "said"),
    [
        pytest.param(Unreachable("it sleeps"), "ledger", "the ledger cannot be asked: it sleeps", id="no API server"),
        pytest.param(
            TooManyRequests(429, "TooManyRequests", message="later"),
            "ledger",
            "the ledger cannot be asked: 429",
            id="a busy one",
        ),
        pytest.param(
            Forbidden(403, "Forbidden", message="no right"),
            "refused",
            "the API server refuses what the webhook asks of it, now and again: 403",
            id="one that will never say yes",
        ),
        pytest.param(ZeroDivisionError("secret"), "bug", "the webhook failed; its log says where", id="a bug"),
    ],
)
def test_what_nobody_knows_is_a_503_with_a_reason(error: Exception, reason: str, said: str) -> None:
    """The ``failurePolicy`` decides; the words are for whoever reads the API server's log, the reason is counted."""
    before = failures(reason)

    reply = ask(decide=failing(error))

    assert reply.status == 503
    assert reply.text.startswith(said)
    assert "secret" not in reply.text
    assert failures(reason) == before + 1


def is_an_answer(reply: Reply) -> bool:
    """One of the four that the API server can get for a body, and well-formed."""
    if reply.status == 200:
        return bool(reply.response["uid"])
    return reply.status in {400, 413} and reply.text.endswith("\n")


@given(body=st.binary(max_size=200))
def test_any_bytes_get_an_answer(body: bytes) -> None:
    """Raw."""
    assert is_an_answer(ask(body=body))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def paths(whole: object, prefix: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Where in a document something can be put."""
    if isinstance(whole, Mapping):
        return [p for k, v in cast("Mapping[str, object]", whole).items() for p in paths(v, (*prefix, k))] + [prefix]
    if isinstance(whole, list):
        return [p for i, v in enumerate(cast("list[object]", whole)) for p in paths(v, (*prefix, i))] + [prefix]
    return [prefix]


def put(whole: object, path: Sequence[str | int], value: object) -> object:
    """The document with another value at a path."""
    if not path:
        return value
    if isinstance(whole, Mapping):
        fields = cast("Mapping[str | int, object]", whole)
        return {**fields, path[0]: put(fields[path[0]], path[1:], value)}
    items = list(cast("list[object]", whole))
    items[cast("int", path[0])] = put(items[cast("int", path[0])], path[1:], value)
    return items


WHOLE = review(
    service_object("web", "80/TCP", "53/UDP", annotations={"x": "y"}, spec={"loadBalancerIP": "10.0.0.1"}),
    operation="UPDATE",
    old=service_object("web"),
)


@given(path=st.sampled_from(paths(WHOLE)), value=json_values, cut=st.integers(0, 40))
def test_any_review_with_something_odd_in_it_gets_an_answer(
    path: tuple[str | int, ...], value: object, cut: int
) -> None:
    """Structure-aware: one value replaced by anything, and now and then the end cut off."""
    body = encoded(put(WHOLE, path, value))

    assert is_an_answer(ask(body=body[: len(body) - max(0, cut - 30)]))


def test_the_last_of_two_keys_counts() -> None:
    """As in Go, whose decoder the API server uses."""
    body = encoded(review()).replace(b'"operation":"CREATE"', b'"operation":"CREATE","operation":"DELETE"')

    assert "DELETE" in ask(body=body).response["warnings"][0]


def test_a_service_without_a_name_is_nobody_yet() -> None:
    """``generateName``, when it is mutated: it is not taken for a stored Service that is called like the prefix."""
    asked: list[Asked] = []

    async def decide(one: Asked) -> Answer:
        asked.append(one)
        return Answer(Verdict.ALLOWED)

    nameless = {"metadata": {"generateName": "web", "annotations": {SHARED_VIP: "k"}}, "spec": {"type": "LoadBalancer"}}
    assert ask(review(nameless, name=""), decide).status == 200

    assert asked[0].candidate.name == ServiceName("default", "web-")


def test_what_was_claimed_is_in_the_audit_log() -> None:
    """Whoever asks later who took a port; a dry run has taken none."""
    decide = deciding(Answer(claimed="key: 80/TCP, 81/TCP"))

    assert ask(decide=decide).response["auditAnnotations"] == {"claimed": "key: 80/TCP, 81/TCP"}
    assert "auditAnnotations" not in ask(review(dryRun=True), decide).response


def test_one_line_per_decision_and_nothing_of_the_object() -> None:
    """Who, what and how it ended; neither the body nor a value of it."""
    secretive = service_object("web", annotations={"note": "hush"}, spec={"loadBalancerIP": "10.9.8.7"})
    metrics.catch_up()  # what other tests left untold
    with capture_logs() as lines:
        ask(review(secretive), deciding(denied((DENIAL,))))
        ask(review(secretive, name="web-2"), deciding(Answer(claimed="key: 80/TCP")))

    assert [(line["event"], line["name"], line["verdict"], line["rules"], line["claimed"]) for line in lines] == [
        ("admission.decided", "web", "denied", "duplicate-port", ""),
        ("admission.decided", "web-2", "allowed", "", "key: 80/TCP"),
    ]
    fields = {"event", "log_level", "webhook", "verdict", "operation", "namespace", "name", "rules", "claimed"}
    assert set(lines[0]) == fields | {"dry_run", "milliseconds", "timestamp", "uid"}
    assert not any(word in str(lines) for word in ("hush", "10.9.8.7", "avi-server"))


def test_no_decision_is_one_line_too() -> None:
    """With the reason."""
    with capture_logs() as lines:
        ask(decide=failing(Unreachable("it sleeps")))

    assert [(line["event"], line["reason"], line["log_level"]) for line in lines] == [
        ("admission.failed", "ledger", "warning")
    ]


def test_who_leaves_sends_his_callers_elsewhere() -> None:
    """Each answer is its connection's last: the API server opens the next one to another replica."""
    one = endpoint()
    before = asyncio.run(post(one, encoded(review())))
    one.is_leaving = True
    after = asyncio.run(post(one, encoded(review())))

    assert before is not None
    assert after is not None
    assert b"connection" not in before.headers
    assert (after.status, after.headers[b"connection"]) == (200, b"close")
