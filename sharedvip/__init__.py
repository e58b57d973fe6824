"""Who may share a VIP: the rules and the data they speak of; no I/O, no clock, no randomness, no third party.

Rule 1: everything that decides who may share a VIP is in this package.
Rule 2: nothing in this package knows who asks (admission, the reconciler, a check of manifests, an audit).
"""
