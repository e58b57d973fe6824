"""What can be wrong with key material; no message ever shows a key."""


class MaterialError(Exception):
    """A certificate, key or name that cannot be read, or that does not fit the others. The message says which."""
