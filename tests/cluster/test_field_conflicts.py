"""The API server's words about who owns a field become values."""

import pytest

from cluster.errors import Cause, Conflict
from cluster.field_conflicts import FieldConflict, parse_conflicts


@pytest.mark.parametrize(
    ("message", "manager"),
    [
        pytest.param('conflict with "web.1"', "web.1", id="an apply of the same version"),
        pytest.param('conflict with "r" with subresource "status"', "r", id="of the status"),
        pytest.param(
            'conflict with "kubectl-edit" using sharedvip.dev/v1alpha1 at 2026-01-01T00:00:00Z',
            "kubectl-edit",
            id="an update",
        ),
        pytest.param("conflict", "", id="words of another version"),
    ],
)
def test_the_manager_is_the_one_in_quotes(message: str, manager: str) -> None:
    """Whatever follows it."""
    error = Conflict(409, "Conflict", message="", causes=(Cause(".spec.key", "FieldManagerConflict", message),))

    assert parse_conflicts(error) == (FieldConflict(".spec.key", manager),)


def test_a_stale_read_is_no_conflict_of_fields() -> None:
    """Both are 409."""
    assert parse_conflicts(Conflict(409, "Conflict", message="the object has been modified")) == ()
