"""A tree judged node by node, level by level and all at once."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from tasteshift.decoders import DECODERS, exact_dynamic, make_decoder, mcsd, target_init
from tasteshift.decoders.base import ModelPair
from tasteshift.decoders.sampling import draft_tree as judging
from tasteshift.decoders.sampling.distribution import Sampling
from tasteshift.decoders.sampling.draft_tree import Drafted, foreseen
from tasteshift.decoders.sampling.noise import VERIFICATION, Stream
from tasteshift.decoders.sampling.trees import make_tree
from tasteshift.decoders.sampling.verification import NONE

PROMPTS = ((1, 2, 3), (4,), tuple(range(1, 25)) * 6)
JUDGES = (mcsd, target_init, exact_dynamic)


def beforehand(ask, nodes, place, along=None):
    """Whole trees at once, as a GPU judges them."""
    return foreseen(ask, nodes, place, lambda node: nodes)


@pytest.mark.parametrize("temperature", [0.0, 0.9])
@pytest.mark.parametrize("name", DECODERS.names())
def test_whole_trees_are_judged_as_nodes_are(
    pair: ModelPair, name: str, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = make_decoder(name, pair, temperature=temperature)
    one_by_one = [decoder.generate(prompt, 30, seed) for seed, prompt in enumerate(PROMPTS)]
    for one in JUDGES:
        monkeypatch.setattr(one, "foreseen", beforehand)
    for seed, prompt in enumerate(PROMPTS):
        written = decoder.generate(prompt, 30, seed)
        assert written.tokens == one_by_one[seed].tokens
        assert [(r.drafted_nodes, r.accepted) for r in written.rounds] == [
            (r.drafted_nodes, r.accepted) for r in one_by_one[seed].rounds
        ]


@pytest.mark.parametrize("nodes", [range(10), range(2, 7), range(4, 5), range(1, 10)])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_any_run_of_nodes(nodes: range, temperature: float) -> None:
    """Of (3, 2) with a child that nobody drew: each node has the verdict that it has alone."""
    tree, rng = make_tree((3, 2)), np.random.default_rng(0)
    tables = [torch.from_numpy(rng.dirichlet(np.ones(6), n)).float() for n in (1, 3)]
    tokens = torch.tensor([0, 1, 2, 3, 4, 5, 0, 1, 2, 3])
    drawn = torch.ones(10, dtype=torch.bool)
    drawn[5] = False
    drafted = Drafted(tokens, drawn, tree, tables)
    logits = torch.from_numpy(rng.normal(size=(10, 6))).float()
    judge = partial(
        drafted.judged,
        sampling=Sampling(temperature),
        uniforms=Stream(1).at(0, VERIFICATION).uniforms(10, 3),
    )
    stands, left = judge(nodes, logits=logits[nodes.start : nodes.stop])
    for row, node in enumerate(nodes):
        (alone,), (law,) = judge(range(node, node + 1), logits=logits[node : node + 1])
        assert stands[row] == alone
        assert (left[row] == law).all()
        assert alone < len(tree.children(node))
    if nodes.stop == 10:
        assert (stands[-1], drafted.tree.children(9)) == (NONE, range(0))


def test_a_greedy_node_keeps_the_child_that_holds_the_targets_token() -> None:
    tree = make_tree((3,))
    drawn = torch.tensor([True, True, False, True])
    drafted = Drafted(torch.tensor([9, 4, 2, 5]), drawn, tree, [torch.zeros(1, 6)])
    for token, child in ((4, 0), (5, 2), (2, NONE), (0, NONE)):
        logits = torch.eye(6)[token : token + 1]
        stands, left = drafted.judged(range(1), Sampling(), logits, torch.zeros(4, 3))
        assert (stands.tolist(), left.argmax().item()) == ([child], token)


def test_a_gpu_is_asked_once_and_a_cpu_as_often_as_one_comes_by() -> None:
    asked: list[range] = []

    def ask(nodes: range) -> tuple[torch.Tensor, torch.Tensor]:
        asked.append(nodes)
        table = torch.tensor([*nodes])
        return table, -table

    told = judging.foreseen(ask, range(2, 9), torch.device("cuda"))
    assert [told(node) for node in (4, 2, 8)] == [[4, -4], [2, -2], [8, -8]]
    assert asked == [range(2, 9)]
    asked.clear()
    told = judging.foreseen(ask, range(2, 9), torch.device("cpu"))
    assert [told(node) for node in (4, 2, 4)] == [[4, -4], [2, -2], [4, -4]]
    assert asked == [range(4, 5), range(2, 3)]
