"""The admission webhook: says no at once, in words a person can act on; it programs nothing and knows no Avi."""
