"""The ``sharedvip`` command: it puts the other packages together, and decides nothing they decide."""
