"""The generator against the Random123 known answers, and the addressing of draws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tasteshift.envs.numerics import philox
from tasteshift.envs.numerics.philox import Purpose

ONES = 0xFFFFFFFF
KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ((ONES,) * 4, (ONES,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_random123_known_answers(counter, key, answer):
    for copies in (1, 7):  # one block, and enough of them that the loop vectorizes
        words = [np.full(copies, word, dtype=np.uint64) for word in counter]
        philox.philox(*words, np.uint64(key[0] + (key[1] << 32)))
        assert {" ".join(f"{int(w):08x}" for w in block) for block in zip(*words, strict=True)} == {
            answer
        }


def test_one_block_gives_four_normals():
    draws = philox.normals(9, 4, np.arange(3), Purpose.DRIFT, 10)
    assert draws.shape == (3, 10)
    for day in range(3):
        for k in range(10):
            words = [np.array([w], np.uint64) for w in (k // 4, 4, day, int(Purpose.DRIFT))]
            philox.philox(*words, np.uint64(9))
            p = (int(words[k % 4][0]) + 0.5) / 2**32
            assert draws[day, k] == pytest.approx(stats.norm.ppf(p), rel=1e-12, abs=1e-12)
    many = philox.normals(0, 0, 0, Purpose.DRIFT, 40_000)
    assert stats.kstest(many, "norm").pvalue > 0.01


def test_draws_are_uniform_normal_and_gumbel():
    index = np.arange(20_000)
    first, second = philox.uniforms(3, 1, 2, Purpose.RESPONSE, index)
    assert stats.kstest(first, "uniform").pvalue > 0.01
    assert stats.kstest(second, "uniform").pvalue > 0.01
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.03
    normal = philox.normal(3, 1, 2, Purpose.DRIFT, index)
    assert stats.kstest(normal, "norm").pvalue > 0.01
    assert stats.kstest(philox.gumbel(first), "gumbel_r").pvalue > 0.01


@given(seed=st.integers(0, 2**64 - 1), users=st.lists(st.integers(0, 10**6), min_size=1))
def test_a_draw_depends_on_its_address_alone(seed, users):
    batch = philox.uniform(seed, np.array(users), 5, Purpose.SPEECH)
    single = [float(philox.uniform(seed, user, 5, Purpose.SPEECH)) for user in users]
    assert batch.tolist() == single
    assert ((batch > 0) & (batch < 1)).all()


def test_every_part_of_the_address_matters():
    draws = {
        float(philox.uniform(*address))
        for address in (
            (0, 0, 0, Purpose.DRIFT, 0),
            (1, 0, 0, Purpose.DRIFT, 0),
            (2**40, 0, 0, Purpose.DRIFT, 0),
            (0, 1, 0, Purpose.DRIFT, 0),
            (0, 0, 1, Purpose.DRIFT, 0),
            (0, 0, 0, Purpose.SPEECH, 0),
            (0, 0, 0, Purpose.DRIFT, 1),
        )
    }
    assert len(draws) == 7
