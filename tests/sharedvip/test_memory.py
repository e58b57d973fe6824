"""What users write is not kept for longer than it is looked at, however long it is."""

import tracemalloc

from sharedvip.addresses import canonical, parse_address
from sharedvip.ledger import object_name
from sharedvip.parse import parse_service

TEXTS = 200
LENGTH = 100_000


def test_long_texts_are_not_remembered() -> None:
    """The fuzzer saw the webhook grow: each cache kept 4,096 texts, and an annotation may have 256 KiB of them."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(TEXTS):
            text = f"{number}" * (LENGTH // len(f"{number}"))
            assert parse_address(text) is None
            assert canonical(text) == text
            assert len(object_name(text)) <= LENGTH + 17
            parse_service({"spec": {"ports": [{"port": 80, "name": text, "targetPort": text, "protocol": text}]}})
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert after - before < TEXTS * LENGTH / 20
