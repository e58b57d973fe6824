"""Who asks, and may they: session, CSRF, Referer, API version, tenant; it does nothing for them yet."""

import base64
import binascii
from typing import Final

from simulator import versions
from simulator.calls import WRITES, Call, Reply
from simulator.controller import Controller
from simulator.documents import Document, text
from simulator.refusals import RefusedError, no_session
from simulator.sessions import Session
from simulator.writes import Caller

SESSION_COOKIES: Final = ("avi-sessionid", "sessionid")
YEAR_SECONDS: Final = 365 * 24 * 3600
DAY_SECONDS: Final = 24 * 3600
"""Cookie lifetimes. Source: avi.md 2.1 [CAS]."""

OPEN_PATHS: Final = frozenset({"/api/initial-data", "/api/cluster/status"})
"""Answered without a session. Source: avi.md 2.1 for status [Go SDK]; initial-data assumed."""

CSRF_WORDS: Final = "CSRF token missing or incorrect."
"""Source: avi.md 2.1 [CAS]: 401, plain text under application/json."""


class Gate:
    """Admits calls to one Controller."""

    def __init__(self, controller: Controller) -> None:
        """Guard ``controller``."""
        self._controller = controller

    def login(self, call: Call) -> Reply:
        """POST /login: form or JSON, password or token. Source: avi.md 2.1 [CAS], [AKO/AMKO docs], PR 2205."""
        given = call.form()
        username = text(given.get("username"))
        secret = text(given.get("password")) or text(given.get("token"))
        if self._controller.settings.knobs.refuses_stale_cookie_on_login and self._has_stale_cookie(call):
            raise RefusedError(401, CSRF_WORDS, is_plain=True)
        was_locked = self._controller.sessions.is_locked(username)
        session = self._controller.sessions.login(username, secret)
        if session is None:
            raise self._refused(was_locked=was_locked)
        csrf = f"csrftoken={session.csrf}; Max-Age={YEAR_SECONDS}; Path=/; Secure"
        return Reply(200, self._welcome(username), cookies=(csrf, *session_cookies(session)))

    def logout(self, call: Call) -> Reply:
        """POST /logout: 200 [DOC]; without a session too: assumed."""
        for name in SESSION_COOKIES:
            self._controller.sessions.logout(call.cookies.get(name, ""))
        return Reply(200, {})

    def admit(self, call: Call) -> tuple[Caller, Session | None]:
        """Who calls, in which tenant and version; the session if it has one.

        Raises:
            RefusedError: 401 no session or wrong CSRF token, 403 no Referer or unknown tenant, 400 version.
        """
        session = self._session(call)
        settings = self._controller.settings
        asked = call.headers.get("x-avi-version", "")
        highest, status = self._controller.version, settings.knobs.invalid_version_status
        version = versions.parse(asked, highest=highest, status=status)
        username = session.username if session else settings.username
        return Caller(self._tenant(call), version, username), session

    def _session(self, call: Call) -> Session | None:
        path = "/" + "/".join(call.segments)
        if (call.method == "GET" and path in OPEN_PATHS) or self._has_basic(call):
            return None
        cookies = call.cookies
        found = (self._controller.sessions.touch(cookies.get(name, "")) for name in SESSION_COOKIES)
        session = next((one for one in found if one is not None), None)
        if session is None:
            raise no_session()
        if call.method in WRITES:
            self._check_write(call, session)
        return session

    def _check_write(self, call: Call, session: Session) -> None:
        token = call.headers.get("x-csrftoken", "")
        if token != session.csrf or call.cookies.get("csrftoken") != session.csrf:
            raise RefusedError(401, CSRF_WORDS, is_plain=True)
        if not call.headers.get("referer"):
            status = self._controller.settings.knobs.missing_referer_status
            raise RefusedError(status, "CSRF Failed: Referer checking failed - no Referer.")

    def _has_basic(self, call: Call) -> bool:
        """Basic authentication, when allowed. Source: avi.md 2.1: off by default."""
        scheme, _, encoded = call.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic" or not self._controller.settings.allows_basic_authentication:
            return False
        try:
            username, _, secret = base64.b64decode(encoded, validate=True).decode(errors="replace").partition(":")
        except binascii.Error:
            username, secret = "", ""
        was_locked = self._controller.sessions.is_locked(username)
        if not self._controller.sessions.is_valid(username, secret):
            raise self._refused(was_locked=was_locked)
        return True

    def _refused(self, *, was_locked: bool) -> RefusedError:
        """Source: avi.md 2.1 [AKO/AMKO docs]; of a locked account status (a knob) and text are [INF]."""
        if was_locked:
            return RefusedError(self._controller.settings.knobs.locked_account_status, "User account is locked")
        return RefusedError(401, "Invalid credentials")

    def _tenant(self, call: Call) -> str | None:
        """The tenant asked for. Source: avi.md 2.4: name or uuid header, ``*`` [AKO], default the user's own."""
        if uuid := call.headers.get("x-avi-tenant-uuid", ""):
            return self._controller.tenant_uuid(uuid, is_uuid=True)
        name = call.headers.get("x-avi-tenant", "") or "admin"
        return None if name == "*" else self._controller.tenant_uuid(name)

    def _has_stale_cookie(self, call: Call) -> bool:
        given = [call.cookies[name] for name in SESSION_COOKIES if call.cookies.get(name)]
        return bool(given) and not any(self._controller.sessions.touch(ident) for ident in given)

    def _welcome(self, username: str) -> Document:
        settings = self._controller.settings
        return {
            "user_initialized": True,
            "version": version_of(self._controller),
            "user": {"username": username, "name": username, "uuid": "user-1"},
            "tenants": [
                {"url": f"/api/tenant/{tenant.uuid}", "uuid": tenant.uuid, "name": tenant.name, "local": True}
                for tenant in self._controller.store.of_kind("tenant")
            ],
            "system_config": {"default_license_tier": settings.licence_tier},
            "controller": {"api_idle_timeout": settings.idle_timeout_minutes},
            "session_cookie_name": "avi-sessionid",
        }


def session_cookies(session: Session) -> tuple[str, ...]:
    """Set-Cookie lines for both session cookies. Source: avi.md 2.1 [CAS]: on login and again on every reply."""
    rest = f"HttpOnly; Max-Age={DAY_SECONDS}; Path=/; SameSite=None; Secure"
    return tuple(f"{name}={session.ident}; {rest}" for name in SESSION_COOKIES)


def version_of(controller: Controller) -> Document:
    """The version as the Controller tells it. Source: avi.md 2.1 [CAS] for the keys; the values are ours."""
    version = controller.settings.version
    return {
        "Version": version,
        "Tag": f"{version}-9000-simulator",
        "build": 9000,
        "min_version": 15.2,
        "Product": "controller",
        "ProductName": "Avi Cloud Controller",
        "Date": "2026-11-23T00:00:00+00:00",
    }
