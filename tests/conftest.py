"""A suite small enough for tests: two tasks on a small synthetic catalog."""

from hypothesis import settings

from tasteshift.suites.suite import SUITES, Suite, Task

SUITES.register(
    "smoke",
    Suite(
        name="smoke",
        version=1,
        summary="two small tasks for tests",
        tasks=(
            Task("smoke/stationary", "synthetic:60", "stationary", 3, 2, 2, 2, True),
            Task("smoke/abrupt-shift", "synthetic:60", "abrupt-shift", 3, 2, 7, 1),
        ),
    ),
)

settings.register_profile("compiled", deadline=None)
settings.load_profile("compiled")
