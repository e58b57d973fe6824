"""``python -m bench.reconcile``: measures as told; it never does anything else."""

from bench.reconcile.command import main

main()
