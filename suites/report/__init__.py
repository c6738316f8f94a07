"""report.html: a finished run for people, in one file that needs no network."""
