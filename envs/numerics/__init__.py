"""Bit-exact arithmetic: elementary functions, fixed-point vectors, Philox, compilation."""
