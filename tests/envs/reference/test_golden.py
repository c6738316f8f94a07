"""Golden traces: bit-exact episodes with any vector unit, BLAS, compiler and thread count."""

import os
import subprocess
import sys

import pytest

from tasteshift.envs.reference.golden import digest, golden
from tasteshift.envs.simulator.scenarios import SCENARIOS
from tasteshift.envs.simulator.world import SIMULATOR_VERSION


@pytest.mark.parametrize("scenario", SCENARIOS.names())
def test_episodes_equal_the_recorded_digests(scenario):
    assert digest(scenario) == golden()[scenario]


def test_every_scenario_and_the_version_are_recorded():
    assert list(golden()) == ["simulator", *SCENARIOS.names()]
    assert golden()["simulator"] == SIMULATOR_VERSION


@pytest.mark.parametrize(
    "machine",
    [
        {"NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_ICL"},
        {"NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F AVX512CD AVX512_SKX"},
        {"OPENBLAS_CORETYPE": "Prescott", "OMP_NUM_THREADS": "2"},
        {"NUMBA_CPU_NAME": "generic"},
        {"NUMBA_DISABLE_JIT": "1"},
    ],
    ids=lambda machine: ",".join(machine),
)
def test_other_vector_units_blas_and_compilers_give_the_same_digests(machine, tmp_path):
    environment = {**os.environ, **machine, "PYTHONWARNINGS": "ignore"}
    if "NUMBA_CPU_NAME" in machine:
        environment["TASTESHIFT_CACHE"] = str(tmp_path)
    names = ["influence", "gradual-drift", "satiation"]
    code = f"from tasteshift.envs.reference.golden import differences; print(differences({names}))"
    found = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "[]", found.stderr
