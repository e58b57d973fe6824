"""What the Controller's answers mean."""

import pytest

from reconciler.avi_errors import AviBusy, AviNotFound, AviRefused, AviStale, NoFreeAddress, error_for


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (404, "Pool object not found!", AviNotFound),
        (412, "Concurrent update", AviStale),
        (429, "", AviBusy),
        (503, "INITIALIZING", AviBusy),
        (403, "Configuration is disallowed during upgrade", AviBusy),
        (403, "Cannot delete, object is referred by", AviRefused),
        (400, "No available free IPs for auto allocation", NoFreeAddress),
    ],
)
def test_answers_mean_what_the_controller_means(status: int, message: str, kind: type[Exception]) -> None:
    """Source: ``avi.md`` 2.5."""
    error = error_for(status, message)

    assert type(error) is kind
    assert error.status == status
