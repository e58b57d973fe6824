"""The whole of sharedvip on one machine's loopback: for the demo, as a playground, and for tests and benchmarks."""
