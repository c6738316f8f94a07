"""Speed and memory of the environments: rates are recorded, interleaved ratios are bounded."""

import pytest

from tasteshift.benchmarks import env_speed

ROLLOUTS = {
    "single": lambda: env_speed.single_rollout("synthetic", "gradual-drift"),
    "single, a million items": lambda: env_speed.single_rollout(
        "synthetic:1000000", "gradual-drift"
    ),
    "vector, all dynamics": lambda: env_speed.vector_rollout(
        "synthetic", env_speed.ALL_DYNAMICS, 16384, None
    ),
    "vector, stationary": lambda: env_speed.vector_rollout("synthetic", "stationary", 16384, None),
}


@pytest.mark.parametrize("name", ROLLOUTS)
def test_user_steps(benchmark, name):
    rollout = ROLLOUTS[name]()
    steps = benchmark.pedantic(rollout, rounds=5, warmup_rounds=1)
    benchmark.extra_info["user_steps_per_s"] = steps / benchmark.stats.stats.median


def test_the_vector_environment_is_tens_of_times_faster_than_sardine():
    """The project promises fifty (`tasteshift bench envs`); a busy machine may show fewer."""
    pytest.importorskip("sardine")
    rate = env_speed.interleaved_rates(
        {
            "tasteshift": env_speed.vector_rollout(
                "synthetic", env_speed.ALL_DYNAMICS, 16384, None
            ),
            "sardine": env_speed.sardine_rollout(),
        }
    )
    assert rate["tasteshift"] >= 30 * rate["sardine"]


def test_a_step_costs_no_more_with_a_million_items():
    rate = env_speed.interleaved_rates(
        {
            "few": env_speed.single_rollout("synthetic", "gradual-drift"),
            "many": env_speed.single_rollout("synthetic:1000000", "gradual-drift"),
        }
    )
    assert rate["few"] <= 1.2 * rate["many"]


def test_a_hundred_thousand_users_fit_in_a_gigabyte():
    assert env_speed.peak_memory_gb(100_000) < 1.0
