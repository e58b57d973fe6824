"""``make bench-reconcile``: what it costs to build many groups on Avi, to follow a rollout, and to do nothing."""
