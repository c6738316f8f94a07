"""Packed linear maps against torch's matrix product."""

from __future__ import annotations

import pytest
import torch

from tasteshift.decoders.execution.linear import packed_linear


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("rows", [1, 2, 8, 45])
def test_packed_linear(rows: int, dtype: torch.dtype) -> None:
    noise = torch.Generator().manual_seed(rows)
    weight = torch.randn(33, 70, generator=noise).to(dtype)
    x = torch.randn(rows, 70, generator=noise).to(dtype)
    with torch.inference_mode():
        ours, exact = packed_linear(weight)(x), x.double() @ weight.double().T
    assert ours.dtype == dtype
    assert (ours - exact).abs().max() < 10 * torch.finfo(dtype).eps * exact.abs().max()


def test_strided_weights_and_rows() -> None:
    noise = torch.Generator().manual_seed(0)
    weight, x = torch.randn(40, 12, generator=noise).T, torch.randn(40, 6, generator=noise).T
    with torch.inference_mode():
        assert torch.allclose(packed_linear(weight)(x), x @ weight.T, atol=1e-4)
