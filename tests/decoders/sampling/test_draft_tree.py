"""Verification of draft trees node by node, level by level and all at once."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from tasteshift.decoders import DECODERS, exact_dynamic, make_decoder, mcsd, target_init
from tasteshift.decoders.base import ModelPair
from tasteshift.decoders.sampling.distribution import Sampling
from tasteshift.decoders.sampling.draft_tree import StaticDraftTree, on_demand
from tasteshift.decoders.sampling.noise import VERIFICATION, Stream
from tasteshift.decoders.sampling.static_tree import make_tree
from tasteshift.decoders.sampling.verification import NONE

PROMPTS = ((1, 2, 3), (4,), tuple(range(1, 25)) * 6)
MODULES = (mcsd, target_init, exact_dynamic)


def all_at_once(evaluate, nodes, like, group=None):
    """Evaluate whole trees, as on a GPU."""
    return on_demand(evaluate, nodes, like, lambda node: nodes)


@pytest.mark.parametrize("temperature", [0.0, 0.9])
@pytest.mark.parametrize("name", DECODERS.names())
def test_verifying_whole_trees_gives_the_same_as_node_by_node(
    pair: ModelPair, name: str, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = make_decoder(name, pair, temperature=temperature)
    one_by_one = [decoder.generate(prompt, 30, seed) for seed, prompt in enumerate(PROMPTS)]
    for one in MODULES:
        monkeypatch.setattr(one, "on_demand", all_at_once)
    for seed, prompt in enumerate(PROMPTS):
        written = decoder.generate(prompt, 30, seed)
        assert written.tokens == one_by_one[seed].tokens
        assert [(r.drafted_nodes, r.accepted) for r in written.rounds] == [
            (r.drafted_nodes, r.accepted) for r in one_by_one[seed].rounds
        ]


def draft_tree(tree, tokens, drafted, probs) -> StaticDraftTree:
    return StaticDraftTree(
        tokens, drafted, tree.depths, tree.mask, ("draft",) * len(tree), shape=tree, probs=probs
    )


@pytest.mark.parametrize("nodes", [range(10), range(2, 7), range(4, 5), range(1, 10)])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_consecutive_nodes_get_the_results_of_each_alone(nodes: range, temperature: float) -> None:
    """On a (3, 2) tree with one child that was not drawn."""
    tree, rng = make_tree((3, 2)), np.random.default_rng(0)
    tables = [torch.from_numpy(rng.dirichlet(np.ones(6), n)).float() for n in (1, 3)]
    tokens = torch.tensor([0, 1, 2, 3, 4, 5, 0, 1, 2, 3])
    drawn = torch.ones(10, dtype=torch.bool)
    drawn[5] = False
    drafted = draft_tree(tree, tokens, drawn, tables)
    logits = torch.from_numpy(rng.normal(size=(10, 6))).float()
    test_children = partial(
        drafted.test_children,
        sampling=Sampling(temperature),
        uniforms=Stream(1).at(0, VERIFICATION).uniforms(10, 3),
    )
    accepted, rest = test_children(nodes, target_logits=logits[nodes.start : nodes.stop])
    for row, node in enumerate(nodes):
        (alone,), (probs,) = test_children(
            range(node, node + 1), target_logits=logits[node : node + 1]
        )
        assert accepted[row] == alone
        assert (rest[row] == probs).all()
        assert alone < len(tree.children(node))
    if nodes.stop == 10:
        assert (accepted[-1], tree.children(9)) == (NONE, range(0))


def test_greedy_verification_accepts_the_child_with_the_targets_token() -> None:
    tree = make_tree((3,))
    drawn = torch.tensor([True, True, False, True])
    drafted = draft_tree(tree, torch.tensor([9, 4, 2, 5]), drawn, [torch.zeros(1, 6)])
    for token, child in ((4, 0), (5, 2), (2, NONE), (0, NONE)):
        logits = torch.eye(6)[token : token + 1]
        accepted, rest = drafted.test_children(range(1), logits, Sampling(), torch.zeros(4, 3))
        assert (accepted.tolist(), rest.argmax().item()) == ([child], token)


def test_a_gpu_evaluates_all_nodes_at_once_and_a_cpu_those_it_reaches() -> None:
    evaluated: list[range] = []

    def evaluate(nodes: range) -> tuple[torch.Tensor, torch.Tensor]:
        evaluated.append(nodes)
        table = torch.tensor([*nodes])
        return table, -table

    result = on_demand(evaluate, range(2, 9), torch.empty(0, device="meta"))
    assert [result(node) for node in (4, 2, 8)] == [[4, -4], [2, -2], [8, -8]]
    assert evaluated == [range(2, 9)]
    evaluated.clear()
    result = on_demand(evaluate, range(2, 9), torch.empty(0))
    assert [result(node) for node in (4, 2, 4)] == [[4, -4], [2, -2], [4, -4]]
    assert evaluated == [range(4, 5), range(2, 3)]
