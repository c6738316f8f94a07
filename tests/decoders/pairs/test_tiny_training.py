"""Training of pair tiny: its documents, and blockwise attention."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch.nn import functional

from tasteshift.benchmarks.workloads import beginnings, held_out
from tasteshift.envs.catalogs.load import load_catalog

FOLDER = Path(__file__).parents[3] / "training"
SCRIPTS = ("tiny_documents", "tiny_episodes", "tiny_training")


@pytest.fixture(scope="module")
def scripts() -> Iterator[dict[str, ModuleType]]:
    """The scripts by name; they import each other from their own folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        yield {name: import_module(name) for name in SCRIPTS}
    for name in SCRIPTS:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("length", [1, 127, 128, 129, 300])
def test_blockwise_attention_equals_full_attention(
    scripts: dict[str, ModuleType], length: int
) -> None:
    torch.manual_seed(length)
    query = torch.randn(2, 4, length, 8, requires_grad=True)
    key, value = (torch.randn(2, 2, length, 8, requires_grad=True) for _ in range(2))
    whole = functional.scaled_dot_product_attention(
        query, key, value, is_causal=True, enable_gqa=True
    ).transpose(1, 2)
    blocks, _ = scripts["tiny_training"].causal_blocks(None, query, key, value, None, 8**-0.5)
    torch.testing.assert_close(blocks, whole, rtol=1e-5, atol=1e-6)
    gradient = torch.randn_like(whole)
    for one, other in zip(
        torch.autograd.grad(blocks, (query, key, value), gradient),
        torch.autograd.grad(whole, (query, key, value), gradient),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_copying_drills_repeat_listed_entries_without_duplicates(
    scripts: dict[str, ModuleType],
) -> None:
    for drill in scripts["tiny_documents"].drills(40, 7):
        slate = json.loads(drill.text)["slate"]
        listed = [line.partition("}")[0] + "}" for line in drill.prompt.splitlines()]
        entries = [json.loads(line) for line in listed if line.startswith('{"id":')]
        assert len({entry["id"] for entry in slate}) == len(slate) == min(len(entries), 10)
        assert all(entry in entries for entry in slate)


def test_descriptions_in_the_benchmark_are_held_out_of_training(
    scripts: dict[str, ModuleType],
) -> None:
    catalog = load_catalog("movielens-100k")
    documents = scripts["tiny_documents"].descriptions(catalog, "film", 0)
    learned = "\n" + "\n".join(document.text for document in documents)
    asked = [text for text in beginnings("movielens-100k") if text.endswith(" is a")][:100]
    assert len(asked) == 100
    assert not any(f"\n{text}" in learned for text in asked)
    known = [title for title in map(catalog.label, range(len(catalog))) if not held_out(title)]
    assert 0.8 < len(known) / len(catalog) < 0.95
    assert all(f"\n{title} is a film" in learned for title in known)
