"""Worker processes: take submissions from the queue, verify them, and record the verdict."""
