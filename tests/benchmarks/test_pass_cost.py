"""Cost of forward passes: measured ratios, and bytes by hand."""

from __future__ import annotations

import pytest

from tasteshift.benchmarks.pass_cost import bytes_per_pass, floor_seconds, pass_seconds
from tasteshift.decoders.base import ModelPair


def test_a_pass_over_one_layer_costs_less_than_over_twelve(llama) -> None:
    """Timing noise may be large, but not as large as this ratio."""
    deep, shallow = llama(1, 12), llama(2, 1)
    draft, target = pass_seconds(ModelPair(deep, shallow, None, "steep"), 1, passes=9)
    assert 0 < draft < 0.7 * target


@pytest.mark.parametrize("tied", [False, True])
def test_bytes_per_pass_by_hand(llama, tied: bool) -> None:
    # 2 layers of 4·16² − 2·16·8 for attention, 3·16·32 for the rest, 2·16 for norms, then
    # the last norm and a head of 29·16; four bytes each
    weights = 2 * (4 * 256 - 256 + 3 * 512 + 32) + 16 + 29 * 16
    model = llama(1, 2, tied)
    assert bytes_per_pass(model) == 4 * weights
    assert floor_seconds(model, 1, times=1) > 0
