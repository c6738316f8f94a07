"""A round as it would be on a GPU: its tensors are there, all of them, and nobody waits in vain.

Torch's meta device stands in for one, so that this holds where there is none: kernels learn shapes
and types and run nothing, tensors of two devices cannot be mixed, and nothing can be read back.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tasteshift.decoders import DECODERS, make_decoder
from tasteshift.decoders.base import Decoder, ModelPair
from tasteshift.decoders.drafting.decision_model import (
    KINDS,
    DecisionModel,
    layer_sizes,
    perceptron,
)
from tasteshift.decoders.sampling.noise import Stream
from tasteshift.decoders.sampling.verification import NONE

THERE = torch.device("meta")
VOCABULARY, HIDDEN = 31, 16
SAMPLINGS = [{}, {"temperature": 0.7}, {"temperature": 0.7, "top_k": 5, "top_p": 0.9}]
OPTIONS = {
    "mcsd": [{}, {"replacement": True}],
    "target-init-dynamic": [{"decision": "off"}, *({"decision": kind} for kind in KINDS)],
}
CASES = [
    (name, options, sampling)
    for name in DECODERS.names()
    if name != "autoregressive"
    for options in OPTIONS.get(name, [{}])
    for sampling in SAMPLINGS
]


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked back from there, one entry a wait: True, or −1."""
    seen: list[str] = []
    answers = {
        "tolist": lambda table: table.tolist(),
        "numpy": lambda table: table,
        "__int__": int,
        "__bool__": bool,
    }

    def told(what, value, plain):
        def look(self, *args, **kwargs):
            if self.device != THERE:
                return plain(self, *args, **kwargs)
            seen.append(what)
            return value(np.full(tuple(self.shape), True if self.dtype == torch.bool else NONE))

        return look

    for what, value in answers.items():
        monkeypatch.setattr(torch.Tensor, what, told(what, value, getattr(torch.Tensor, what)))
    return seen


def test_the_stand_in_mixes_with_nothing_and_tells_nothing() -> None:
    with pytest.raises(RuntimeError, match="device"):
        torch.empty(3, device=THERE) + torch.empty(3)
    with pytest.raises(NotImplementedError):
        torch.empty(3, device=THERE).tolist()


def moved(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> Decoder:
    """Let its models answer from there, whatever they are asked."""

    def feed(tokens, depths=None, mask=None, logits=0):
        if isinstance(tokens, torch.Tensor) and decoder.name != "exact-dynamic":
            assert tokens.device == THERE
        decoder.draft_model.hidden = torch.empty(len(tokens), HIDDEN, device=THERE)
        return torch.empty(logits or len(tokens), VOCABULARY, device=THERE)

    decoder.device = THERE
    for reader in (decoder.target_model, decoder.draft_model):
        monkeypatch.setattr(reader, "feed", feed)
        monkeypatch.setattr(reader, "commit", lambda rows: None)
    if getattr(decoder, "decision", None):
        decoder.decision = decoder.decision.on(THERE)
    return decoder


def made(pair: ModelPair, name: str, options: dict, sampling: dict) -> Decoder:
    kind = options.get("decision", "off")
    if kind != "off":
        options = {"decision": DecisionModel(kind, perceptron(layer_sizes(kind, HIDDEN)))}
    return make_decoder(name, pair, **options, **sampling)


@pytest.mark.parametrize(("name", "options", "sampling"), CASES)
def test_a_round(
    pair: ModelPair, looked, monkeypatch: pytest.MonkeyPatch, name: str, options, sampling
) -> None:
    """Drafting waits for nothing but decision models; judging waits once, a few numbers follow."""
    decoder = moved(made(pair, name, options, sampling), monkeypatch)
    text = decoder.new_text((1, 2, 5, 1, 2), 40, Stream(3, (1, 2), THERE))
    text.write([5])
    rooted = name.startswith("target-init")
    if rooted:
        text.pending = torch.empty(VOCABULARY, device=THERE)
    else:
        text.unread = [5]
    if name == "exact-dynamic":
        text.draft_begun = True
    tree = decoder.draft(text)
    if name != "exact-dynamic":
        asked = 0 if options.get("decision", "off") == "off" else decoder.max_depth
        assert looked == ["__bool__"] * asked
        assert tree.tokens.device == tree.drafted.device == THERE
    looked.clear()
    logits = torch.empty(len(tree.tokens[tree.submitted]), VOCABULARY, device=THERE)
    verified = decoder.verify(tree, logits, text)
    assert len(looked) == {"speculative": 2, "mcsd": 1, "exact-dynamic": 2}.get(name, 2)
    assert verified.pending is None or verified.pending.device == THERE
    assert (verified.pending is not None) == rooted


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_a_token_of_autoregressive(pair: ModelPair, looked, sampling) -> None:
    decoder = make_decoder("autoregressive", pair, **sampling)
    text = decoder.new_text((1,), 40, Stream(3, (1,), THERE))
    decoder.target_token(torch.empty(VOCABULARY, device=THERE), text)
    assert looked == ["__int__"]
