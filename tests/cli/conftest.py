"""Fixtures for the tests of ``cli`` on the real API server: those of ``cluster``, as there."""

from tests.cluster.conftest import connection, sharedvips

__all__ = ["connection", "sharedvips"]
