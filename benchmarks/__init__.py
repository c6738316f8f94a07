"""Measures of the product itself: how hard its scenarios are, and how fast its world is."""
