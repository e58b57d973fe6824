"""Chance that repeats itself."""

import random


def chance(seed: int = 1) -> random.Random:
    """The same each time."""
    return random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
