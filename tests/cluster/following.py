"""Waiting for what a reflector's copy is to show."""

import asyncio
from collections.abc import Callable
from typing import Any

from cluster.reflector import Reflector

DEADLINE_SECONDS = 30.0


async def becomes(reflector: Reflector[Any, Any], is_so: Callable[[], bool]) -> None:
    """Wait until it is so, looking again at every change."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not is_so():
            await reflector.next_change()
