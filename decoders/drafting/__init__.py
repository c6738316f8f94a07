"""Draft-token sources, calibration, planning and cost profiles of `exact-dynamic`."""
