"""The only door to avisdk: one session, one login at a time, bounded rate and threads, typed answers and errors.

It never retries a write, never blocks the event loop, and never lets avisdk's own logins, retries, proxies, netrc or
errors through (they carry passwords): ``avi.md`` 1.4 to 1.8 tell why for each.
"""

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Final, Protocol, cast

import requests
import structlog
from avi.sdk import avi_api  # pyright: ignore[reportMissingTypeStubs] - avisdk ships no types; _Session is its shape
from requests.adapters import HTTPAdapter

from reconciler.avi_credentials import Credentials, read_credentials
from reconciler.avi_errors import AviBusy, AviCredentialsRefused, AviError, AviUnreachable, error_for
from reconciler.avi_rate import TokenBucket
from reconciler.graph import Json, JsonObject, text_in
from reconciler.settings import Endpoint

MAX_THREADS: Final = 16
"""32 calls a second of 0.37 s each (``avi.md`` 1.7, 2.9) are 12 on their way; more would only wait at the limit."""

_TIMEOUT: Final = (3.0, 30.0)
"""Seconds to connect and between bytes: a real Controller's write takes up to 0.4 s (``avi.md`` 1.7), 30 is broken."""

_LOGIN_BACK_OFF: Final = (1.0, 60.0)
"""First and longest pause, in seconds, after a login that failed for a reason other than wrong credentials."""

_REFUSED_SECONDS: Final = 3600.0
"""Credentials that were refused are tried again after this long: a locked account answers as a wrong password does, and
opens by itself after 30 minutes (``avi.md`` 1.8); one attempt in an hour locks none."""

_REFUSALS: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_REFUSED_WORDS: Final = ("invalid credentials", "locked")
"""What a wrong password is answered, and a locked account (its text is assumed); a stale cookie is another 401."""

_LOST_SESSION: Final = frozenset({HTTPStatus.UNAUTHORIZED, 419})
_LOGINS_PER_CALL: Final = 2
"""A session may be lost again right after its login (another client, a failover); beyond that it is a storm."""

_log = structlog.get_logger("reconciler.avi")


class _Answer(Protocol):
    status_code: int

    @property
    def content(self) -> bytes: ...


class _Session(Protocol):
    """What we use of ``avi.sdk.avi_api.ApiSession``."""

    trust_env: bool
    authenticate_session: Callable[[], None]

    def mount(self, prefix: str, adapter: HTTPAdapter) -> None: ...
    def get(self, path: str, **kwargs: object) -> _Answer: ...
    def post(self, path: str, **kwargs: object) -> _Answer: ...
    def put(self, path: str, **kwargs: object) -> _Answer: ...
    def patch(self, path: str, **kwargs: object) -> _Answer: ...
    def delete(self, path: str, **kwargs: object) -> _Answer: ...
    def delete_session(self) -> None: ...
    def close(self) -> None: ...


class _SdkError(Protocol):
    rsp: _Answer | None


_open_session = cast("Callable[..., _Session]", avi_api.ApiSession)
_API_ERROR = cast("type[Exception]", avi_api.APIError)


@dataclass(frozen=True, slots=True)
class AviRequest:
    """One call; ``path`` is below ``/api/``."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict[str, str])
    body: JsonObject | None = None
    tenant: str = ""
    """In place of the client's; ``*`` reads those of all tenants (``avi.md`` 2.4)."""


@dataclass(frozen=True, slots=True)
class AviReply:
    """A 2xx answer; ``body`` is None where it has none."""

    status: int
    body: Json


class AviClient:
    """One Controller, one tenant, one user.

    Args:
        endpoint: Where it listens.
        credentials: The directory of ``avi_credentials``; read again at every login.
        tenant: Of every call.
        api_version: ``X-Avi-Version``: what a field means, whatever the Controller's own version.
        rate: Shared by all callers.
        fence: Raises when we may not be the leader any more; called in the thread, right before a write is sent.
        observe: Told method and status of every call that was answered, 0 for one that was not.
        now: Seconds on a clock that never goes back.
        threads: How many calls may be on their way.
        timeout: Seconds to connect, and between bytes.
    """

    def __init__(  # noqa: PLR0913 - all keyword-only but the first; each is a decision of the operator
        self,
        endpoint: Endpoint,
        *,
        credentials: Path,
        tenant: str,
        api_version: str,
        rate: TokenBucket,
        fence: Callable[[], None],
        observe: Callable[[str, int], None] = lambda _method, _status: None,
        now: Callable[[], float] = time.monotonic,
        threads: int = MAX_THREADS,
        timeout: tuple[float, float] = _TIMEOUT,
    ) -> None:
        self._endpoint: Final = endpoint
        self._directory: Final = credentials
        self._tenant: Final = tenant
        self._api_version: Final = api_version
        self._rate: Final = rate
        self._fence: Final = fence
        self._observe: Final = observe
        self._now: Final = now
        self._threads: Final = threads
        self._timeout: Final = timeout
        self._pool: Final = ThreadPoolExecutor(threads, thread_name_prefix="avi")
        self._login_lock: Final = threading.Lock()
        self._session: _Session | None = None
        self._authenticate: Callable[[], None] = _not_open
        self._credentials: Credentials | None = None
        self._refused: Credentials | None = None
        self._refused_until = 0.0
        self._epoch = 0
        self._login_pause = 0.0
        self._no_login_before = 0.0
        # DEBUG would log every body, the password's too (avi.md 1.6); WARNING says nothing we do not say better.
        logging.getLogger("avi.sdk").setLevel(logging.ERROR)

    async def request(self, request: AviRequest) -> AviReply:
        """Do one call when its turn comes.

        Raises:
            AviError: One of ``avi_errors``, for every answer but 2xx and for none.
        """
        await asyncio.sleep(self._rate.reserve())
        return await asyncio.get_running_loop().run_in_executor(self._pool, self.call, request)

    def call(self, request: AviRequest) -> AviReply:
        """The same, blocking and without waiting for a turn; any thread may call it.

        Raises:
            AviError: As ``request``.
        """
        epoch = self._epoch
        session = self._session or self._log_in(epoch)
        for _ in range(_LOGINS_PER_CALL):
            answer = self._send(session, request)
            if answer.status_code not in _LOST_SESSION:
                return _reply(answer)
            session = self._log_in(epoch)
            epoch = self._epoch
        answer = self._send(session, request)
        return _reply(answer)

    async def close(self) -> None:
        """Log out and let go of everything; the client is of no use afterwards."""
        await asyncio.get_running_loop().run_in_executor(self._pool, self._log_out)
        self._pool.shutdown(wait=False)

    def _send(self, session: _Session, request: AviRequest) -> _Answer:
        send = getattr(session, request.method.lower())
        arguments: dict[str, object] = {"params": dict(request.params)}
        if request.tenant:
            arguments["tenant"] = request.tenant
        if request.body is not None:
            arguments["data"] = json.dumps(request.body)
        if request.method != "GET":
            self._fence()
        try:
            answer: _Answer = send(request.path, **arguments)
        except requests.RequestException as error:
            self._observe(request.method, 0)
            raise AviUnreachable(f"the Avi Controller does not answer ({type(error).__name__})") from None
        except _API_ERROR as error:
            answer = _answer_in(error)
        except (KeyError, TypeError):
            # avisdk's module-wide dictionary lost the session while a login failed in another thread (avi.md 1.6).
            self._drop(session)
            raise AviUnreachable("the session at the Avi Controller was lost while the call was made") from None
        self._observe(request.method, answer.status_code)
        return answer

    def _log_in(self, epoch: int) -> _Session:
        """A session newer than ``epoch``: whoever comes first logs in, the others wait and take what it got."""
        with self._login_lock:
            if self._session is None or self._epoch == epoch:
                self._check_login_is_due()
                self._session = self._new_login(read_credentials(self._directory))
                self._epoch += 1
            return self._session

    def _check_login_is_due(self) -> None:
        wait = self._no_login_before - self._now()
        if wait > 0:
            # Without the time: the condition would be written anew at each try.
            error = AviUnreachable("the login at the Avi Controller failed; it is tried again within a minute")
            error.retry_seconds = wait
            raise error

    def _new_login(self, credentials: Credentials) -> _Session:
        if credentials == self._refused and self._now() < self._refused_until:
            raise AviCredentialsRefused(_REFUSED)
        session = self._session_for(credentials)
        try:
            self._authenticate()
        except (requests.RequestException, _API_ERROR, KeyError, ValueError) as error:
            raise self._login_failed(error, credentials) from None
        self._login_pause, self._no_login_before = 0.0, 0.0
        _log.info("avi.login", controller=self._endpoint.host, tenant=self._tenant)
        return session

    def _login_failed(self, error: Exception, credentials: Credentials) -> AviError:
        self._forget_session()
        answer = _answer_in(error) if isinstance(error, _API_ERROR) else None
        # "is not None": requests counts an answer of 400 and above as false.
        message = _message(answer.content) if answer is not None else type(error).__name__
        is_refused = answer is not None and answer.status_code in _REFUSALS
        if is_refused and any(words in message.lower() for words in _REFUSED_WORDS):
            self._refused, self._refused_until = credentials, self._now() + _REFUSED_SECONDS
            _log.error("avi.credentials_refused", controller=self._endpoint.host)
            return AviCredentialsRefused(_REFUSED)
        first, longest = _LOGIN_BACK_OFF
        self._login_pause = min(longest, max(first, 2 * self._login_pause))
        self._no_login_before = self._now() + self._login_pause
        failure = AviUnreachable if answer is None else AviBusy
        return failure(f"the login at the Avi Controller failed: {message}")

    def _session_for(self, credentials: Credentials) -> _Session:
        if self._session is not None and credentials == self._credentials:
            return self._session
        self._forget_session()
        self._credentials = credentials
        session = _open_session(
            self._endpoint.host,
            credentials.username,
            credentials.password,
            port=self._endpoint.port,
            tenant=self._tenant,
            verify=credentials.ca_path,
            timeout=self._timeout,
            api_version=self._api_version,
            retry_conxn_errors=False,
            max_api_retries=0,
            lazy_authentication=True,
        )
        # Otherwise a proxy, ~/.netrc or REQUESTS_CA_BUNDLE of the environment would have a word (avi.md 1.5).
        session.trust_env = False
        session.mount("https://", HTTPAdapter(pool_maxsize=self._threads, pool_block=True))
        # avisdk logs in by itself on 401, in each thread: 4,634 logins were measured (avi.md 1.6). We do it, once.
        self._authenticate = session.authenticate_session
        session.authenticate_session = _leave_it_to_us
        return session

    def _drop(self, session: _Session) -> None:
        """Have the next call log in, unless somebody did already."""
        with self._login_lock:
            if self._session is session:
                self._session = None
                session.close()

    def _forget_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.delete_session()
            session.close()

    def _log_out(self) -> None:
        if self._session is not None:
            # Politeness: a session that stays behind dies of idleness after 15 minutes.
            with suppress(requests.RequestException, _API_ERROR, KeyError, TypeError):
                self._session.post("logout")
        self._forget_session()


def _leave_it_to_us() -> None:
    """In place of avisdk's login."""


def _not_open() -> None:
    raise AviUnreachable("no session was opened yet")


_REFUSED: Final = (
    "the Avi Controller does not accept user and password, or has locked the account; "
    "nothing is tried again until the credentials' files change, or for an hour"
)


def _answer_in(error: Exception) -> _Answer:
    """The answer that avisdk wrapped into its error; the error itself holds the request and must not travel on."""
    answer = cast("_SdkError", error).rsp
    if answer is None:
        raise AviUnreachable("the Avi Controller's answer was lost in avisdk") from None
    return answer


def _reply(answer: _Answer) -> AviReply:
    if answer.status_code >= HTTPStatus.MULTIPLE_CHOICES:
        raise error_for(answer.status_code, _message(answer.content))
    try:
        body = cast("Json", json.loads(answer.content)) if answer.content.strip() else None
    except ValueError:
        raise AviUnreachable("the Avi Controller's answer is not JSON", status=answer.status_code) from None
    return AviReply(answer.status_code, body)


def _message(content: bytes) -> str:
    """The Controller's own words: ``error``, as everywhere (``avi.md`` 2.5), or the text itself."""
    text = content.decode(errors="replace").strip()
    try:
        document = json.loads(text)
    except ValueError:
        return text
    if not isinstance(document, Mapping):
        return text
    known = cast("JsonObject", document)
    return text_in(known, "error") or text_in(known, "detail") or text
