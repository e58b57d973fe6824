"""What the process keeps of the memory that its callers made it use for a moment: next to nothing; it holds no data.

Large bodies (160 of 7 MiB, twelve at once) made 600 MiB of a webhook that may have 256: glibc serves a size from its
heap as soon as it has once seen it freed, and a heap with holes shrinks no more.
"""

import asyncio
import contextlib
import ctypes
import gc
from typing import Final, Never

LARGE_BYTES: Final = 512 * 1024
"""From here on a block is the system's own, and given back with it. A connection's buffers (256 KiB) are below."""
SPARE_BYTES: Final = 4 * 1024 * 1024
"""So much free memory at its end the heap keeps, rather than asking for it again with each connection."""
COLLECT_AFTER: Final = 20_000
"""More objects than before, instead of Python's 700: what a request leaves behind is gone without the collector."""

TRIM_SECONDS: Final = 10.0
"""So often: it takes 2 to 3 ms where 20 MiB are given back (measured), and next to nothing where there is nothing."""

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
"""Source: glibc's ``malloc.h``."""


def return_large_blocks() -> None:
    """From now on; nothing where the C library is not glibc."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        glibc = ctypes.CDLL(None)
        glibc.mallopt(_MMAP_THRESHOLD, LARGE_BYTES)
        glibc.mallopt(_TRIM_THRESHOLD, SPARE_BYTES)


def settle() -> None:
    """Spare the collector the modules and filled caches there are: looking through them takes 50 ms each time.

    And give back what importing and filling needed for a moment.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)
    _trim()


async def keep_trimmed(every_seconds: float = TRIM_SECONDS) -> Never:
    """Give back what lies free between blocks in use: of itself glibc gives back only what is free at its heap's end.

    Else a busy process looks as if it grew without end, while what it uses does not grow at all (``docs/adr/0006``).
    """
    while True:
        await asyncio.sleep(every_seconds)
        _trim()


def _trim() -> None:
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
