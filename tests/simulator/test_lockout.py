"""Wrong passwords lock an account, when the settings say so, and passwords change."""

import base64

from simulator.settings import Knobs, Settings
from tests.simulator.desk import PASSWORD, Desk, desk

MINUTE = 60.0


def strict(knobs: Knobs | None = None) -> Desk:
    """A desk whose account is locked by three wrong passwords."""
    return desk(Settings(password=PASSWORD, login_failures_allowed=3, knobs=knobs or Knobs()))


def attempts(it: Desk, *passwords: str) -> list[tuple[int, str]]:
    """What each login is answered."""
    answers = [it.stranger().login("admin", password) for password in passwords]
    return [(answer.status, answer.body.get("error", "")) for answer in answers]


WRONG = (401, "Invalid credentials")
LOCKED = (401, "User account is locked")
RIGHT = (200, "")


def test_wrong_passwords_lock_the_account() -> None:
    """The right one is then refused too, until the lock is over."""
    it = strict()

    assert attempts(it, "x", "x", "x", PASSWORD) == [WRONG, WRONG, WRONG, LOCKED]
    it.clock.forward(30 * MINUTE - 1)
    assert attempts(it, PASSWORD) == [LOCKED]
    it.clock.forward(1)
    assert attempts(it, PASSWORD, "x", "x", PASSWORD) == [RIGHT, WRONG, WRONG, RIGHT]


def test_a_lock_lasts_from_the_last_wrong_password() -> None:
    """So a client that goes on trying keeps itself out."""
    it = strict()
    attempts(it, "x", "x", "x")
    it.clock.forward(29 * MINUTE)

    assert attempts(it, "x") == [LOCKED]
    it.clock.forward(29 * MINUTE)
    assert attempts(it, PASSWORD) == [LOCKED]
    it.clock.forward(MINUTE)
    assert attempts(it, PASSWORD) == [RIGHT]


def test_after_a_lock_the_count_begins_anew() -> None:
    """One more wrong password does not lock at once."""
    it = strict()
    attempts(it, "x", "x", "x")
    it.clock.forward(30 * MINUTE)

    assert attempts(it, "x", "x", PASSWORD) == [WRONG, WRONG, RIGHT]


def test_a_right_password_forgets_the_wrong_ones() -> None:
    """They need not be in a row to be typed, but to lock."""
    assert attempts(strict(), "x", "x", PASSWORD, "x", "x", PASSWORD)[-1] == RIGHT


def test_sessions_outlive_the_lock_and_strangers_do_not_lock() -> None:
    """Only who logs in is locked out."""
    it = strict()
    for _ in range(5):
        assert it.stranger().login("nobody", "x").status == 401
    assert attempts(it, PASSWORD, "x", "x", "x", PASSWORD)[-1] == LOCKED

    assert it.client.get("pool").status == 200


def test_basic_authentication_locks_too() -> None:
    """Each wrong call counts."""
    it = desk(Settings(password=PASSWORD, login_failures_allowed=2, allows_basic_authentication=True))
    header = {"Authorization": "Basic " + base64.b64encode(b"admin:wrong").decode()}
    answers = [it.stranger().call("GET", "pool", headers=header) for _ in range(3)]

    assert [answer.error for answer in answers] == ["Invalid credentials", "Invalid credentials", LOCKED[1]]


def test_the_status_of_a_locked_account() -> None:
    """[INF]."""
    assert attempts(strict(Knobs(locked_account_status=403)), "x", "x", "x", "x")[-1] == (403, LOCKED[1])


def test_a_lock_can_be_taken_off_and_is_off_by_default() -> None:
    """By the control port; and nobody is locked who did not ask for it."""
    it = strict()
    attempts(it, "x", "x", "x")
    it.controller.sessions.unlock_all()

    assert attempts(it, PASSWORD) == [RIGHT]
    assert attempts(desk(), *["x"] * 50, PASSWORD)[-1] == RIGHT


def test_a_password_is_rotated() -> None:
    """The old one is wrong from then on; sessions live on."""
    it = desk()
    it.controller.sessions.set_password("another")

    assert attempts(it, PASSWORD, "another") == [WRONG, RIGHT]
    assert it.client.get("pool").status == 200
