"""The guarantees of admission, tried on a real control plane until something gives: the programs of ``make soak``.

The judge is always the stored world: Services are listed and the rules are run over them. What the webhook itself
answered is only counted.
"""
