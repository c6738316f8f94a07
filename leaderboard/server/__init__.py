"""The board as an HTTP service: FastAPI application, routes, and worker processes."""
