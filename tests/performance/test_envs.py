"""How fast the world turns: rates are printed, ratios taken in one run are barred."""

import pytest

from tasteshift.benchmarks import env_speed

CONTENDERS = {
    "single": lambda: env_speed.single("synthetic", "gradual-drift"),
    "single, a million items": lambda: env_speed.single("synthetic:1000000", "gradual-drift"),
    "vector, all dynamics": lambda: env_speed.vector("synthetic", env_speed.ALL_TASKS, 16384, None),
    "vector, stationary": lambda: env_speed.vector("synthetic", "stationary", 16384, None),
}


@pytest.mark.parametrize("name", CONTENDERS)
def test_user_steps(benchmark, name):
    sprint = CONTENDERS[name]()
    steps = benchmark.pedantic(sprint, rounds=5, warmup_rounds=1)
    benchmark.extra_info["user_steps_per_s"] = steps / benchmark.stats.stats.median


def test_tens_of_times_the_peer():
    """Fifty times are promised (`tasteshift bench envs`); a busy machine may show fewer."""
    pytest.importorskip("sardine")
    rate = env_speed.interleaved(
        {
            "ours": env_speed.vector("synthetic", env_speed.ALL_TASKS, 16384, None),
            "peer": env_speed.sardine_peer(),
        }
    )
    assert rate["ours"] >= 30 * rate["peer"]


def test_a_step_costs_no_more_among_a_million_items():
    rate = env_speed.interleaved(
        {
            "few": env_speed.single("synthetic", "gradual-drift"),
            "many": env_speed.single("synthetic:1000000", "gradual-drift"),
        }
    )
    assert rate["few"] <= 1.2 * rate["many"]


def test_a_hundred_thousand_users_fit_in_a_gigabyte():
    assert env_speed.memory(100_000) < 1.0
