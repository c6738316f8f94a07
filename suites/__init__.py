"""Suites of tasks, the engine that runs them, reports, and comparisons."""
