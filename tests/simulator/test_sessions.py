"""What only a simulator's clock and settings can show of sessions and tokens."""

import base64

import pytest

from simulator.settings import Settings
from tests.contracts.bodies import pool
from tests.simulator.desk import PASSWORD, desk

MINUTE = 60.0
HOUR = 3600.0


def test_a_session_that_idles_too_long_ends() -> None:
    """After ``api_idle_timeout``, counted from the last call."""
    it = desk()
    for _ in range(3):
        it.clock.forward(14 * MINUTE)
        assert it.client.get("pool").status == 200
    it.clock.forward(16 * MINUTE)

    assert it.client.get("pool").status == 401


def test_a_session_ends_though_it_is_used() -> None:
    """After ``api_force_timeout``."""
    it = desk(Settings(password=PASSWORD, idle_timeout_minutes=0, force_timeout_hours=2))
    it.clock.forward(2 * HOUR - 1)
    assert it.client.get("pool").status == 200
    it.clock.forward(2)

    assert it.client.get("pool").status == 401


def test_a_call_without_a_session_says_so() -> None:
    """The body is [INF]: nobody may depend on it."""
    assert desk().stranger().get("pool").body == {"detail": "Authentication credentials were not provided."}


def test_a_wrong_password_is_refused() -> None:
    """The right user, so not among the contracts: it would lock an account."""
    it = desk()
    answer = it.stranger().login("admin", "wrong")

    assert (answer.status, answer.error, dict(answer.cookies)) == (401, "Invalid credentials", {})


def test_a_login_with_a_dead_cookie_is_refused() -> None:
    """As Django does; a knob."""
    it = desk()
    it.controller.sessions.expire_all()
    cookie = {"Cookie": f"sessionid={it.client.cookies['sessionid']}"}
    body = b'{"username": "admin", "password": "a password"}'
    answer = it.client.send("POST", "/login", headers=cookie, body=body)

    assert (answer.status, answer.text) == (401, "CSRF token missing or incorrect.")
    assert it.client.send("POST", "/login", headers={}, body=body).status == 200


def test_a_token_logs_in_as_token_or_as_password() -> None:
    """Until its hours are over."""
    it = desk()
    answer = it.client.post("user-token", {"hours": "2"})
    token = answer.body["token"]
    form = f"username=admin&token={token}".encode()

    assert answer.status == 200
    assert it.stranger().login("admin", token).status == 200
    assert it.client.send("POST", "/login", headers={}, body=form).status == 200
    assert it.stranger().login("someone", token).status == 401
    it.clock.forward(2 * HOUR)
    assert it.stranger().login("admin", token).status == 401


def test_a_token_of_no_hours_is_for_one_use() -> None:
    """Then it is gone."""
    it = desk()
    token = it.client.post("user-token", {"hours": 0}).body["token"]

    assert [it.stranger().login("admin", token).status for _ in range(2)] == [200, 401]


def test_a_token_is_listed_without_its_secret_and_revoked() -> None:
    """By its uuid."""
    it = desk()
    made = it.client.post("user-token", {"hours": "1"}).body
    listed = it.client.get("user-token").results

    assert [(entry["uuid"], entry["token"]) for entry in listed] == [(made["uuid"], None)]
    assert it.client.delete(f"user-token/{made['uuid']}").status == 204
    assert it.client.delete(f"user-token/{made['uuid']}").status == 404
    assert it.stranger().login("admin", made["token"]).status == 401


@pytest.mark.parametrize("hours", ["-1", "87601", "soon", None])
def test_a_token_needs_hours_in_bounds(hours: object) -> None:
    """400."""
    assert desk().client.post("user-token", {"hours": hours}).status == 400


def test_basic_authentication_is_off_unless_allowed() -> None:
    """And then needs neither cookie nor CSRF token."""
    header = {"Authorization": "Basic " + base64.b64encode(f"admin:{PASSWORD}".encode()).decode()}
    it, allowing = desk(), desk(Settings(password=PASSWORD, allows_basic_authentication=True))
    body = pool(it.site)

    assert it.stranger().call("POST", "pool", body=body, headers=header).status == 401
    assert allowing.stranger().call("POST", "pool", body=body, headers=header).status == 201
    wrong = {"Authorization": "Basic " + base64.b64encode(b"admin:wrong").decode()}
    assert allowing.stranger().call("GET", "pool", headers=wrong).error == "Invalid credentials"
    assert allowing.stranger().call("GET", "pool", headers={"Authorization": "Basic %"}).status == 401


def test_a_login_that_is_no_json_is_refused() -> None:
    """400, not a crash."""
    assert desk().client.send("POST", "/login", headers={}, body=b"[1").status == 400


def test_a_logout_twice_is_no_error() -> None:
    """Assumed."""
    it = desk()

    assert [it.client.send("POST", "/logout", headers={}, body=b"").status for _ in range(2)] == [200, 200]


def test_health_is_told_without_a_session() -> None:
    """The Go SDK polls it."""
    answer = desk().stranger().get("cluster/status")

    assert answer.body["cluster_state"]["state"] == "CLUSTER_UP_NO_HA"
    assert desk().client.get("cluster/version").body["Version"] == "30.2.1"
