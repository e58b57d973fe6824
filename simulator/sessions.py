"""Logins: sessions, their CSRF tokens, their ends, and API tokens; it knows no HTTP."""

import hmac
import secrets
import string
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from simulator.settings import Settings

ALPHABET: Final = string.ascii_lowercase + string.digits
COOKIE_LENGTH: Final = 32
"""Characters of session id and CSRF token. Source: avi.md 2.1 [CAS]."""
HOUR_SECONDS: Final = 3600.0
MINUTE_SECONDS: Final = 60.0
TOKEN_HOURS_LIMIT: Final = 87600.0
"""Source: avi.md 2.1 [DOC]."""


@dataclass(slots=True)
class Session:
    """One login.

    Attributes:
        ident: The value of the session cookies.
        csrf: What X-CSRFToken must be on writes.
        username: Who.
        created_at: Seconds since the epoch.
        used_at: Likewise, of the last request.
    """

    ident: str
    csrf: str
    username: str
    created_at: float
    used_at: float


@dataclass(frozen=True, slots=True)
class Token:
    """An API token.

    Attributes:
        uuid: Its name.
        value: The secret.
        username: Whom it logs in.
        expires_at: Seconds since the epoch.
        is_single_use: Whether the first login consumes it (``hours: 0``).
    """

    uuid: str
    value: str
    username: str
    expires_at: float
    is_single_use: bool


class Sessions:
    """All sessions and tokens of one Controller."""

    def __init__(self, settings: Settings, *, clock: Callable[[], float]) -> None:
        """Begin with nobody logged in."""
        self._settings = settings
        self._clock = clock
        self._sessions: dict[str, Session] = {}
        self._tokens: dict[str, Token] = {}
        self._password = settings.password
        self._failures = 0
        self._failed_at = 0.0

    def login(self, username: str, secret: str) -> Session | None:
        """A new session if ``secret`` is the password or a token that still holds; else None.

        Source: avi.md 2.1 [DOC]: a token works as the password too; concurrent sessions are unlimited [SW].
        """
        if not self.is_valid(username, secret):
            return None
        now = self._clock()
        session = Session(_word(), _word(), username, now, now)
        self._sessions[session.ident] = session
        return session

    def is_valid(self, username: str, secret: str) -> bool:
        """Whether the credentials are right and the account is open; a token for one use is used by asking.

        Source: avi.md 1.8, Avi's page "User Account Lockout" [DOC]: so many wrong passwords lock the
        account until ``account_lock_timeout`` minutes after the last wrong one; a right one forgets those before
        it. Assumed: while it is locked a right one is refused and does not count, and sessions go on.
        """
        is_right = self._is_right(username, secret)
        is_locked = self.is_locked(username)
        if username == self._settings.username:
            self._count(is_right=is_right, is_locked=is_locked)
        return is_right and not is_locked

    def is_locked(self, username: str) -> bool:
        """Whether the account takes no credentials now, right or wrong."""
        allowed = self._settings.login_failures_allowed
        if username != self._settings.username or not 0 < allowed <= self._failures:
            return False
        return self._clock() - self._failed_at < self._settings.account_lock_minutes * MINUTE_SECONDS

    def unlock_all(self) -> None:
        """Forget every failed login."""
        self._failures = 0

    def set_password(self, password: str) -> None:
        """Replace the password. Assumed: sessions and tokens live on."""
        self._password = password

    def _count(self, *, is_right: bool, is_locked: bool) -> None:
        if is_right and not is_locked:
            self._failures = 0
        elif not is_right:
            # A lock that ran out begins anew with the next wrong password: assumed.
            has_run_out = not is_locked and 0 < self._settings.login_failures_allowed <= self._failures
            self._failures = 1 if has_run_out else self._failures + 1
            self._failed_at = self._clock()

    def _is_right(self, username: str, secret: str) -> bool:
        right = hmac.compare_digest(secret.encode(), self._password.encode())
        if right and username == self._settings.username:
            return True
        token = next(
            (one for one in self._tokens.values() if hmac.compare_digest(one.value.encode(), secret.encode())), None
        )
        if token is None or token.username != username or token.expires_at <= self._clock():
            return False
        if token.is_single_use:
            del self._tokens[token.uuid]
        return True

    def touch(self, ident: str) -> Session | None:
        """The live session of that cookie, its idle time begun anew; None if unknown or at its end.

        Source: avi.md 2.1 [SW]: ``api_idle_timeout`` (0 is never) and ``api_force_timeout``.
        """
        session = self._sessions.get(ident)
        if session is None:
            return None
        now = self._clock()
        idle_seconds = self._settings.idle_timeout_minutes * MINUTE_SECONDS
        is_idle = idle_seconds > 0 and now - session.used_at > idle_seconds
        if is_idle or now - session.created_at > self._settings.force_timeout_hours * HOUR_SECONDS:
            del self._sessions[ident]
            return None
        session.used_at = now
        return session

    def logout(self, ident: str) -> None:
        """End a session."""
        self._sessions.pop(ident, None)

    def expire_all(self) -> None:
        """End every session, as a restart does."""
        self._sessions.clear()

    def forget(self) -> None:
        """End every session, revoke every token, unlock: as a Controller without its state. The password stays."""
        self._sessions.clear()
        self._tokens.clear()
        self._failures = 0

    def new_token(self, username: str, *, hours: float) -> Token:
        """An API token. Source: avi.md 2.1 [DOC]: 0 hours is single use (an hour to use it in: assumed)."""
        expires_at = self._clock() + (hours or 1.0) * HOUR_SECONDS
        token = Token(f"authtoken-{_word()}", _word(), username, expires_at, is_single_use=hours == 0)
        self._tokens[token.uuid] = token
        return token

    def tokens(self) -> list[Token]:
        """All tokens, oldest first."""
        return list(self._tokens.values())

    def revoke(self, uuid: str) -> bool:
        """Forget a token; whether there was one."""
        return self._tokens.pop(uuid, None) is not None


def _word() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(COOKIE_LENGTH))
