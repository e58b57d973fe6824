"""avisdk's session as typed shapes, built as avi.md 1.8 says; the tests' only door to avisdk."""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Protocol, cast
from urllib.parse import urlsplit

from avi.sdk import avi_api  # pyright: ignore[reportMissingTypeStubs] - avisdk ships no types; Session is its shape

from tests.contracts.client import TIMEOUT_SECONDS, VERSION, Document, Site

API_ERROR = cast("type[Exception]", avi_api.APIError)
NOT_FOUND = cast("type[Exception]", avi_api.ObjectNotFound)


class Reply(Protocol):
    """An answer."""

    status_code: int
    text: str

    def json(self) -> Document:
        """The body, or an error of avisdk's."""
        ...


class Session(Protocol):
    """What the tests use of ``ApiSession``."""

    trust_env: bool

    def get(self, path: str, *, params: Mapping[str, str] | None = None, tenant: str = "") -> Reply: ...  # noqa: D102
    def post(self, path: str, *, data: object = None, force_uuid: str | None = None) -> Reply: ...  # noqa: D102
    def put(self, path: str, *, data: object) -> Reply: ...  # noqa: D102
    def patch(self, path: str, *, data: object) -> Reply: ...  # noqa: D102
    def delete(self, path: str, *, data: object = None) -> Reply: ...  # noqa: D102
    def get_object_by_name(self, path: str, name: str) -> Document | None: ...  # noqa: D102
    def get_objects_iter(self, path: str, *, params: Mapping[str, object]) -> Iterator[Document]: ...  # noqa: D102
    def delete_session(self) -> None: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


_open = cast("Callable[..., Session]", avi_api.ApiSession)


@contextmanager
def session(site: Site, *, tenant: str = "admin", password: str | None = None) -> Generator[Session]:
    """A session that does not retry by itself and is forgotten afterwards."""
    where = urlsplit(site.url)
    opened = _open(
        where.hostname,
        site.username,
        site.password if password is None else password,
        port=where.port or 443,
        tenant=tenant,
        verify=site.verify,
        timeout=TIMEOUT_SECONDS,
        api_version=VERSION,
        retry_conxn_errors=False,
        max_api_retries=1,
        lazy_authentication=True,
    )
    # A proxy, ~/.netrc or REQUESTS_CA_BUNDLE of the environment must have no word (avi.md 1.5).
    opened.trust_env = False
    try:
        yield opened
    finally:
        with suppress(API_ERROR):
            opened.post("logout")
        opened.delete_session()
        opened.close()
