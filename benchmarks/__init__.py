"""Benchmarks of the product itself: environment speed, scenario difficulty, decoders."""
