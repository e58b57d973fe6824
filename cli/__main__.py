"""``python -m cli``: the ``sharedvip`` command without an installed script; it never does anything else."""

from cli.main import main

main()
