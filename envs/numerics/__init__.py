"""Bit-exact arithmetic: elementary functions, the fixed-point grid, Philox and compiled kernels."""
