"""What the metrics say at this moment, as Prometheus reads it; it counts nothing itself."""

from prometheus_client import REGISTRY


def sample(name: str, **labels: str) -> float:
    """The value of a sample; 0 where there is none yet."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


def writes(purpose: str) -> float:
    """How many of admission's writes to the ledger had this purpose."""
    return sample("sharedvip_ledger_writes_total", purpose=purpose)
