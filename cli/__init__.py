"""The ``sharedvip`` command (not written yet); it only puts the other packages together."""
