"""Verification of submitted runs: why a run is accepted or refused."""
