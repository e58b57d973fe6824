"""A real control plane on loopback, built from pinned Go modules; it needs no container and knows no other package."""
