"""Timing what has first been checked against the textbook's trajectory: `fastlr bench` and the suite in `bench/`."""
