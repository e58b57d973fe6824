"""The asyncio half of the official client without the synchronous one; it adds nothing and changes nothing.

What it lacks is a way to have one without the other: ``import kubernetes.aio`` runs ``kubernetes/__init__.py``,
which imports requests, oauthlib, websocket and its own second client, 7 MiB in every process of ours. So the package is
there before, known but not run; all its modules can be imported as ever.
"""

import importlib.util
import sys
from typing import Final

_PACKAGE: Final = "kubernetes"


def _know(package: str) -> None:
    """Have a package that is not imported yet, and does not run when its modules are."""
    spec = importlib.util.find_spec(package)
    if package not in sys.modules and spec is not None:
        sys.modules[package] = importlib.util.module_from_spec(spec)


_know(_PACKAGE)

from kubernetes.aio import config  # noqa: E402 - as above
from kubernetes.aio.client import Configuration  # noqa: E402 - likewise
from kubernetes.aio.client.rest import RESTClientObject  # noqa: E402 - likewise
from kubernetes.aio.config.config_exception import ConfigException  # noqa: E402 - likewise

__all__ = ["ConfigException", "Configuration", "RESTClientObject", "config"]
