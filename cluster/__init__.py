"""The only door to the Kubernetes API: what is observed, read and written there; it never decides."""
