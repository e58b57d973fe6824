"""The rate at which the Controller is called."""

import pytest

from reconciler.avi_rate import TokenBucket


def test_calls_come_at_the_rate_after_the_burst() -> None:
    """No second ever sees more than the Controller's 32."""
    now = 0.0
    bucket = TokenBucket(25.0, now=lambda: now)
    waits = [bucket.reserve() for _ in range(32)]

    assert waits[:7] == [0.0] * 7
    assert sum(wait < 1.0 for wait in waits) <= 32
    assert waits[-1] == pytest.approx(1.0)
    now = 10.0
    assert bucket.reserve() == 0.0
