"""A round on a GPU: all tensors are on the device, and the host reads back few values.

Torch's meta device stands in for a GPU: kernels infer shapes and dtypes and compute nothing,
tensors of two devices cannot be mixed, and no value can be read back.
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

META = torch.device("meta")
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
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Reads of values from the device, one entry each; they give True, or −1."""
    seen: list[str] = []
    values = {
        "tolist": lambda table: table.tolist(),
        "numpy": lambda table: table,
        "__int__": int,
        "__bool__": bool,
    }

    def reading(what, value, plain):
        def look(self, *args, **kwargs):
            if self.device != META:
                return plain(self, *args, **kwargs)
            seen.append(what)
            return value(np.full(tuple(self.shape), True if self.dtype == torch.bool else NONE))

        return look

    for what, value in values.items():
        monkeypatch.setattr(torch.Tensor, what, reading(what, value, getattr(torch.Tensor, what)))
    return seen


def test_the_meta_device_cannot_be_mixed_or_read() -> None:
    with pytest.raises(RuntimeError, match="device"):
        torch.empty(3, device=META) + torch.empty(3)
    with pytest.raises(NotImplementedError):
        torch.empty(3, device=META).tolist()


def moved(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> Decoder:
    """Make its models return tensors on the meta device."""

    def feed(tokens, depths=None, mask=None, logits=0):
        if isinstance(tokens, torch.Tensor) and decoder.name != "exact-dynamic":
            assert tokens.device == META
        decoder.draft_model.hidden = torch.empty(len(tokens), HIDDEN, device=META)
        return torch.empty(logits or len(tokens), VOCABULARY, device=META)

    decoder.device = META
    for reader in (decoder.target_model, decoder.draft_model):
        monkeypatch.setattr(reader, "feed", feed)
        monkeypatch.setattr(reader, "commit", lambda rows: None)
    if getattr(decoder, "decision", None):
        decoder.decision = decoder.decision.on(META)
    return decoder


def made(pair: ModelPair, name: str, options: dict, sampling: dict) -> Decoder:
    kind = options.get("decision", "off")
    if kind != "off":
        options = {"decision": DecisionModel(kind, perceptron(layer_sizes(kind, HIDDEN)))}
    return make_decoder(name, pair, **options, **sampling)


@pytest.mark.parametrize(("name", "options", "sampling"), CASES)
def test_a_round(
    pair: ModelPair, reads, monkeypatch: pytest.MonkeyPatch, name: str, options, sampling
) -> None:
    """Drafting reads back only for decision models; verification does once, few numbers."""
    decoder = moved(made(pair, name, options, sampling), monkeypatch)
    text = decoder.new_text((1, 2, 5, 1, 2), 40, Stream(3, (1, 2), META))
    text.write([5])
    rooted = name.startswith("target-init")
    if rooted:
        text.pending = torch.empty(VOCABULARY, device=META)
    else:
        text.unread = [5]
    if name == "exact-dynamic":
        text.draft_begun = True
    tree = decoder.draft(text)
    if name != "exact-dynamic":
        asked = 0 if options.get("decision", "off") == "off" else decoder.max_depth
        assert reads == ["__bool__"] * asked
        assert tree.tokens.device == tree.drafted.device == META
    reads.clear()
    logits = torch.empty(len(tree.tokens[tree.submitted]), VOCABULARY, device=META)
    verified = decoder.verify(tree, logits, text)
    assert len(reads) == {"speculative": 2, "mcsd": 1, "exact-dynamic": 2}.get(name, 2)
    assert verified.pending is None or verified.pending.device == META
    assert (verified.pending is not None) == rooted


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_a_token_of_autoregressive(pair: ModelPair, reads, sampling) -> None:
    decoder = make_decoder("autoregressive", pair, **sampling)
    text = decoder.new_text((1,), 40, Stream(3, (1,), META))
    decoder.target_token(torch.empty(VOCABULARY, device=META), text)
    assert reads == ["__int__"]
