"""The run directory: its schema, writer, reader and timings.

manifest.json        format version, identity (hashed) and provenance
episodes.jsonl       one line per finished episode
steps.parquet        one row per turn
generations.parquet  one row per decoding round of the agent
timings.json         all measured times
scores.json          the scores; its presence means that the run is finished
report.html          the same for people

While running, the rows of each episode are in ``parts/`` and its line in episodes.jsonl is
written last. Finishing sorts by (task, seed, user, policy), so that the files do not depend on
the order in which episodes ended.
"""
