"""A real control plane on loopback, built from pinned Go modules (its Python is not written yet)."""
