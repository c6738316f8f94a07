"""Routes of the board's web application, one module for each group of paths."""
