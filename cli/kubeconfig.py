"""Where a command that only reads finds the API server, if nobody tells; it opens nothing."""

from pathlib import Path
from typing import Final

_USUAL: Final = Path(".kube/config")


def usual_kubeconfig() -> Path | None:
    """Where kubectl looks without being told; None where nothing is: then we may be a pod."""
    usual = Path.home() / _USUAL
    return usual if usual.exists() else None
