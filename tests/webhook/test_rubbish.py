"""Rubbish, too much or half of it: the two endpoints answer whatever comes, in the right kind."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from tests.builders import service_object
from tests.webhook.reviews import Reply, encoded, post, review
from tests.webhook.validate_endpoint import ask, endpoint, failures


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
