"""Fidelity checks: teacher-forced comparison of tokens, and tests of output distributions."""
