"""What users write is not kept for longer than it is looked at, however long it is."""

import tracemalloc

from sharedvip.addresses import canonical, parse_address
from sharedvip.annotations import SHARED_VIP
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


def test_only_short_texts_are_one_object_for_all() -> None:
    """Of them a cache of 10,000 Services has many; a long one would be kept for good by Python 3.12."""

    def key_of(length: int) -> str | None:
        notes = {SHARED_VIP: "k" * length}
        return parse_service({"metadata": {"annotations": notes}}).sharing_key

    assert key_of(63) is key_of(63)
    assert key_of(LENGTH) is not key_of(LENGTH)
