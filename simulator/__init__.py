"""An Avi Controller over HTTPS for tests, demo and bench; it knows none of the code that it is to judge."""
