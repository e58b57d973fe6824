"""What an answer of 400 and above stands for."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.errors import (
    AlreadyExists,
    ApiError,
    Cause,
    ClusterError,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    TooManyRequests,
    Unreachable,
    parse_error,
)


def said(reason: str, **details: object) -> bytes:
    """A Status."""
    return msgspec.json.encode({"kind": "Status", "reason": reason, "message": "so it is", "details": details})


@pytest.mark.parametrize(
    ("status", "reason", "family"),
    [
        (400, "BadRequest", ApiError),
        (403, "Forbidden", Forbidden),
        (404, "NotFound", NotFound),
        (409, "Conflict", Conflict),
        (409, "AlreadyExists", AlreadyExists),
        (410, "Expired", Gone),
        (422, "Invalid", Invalid),
        (429, "TooManyRequests", TooManyRequests),
        (500, "InternalError", ApiError),
    ],
)
def test_each_status_has_its_class(status: int, reason: str, family: type[ApiError]) -> None:
    """With the API server's own reason and message."""
    error = parse_error(status, said(reason))

    assert type(error) is family
    assert str(error) == f"{status} {reason}: so it is"


def test_the_causes_are_kept_in_their_order() -> None:
    """Field, reason and message."""
    causes = [{"field": "spec.a", "reason": "R", "message": "m"}, {"field": "spec.b"}]
    error = parse_error(422, said("Invalid", causes=causes))

    assert isinstance(error, ApiError)
    assert error.causes == (Cause("spec.a", "R", "m"), Cause("spec.b", "", ""))


def test_when_to_come_back_is_told_by_the_header_before_the_body() -> None:
    """In seconds; a date is not read."""
    body = said("TooManyRequests", retryAfterSeconds=7)

    told = [parse_error(429, body, retry_after=header) for header in ("3", "", "Fri, 31 Dec 1999 23:59:59 GMT")]

    assert [error.retry_after_seconds for error in told if isinstance(error, ApiError)] == [3, 7, 7]


def test_a_proxy_is_not_the_api_server() -> None:
    """From 500 on nobody knows what happened; below, its status is all there is."""
    assert type(parse_error(502, b"<html>")) is Unreachable
    assert type(parse_error(404, b"404 page not found")) is NotFound
    assert type(parse_error(418, b"")) is ApiError


@given(st.integers(400, 599), st.binary(max_size=80))
def test_any_answer_is_an_error_of_ours(status: int, body: bytes) -> None:
    """Also bytes that are no text."""
    assert isinstance(parse_error(status, body), ClusterError)
