"""The only door to the Kubernetes API (not written yet); it decides nothing."""
