"""Target-initialized decoding against a reference without caches, masks or trees."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from tasteshift.decoders.autoregressive import Autoregressive
from tasteshift.decoders.base import ModelPair
from tasteshift.decoders.drafting.decision_model import DecisionModel, perceptron
from tasteshift.decoders.fidelity.distribution_tests import g_test
from tasteshift.decoders.pairs.smollm2 import early_exit
from tasteshift.decoders.rounds import Verified
from tasteshift.decoders.sampling.static_tree import make_tree
from tasteshift.decoders.sampling.verification import residual
from tasteshift.decoders.target_init import TargetInit
from tasteshift.decoders.target_init_dynamic import TargetInitDynamic
from tasteshift.errors import InputError

Llama = Callable[..., LlamaForCausalLM]
PROMPTS = [
    tuple(np.random.default_rng(n).integers(0, 31, size).tolist()) for n, size in enumerate((1, 7))
]
SHAPES = [(2, 3, 2), (3, 1, 1, 1), (1, 2, 2), (5, 2, 1)]


@pytest.fixture(scope="module")
def close(llama: Llama) -> ModelPair:
    """A draft that agrees with its target about half of the time."""
    target, draft = llama(4), llama(4)
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in draft.parameters():
            weight += 0.03 * torch.randn(weight.shape, generator=noise)
    return ModelPair(target, draft, None, "close")


@pytest.fixture(scope="module")
def exits(llama: Llama) -> ModelPair:
    """A draft that is the target's first layer."""
    target = llama(5)
    return ModelPair(target, early_exit(target, 1), None, "exits")


def disagreeing_pair(llama: Llama, draft: int = 21) -> ModelPair:
    """A target over four tokens and a draft that disagrees with it."""
    shape = {"vocab": 4, "layers": 1, "hidden": 8, "sharpness": 12.0}
    return ModelPair(llama(2, **shape), llama(draft, **shape), None, "disagreeing")


def ranked(model: LlamaForCausalLM, text: Sequence[int]) -> list[int]:
    """Tokens by their logits after a text, best first."""
    with torch.inference_mode():
        return (-model(torch.tensor([list(text)])).logits[0, -1]).argsort(stable=True).tolist()


def reference(
    pair: ModelPair, prompt: Sequence[int], k: Sequence[int], limit: int
) -> tuple[list[int], list[int]]:
    """The greedy algorithm without caches: the new tokens and how many each round accepted."""
    text, accepted = list(prompt), []
    while len(text) < len(prompt) + limit:
        paths = []
        for root in ranked(pair.target, text)[: k[0]]:
            path = [root]
            for width in k[1:]:
                wanted = ranked(pair.target, text + path)[0]
                if wanted not in ranked(pair.draft, text + path)[:width]:
                    break
                path.append(wanted)
            paths.append(path)
        longest = next(p for p in paths if len(p) == max(map(len, paths)))
        text += longest
        accepted.append(len(longest) - 1)
    return text[len(prompt) : len(prompt) + limit], accepted


@pytest.mark.parametrize("k", SHAPES)
@pytest.mark.parametrize("which", ["pair", "close", "exits"])
def test_greedy_text_and_acceptance_equal_the_reference(
    which: str, k: tuple[int, ...], request: pytest.FixtureRequest
) -> None:
    pair = request.getfixturevalue(which)
    for prompt in PROMPTS:
        generation = TargetInit(pair, k=k).generate(prompt, 20)
        tokens, accepted = reference(pair, prompt, k, 20)
        assert list(generation.tokens) == tokens
        assert [r.accepted for r in generation.rounds] == accepted
    assert which == "pair" or max(accepted) > 0


def test_dynamic_without_a_decision_model_drafts_chains(close: ModelPair) -> None:
    for prompt in PROMPTS:
        generation = TargetInitDynamic(close, width=4, depth=3, decision="off").generate(prompt, 20)
        tokens, accepted = reference(close, prompt, (4, 1, 1, 1), 20)
        assert list(generation.tokens) == tokens
        assert [r.accepted for r in generation.rounds] == accepted


def test_greedy_text_is_lossless_with_one_root_only(close: ModelPair, pair: ModelPair) -> None:
    differ = 0
    for models in (close, pair):
        plain = Autoregressive(models)
        for prompt in PROMPTS:
            text = plain.generate(prompt, 30).tokens
            assert TargetInit(models, k=(1, 3, 2)).generate(prompt, 30).tokens == text
            assert TargetInitDynamic(models, width=1).generate(prompt, 30).tokens == text
            differ += TargetInit(models).generate(prompt, 30).tokens != text
            differ += TargetInitDynamic(models).generate(prompt, 30).tokens != text
    assert differ >= 4


class NoResidual(TargetInit):
    """Wrong rule of the authors' code: resamples from p where no token below is accepted."""

    def verify(self, tree, target_logits, text):
        """Forget the residual where nothing was accepted."""
        path, token, pending = super().verify(tree, target_logits, text)
        p = self.sampling.probs(target_logits[path[0] - 1])
        return Verified(path, token, pending if len(path) > 1 else p)


class EarlierQ(TargetInit):
    """Wrong rule of the authors' dynamic code: q of one position earlier in the residual."""

    def verify(self, tree, target_logits, text):
        """Subtract the wrong q after a rejection."""
        path, token, pending = super().verify(tree, target_logits, text)
        if len(path) == 1 or len(path) > self.max_depth:
            return Verified(path, token, pending)
        p, q = self.sampling.probs(target_logits[path[-1] - 1]), tree.probs[len(path) - 1][0]
        return Verified(path, token, residual(p, q))


@pytest.mark.parametrize(
    ("kind", "options", "draft", "exact"),
    [
        (TargetInit, {"k": (1, 2, 1)}, 21, True),
        (TargetInitDynamic, {"width": 1, "depth": 2}, 22, True),
        (TargetInit, {"k": (2, 2, 1)}, 21, False),
        (TargetInitDynamic, {"width": 2, "depth": 2}, 21, False),
        (NoResidual, {"k": (1, 2, 1)}, 21, False),
        (EarlierQ, {"k": (1, 1, 1)}, 22, False),
    ],
)
def test_joint_distribution_of_three_tokens(
    llama: Llama, kind, options, draft: int, exact: bool
) -> None:
    """Texts of three tokens against what plain forwards of the target give: 64 cells."""
    pair, prompt, draws = disagreeing_pair(llama, draft), (1, 3, 0, 2), 400
    texts = torch.tensor([[*prompt, x, y, 0] for x in range(4) for y in range(4)])
    with torch.inference_mode():
        p = pair.target(texts).logits[:, 3:6].double().softmax(-1).reshape(4, 4, 3, 4).numpy()
    joint = p[0, 0, 0][:, None, None] * p[:, 0, 1][:, :, None] * p[:, :, 2]
    counts = np.zeros(joint.shape)
    decoder = kind(pair, temperature=1.0, **options)
    for seed in range(draws):
        counts[decoder.generate(prompt, 3, seed=seed).tokens] += 1
    chance, cells = g_test(counts.ravel(), draws * joint.ravel())
    assert cells > 10
    assert chance > 1e-3 if exact else chance < 1e-9


def test_the_first_root_is_kept_where_nothing_is_accepted(pair: ModelPair) -> None:
    generation = TargetInit(pair, k=(4, 1, 1)).generate(PROMPTS[1], 30)
    text, fell_back = list(PROMPTS[1]), 0
    for r in generation.rounds:
        root = generation.tokens[len(text) - len(PROMPTS[1])]
        if r.accepted == 0:
            assert root == ranked(pair.target, text)[0]
            fell_back += 1
        assert root in ranked(pair.target, text)[:4]
        text += generation.tokens[len(text) - len(PROMPTS[1]) :][: r.emitted]
    assert fell_back > 0


@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0])
def test_counts_by_hand_where_everything_is_accepted(
    identical: ModelPair, temperature: float
) -> None:
    """(2, 4, 4, 1, 1): 8 + 32 + 32 + 32 draft tokens below 2 roots; 5 tokens a round, 23 in all."""
    generation = TargetInit(identical, temperature=temperature).generate(PROMPTS[1], 23)
    assert [r.accepted for r in generation.rounds] == [4] * 5
    assert [r.emitted for r in generation.rounds] == [5, 5, 5, 5, 3]
    for r in generation.rounds:
        assert (r.max_depth, r.drafted_depth) == (4, 4)
        assert (r.drafted_nodes, r.verified_nodes) == (104, 106)
        assert r.sources == ("draft",) * 4
    assert generation.acceptance_rate == generation.acceptance_rate_drafted == 1.0
    assert generation.mean_acceptance_length == 5.0
    assert generation.first_token_seconds > 0


def test_counts_of_the_default_setting(identical: ModelPair) -> None:
    generation = TargetInitDynamic(identical).generate(PROMPTS[1], 12)
    assert [(r.drafted_nodes, r.verified_nodes) for r in generation.rounds] == [(80, 96)] * 2
    assert [(r.accepted, r.emitted) for r in generation.rounds] == [(5, 6)] * 2


def constant(prob: float, kind: str = "hard", features: int = 11) -> DecisionModel:
    """A decision model that always gives this probability."""
    network = perceptron((features, 1))
    with torch.no_grad():
        network[0].weight.zero_()
        network[0].bias.fill_(float(np.log(prob / (1 - prob))))
    return DecisionModel(kind, network.eval())  # type: ignore[arg-type]


@pytest.mark.parametrize(("prob", "depth"), [(0.3, 1), (0.5, 3)])
@pytest.mark.parametrize(("kind", "features"), [("hard", 11), ("soft", 16)])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_decision_model_stops_drafting(
    close: ModelPair, prob: float, depth: int, kind: str, features: int, temperature: float
) -> None:
    model = constant(prob, kind, features)
    options = {"width": 4, "temperature": temperature}
    stopped = TargetInitDynamic(close, depth=3, decision=model, **options)
    shallow = TargetInitDynamic(close, depth=depth, decision="off", **options)
    ours, theirs = (decoder.generate(PROMPTS[1], 20) for decoder in (stopped, shallow))
    assert ours.tokens == theirs.tokens
    for one, other in zip(ours.rounds, theirs.rounds, strict=True):
        assert (one.drafted_depth, one.max_depth) == (depth, 3)
        assert (one.accepted, one.verified_nodes) == (other.accepted, 4 + 4 * depth)


def test_the_threshold_must_be_exceeded(identical: ModelPair) -> None:
    for threshold, depth in ((0.0, 5), (0.4, 5), (0.75, 1), (1.0, 1)):
        decoder = TargetInitDynamic(identical, decision=constant(0.6), threshold=threshold)
        generation = decoder.generate(PROMPTS[0], 12)
        assert {r.drafted_depth for r in generation.rounds} == {depth}
        assert generation.acceptance_rate_drafted == 1.0
        assert generation.acceptance_rate == pytest.approx(depth / 5)


class StopsAt(TargetInitDynamic):
    """Drafts to a given depth; records depths and masks of the target passes."""

    def __init__(self, pair: ModelPair, stop: int, **options) -> None:
        super().__init__(pair, decision="off", **options)
        self.stop, self.recorded = stop, []
        feed = self.target_model.feed

        def recording(tokens, depths=None, mask=None, logits=0):
            if mask is not None:
                self.recorded.append((np.array(depths), mask))
            return feed(tokens, depths, mask, logits)

        self.target_model.feed = recording  # type: ignore[method-assign]

    def drafts_on(self, tree: object, level: slice, draft_logits: object) -> bool:
        """Until the level before the last one has been read."""
        return level.stop < self.shape.levels[self.stop].stop


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_the_cut_mask_equals_the_one_built_for_that_depth(close: ModelPair, depth: int) -> None:
    decoder = StopsAt(close, depth, width=3, depth=4)
    rounds = decoder.generate(PROMPTS[1], 5).rounds
    tree = make_tree((3, *[1] * depth))
    assert len(decoder.recorded) == len(rounds)
    for depths, mask in decoder.recorded:
        assert mask.tolist() == tree.mask[1:, 1:].tolist()
        assert depths.tolist() == (tree.depths[1:] - 1).tolist()


@pytest.mark.parametrize("options", [{"k": (1, 2, 2)}, {"k": (3, 2, 1)}])
def test_a_stop_token_ends_the_text(llama: Llama, options: dict[str, tuple[int, ...]]) -> None:
    plain = TargetInit(ModelPair(llama(6), llama(6), None, "free"), **options)
    free = plain.generate(PROMPTS[1], 40).tokens
    eos = free[4]
    pair = ModelPair(llama(6, eos=eos), llama(6), None, "stops")
    generation = TargetInit(pair, **options).generate(PROMPTS[1], 40)
    assert generation.tokens == free[: free.index(eos) + 1]
    assert sum(r.emitted for r in generation.rounds) == len(generation.tokens)
    assert generation.rounds[-1].accepted == 2


@pytest.mark.parametrize("kind", [TargetInit, TargetInitDynamic])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_shorter_limit_gives_a_prefix_of_the_same_text(
    close: ModelPair, kind: type[TargetInit], temperature: float
) -> None:
    decoder = kind(close, temperature=temperature)
    whole = decoder.generate(PROMPTS[1], 12).tokens
    for limit in range(12):
        generation = decoder.generate(PROMPTS[1], limit)
        assert generation.tokens == whole[:limit]
        assert sum(r.emitted for r in generation.rounds) == limit
        assert all(r.emitted == r.accepted + 1 for r in generation.rounds[:-1])


@pytest.mark.parametrize("kind", [TargetInit, TargetInitDynamic])
def test_the_text_ends_where_the_context_ends(llama: Llama, kind: type[TargetInit]) -> None:
    pair = ModelPair(llama(1, context=20), llama(2, context=20), None, "short")
    assert len(kind(pair).generate(PROMPTS[1], 64).tokens) == 13


@pytest.mark.parametrize("kind", [TargetInit, TargetInitDynamic])
def test_text_depends_on_the_seed_and_not_on_earlier_calls(
    close: ModelPair, kind: type[TargetInit]
) -> None:
    decoder = kind(close, temperature=1.0, seed=3)
    first = decoder.generate(PROMPTS[1], 20)
    decoder.generate(PROMPTS[0], 9, seed=8)
    again = decoder.generate(PROMPTS[1], 20)
    assert again.tokens == first.tokens
    assert [r.accepted for r in again.rounds] == [r.accepted for r in first.rounds]
    assert kind(close, temperature=1.0).generate(PROMPTS[1], 20, seed=3).tokens == first.tokens
    assert decoder.generate(PROMPTS[1], 20, seed=4).tokens != first.tokens


def test_more_roots_and_siblings_than_tokens(llama: Llama) -> None:
    """Of four tokens two keep mass: 2 roots, and 2 children each."""
    pair, prompt = disagreeing_pair(llama), (1, 3, 0, 2)
    for options, roots in (({}, 4), ({"temperature": 1.0, "top_k": 2}, 2)):
        decoder = TargetInit(pair, k=(6, 9), **options)
        for r in decoder.generate(prompt, 12).rounds:
            assert r.drafted_nodes <= roots**2
            assert r.verified_nodes == 60
    dynamic = TargetInitDynamic(pair, depth=2, temperature=1.0, top_k=1, decision="off")
    plain = Autoregressive(pair, temperature=1.0, top_k=1)
    generation = dynamic.generate(prompt, 12)
    assert generation.tokens == plain.generate(prompt, 12).tokens
    assert all(r.drafted_nodes == 2 for r in generation.rounds)


def test_config_holds_all_that_decides_the_text(pair: ModelPair) -> None:
    assert TargetInit(pair).config()["k"] == [2, 4, 4, 1, 1]
    config = TargetInitDynamic(pair, decision=constant(0.5), threshold=0.2).config()
    assert config["decoder"] == "target-init-dynamic"
    assert config["k"] == [16, 1, 1, 1, 1, 1]
    assert config["threshold"] == 0.2
    assert config["decision"].startswith("hard ")
    assert TargetInitDynamic(pair).config()["decision"] == "off"


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (TargetInit, {"k": (3,)}, "at least one depth"),
        (TargetInit, {"k": (2, 0)}, "at least 1"),
        (TargetInit, {"k": "4,2"}, "whole numbers"),
        (TargetInitDynamic, {"width": 0}, "≥ 1"),
        (TargetInitDynamic, {"depth": 2.5}, "whole numbers"),
        (TargetInitDynamic, {"threshold": 1.5}, "from 0 to 1"),
        (TargetInitDynamic, {"threshold": "high"}, "from 0 to 1"),
        (TargetInitDynamic, {"decision": "medium"}, "soft, hard, off"),
        (TargetInitDynamic, {"decision": "soft"}, "no soft decision model"),
        (TargetInitDynamic, {"decision": constant(0.5, "soft", 7)}, "reads 7 numbers"),
    ],
)
def test_unusable_options_are_refused(
    pair: ModelPair, kind, options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        kind(pair, **options)
