"""Noise against the generator's published numbers and the distributions it should have."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from tasteshift.decoders.sampling.noise import BLOCK, VERIFICATION, Stream, bits
from tasteshift.errors import InputError

MASK = (1 << 64) - 1


def split_mix(seed: int, count: int) -> list[int]:
    """SplitMix64 as its authors wrote it, on unbounded integers."""
    found = []
    for _ in range(count):
        seed = (seed + 0x9E3779B97F4A7C15) & MASK
        z = ((seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        found.append(z ^ (z >> 31))
    return found


def unsigned(table: torch.Tensor) -> list[int]:
    return [number & MASK for number in table.tolist()]


def test_published_numbers() -> None:
    """The first five numbers of seed 1234567."""
    published = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert unsigned(bits(torch.tensor(1234567), 5)) == published == split_mix(1234567, 5)


@given(st.lists(st.integers(-(1 << 63), (1 << 63) - 1), min_size=1, max_size=3), st.integers(0, 40))
def test_any_run_of_any_key(keys: list[int], start: int) -> None:
    table = bits(torch.tensor(keys), 7, start)
    for key, row in zip(keys, table, strict=True):
        assert unsigned(row) == split_mix(key & MASK, start + 7)[start:]


def test_uniforms_and_exponentials_are_distributed_as_such() -> None:
    uniforms = Stream(3).at(0, VERIFICATION).uniforms(200_000).numpy()
    exponentials = Stream(3).at(0).exponentials(200_000).numpy()
    assert kstest(uniforms, "uniform").pvalue > 1e-3
    assert kstest(exponentials, "expon").pvalue > 1e-3
    assert 0 < uniforms.min() < uniforms.max() < 1
    assert exponentials.min() > 0


def test_neighbors_and_positions_are_independent() -> None:
    """Sums of two neighbors, and of one number at two positions, are triangular."""
    stream = Stream(4)
    one, other = (stream.at(position).uniforms(100_000).numpy() for position in (7, 8))
    triangle = lambda x: np.where(x < 1, x**2 / 2, 1 - (2 - x) ** 2 / 2)  # noqa: E731
    assert kstest(one[::2] + one[1::2], triangle).pvalue > 1e-3
    assert kstest(one + other, triangle).pvalue > 1e-3


def test_noise_depends_on_seed_prompt_and_position_only() -> None:
    stream = Stream(5, (1, 2))
    late, early = stream.at(9).uniforms(4).tolist(), stream.at(0).uniforms(4).tolist()
    again = Stream(5, [1, 2])
    assert again.at(0).uniforms(4).tolist() == early
    assert again.at(9).uniforms(4).tolist() == late
    others = [Stream(6, (1, 2)).at(0), Stream(5, (1, 3)).at(0), Stream(5, (1,)).at(0), stream.at(1)]
    others.append(stream.at(0, VERIFICATION))
    for other in others:
        assert not set(other.uniforms(4).tolist()) & set(early)


def test_a_call_continues_where_the_last_one_ended() -> None:
    whole, parts = Stream(5).at(3), Stream(5).at(3)
    table = whole.uniforms(3, 4)
    assert (torch.cat([parts.uniforms(5), parts.uniforms(7)]) == table.flatten()).all()
    assert (whole.exponentials(2) == parts.exponentials(2)).all()


def test_many_positions_at_once_equal_each_alone() -> None:
    stream = Stream(6, (3,))
    table = stream.exponentials([0, 7, 2], 40)
    for row, position in zip(table, (0, 7, 2), strict=True):
        assert (row == stream.at(position).exponentials(40)).all()


def test_long_runs_do_not_depend_on_blocks() -> None:
    stream, count = Stream(7), 3 * BLOCK + 5
    long, parts = stream.at(0).exponentials(count), stream.at(0)
    assert (long == torch.cat([parts.exponentials(some) for some in (5, BLOCK, 2 * BLOCK)])).all()
    assert (stream.exponentials([2, 0], BLOCK)[1] == long[:BLOCK]).all()


def test_positions_do_not_overlap() -> None:
    stream = Stream(5)
    first, second = stream.at(0).uniforms(100_000), stream.at(1).uniforms(4)
    assert not torch.isin(second, first).any()


@pytest.mark.parametrize("seed", [-1, 1 << 64, 1.5, "7", None, True])
def test_bad_seeds_are_refused(seed: object) -> None:
    with pytest.raises(InputError, match="seed"):
        Stream(seed)  # type: ignore[arg-type]
