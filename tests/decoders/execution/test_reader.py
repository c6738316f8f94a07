"""Reader against plain forward passes of transformers without a cache."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tasteshift.decoders.base import ModelPair
from tasteshift.decoders.execution.reader import CHUNK, Reader, shared_chunks
from tasteshift.decoders.pairs.smollm2 import early_exit
from tasteshift.decoders.sampling.static_tree import make_tree

PROMPT = tuple(np.random.default_rng(0).integers(0, 31, 2 * CHUNK + 9).tolist())


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.inference_mode():
        yield


def plain(pair: ModelPair, tokens: tuple[int, ...]) -> torch.Tensor:
    """Logits after each token, without a cache."""
    return pair.target(torch.tensor([tokens]), use_cache=False).logits[0]


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return bool((a - b).abs().max() < 1e-5 * b.abs().max())


@pytest.mark.parametrize("length", [1, 5, CHUNK, CHUNK + 1, len(PROMPT)])
def test_prefill(pair: ModelPair, length: int) -> None:
    assert close(Reader(pair.target).begin(PROMPT[:length], 8), plain(pair, PROMPT[:length])[-1])


def test_a_tree_pass_gives_the_logits_of_every_path(pair: ModelPair) -> None:
    tree = make_tree((3, 2, 1))
    tokens = np.random.default_rng(1).integers(0, 31, len(tree))
    reader = Reader(pair.target)
    reader.begin(PROMPT, len(tree))
    logits = reader.feed(tokens, tree.depths, tree.mask)
    for node in range(len(tree)):
        path = tuple(tokens[tree.mask[node]].tolist())
        assert close(logits[node], plain(pair, PROMPT + path)[-1])


def test_commit_keeps_a_path_and_drops_the_rest(pair: ModelPair) -> None:
    """Three rounds of feeding trees and committing equal one fresh pass."""
    tree = make_tree((3, 2, 1))
    rng = np.random.default_rng(2)
    reader = Reader(pair.target)
    reader.begin(PROMPT, 3 * len(tree))
    text = PROMPT
    for path in ([0, 3, 8, 14], [0], [0, 2, 6]):
        tokens = rng.integers(0, 31, len(tree))
        logits = reader.feed(tokens, tree.depths, tree.mask)
        reader.commit(path)
        text += tuple(tokens[path].tolist())
        assert reader.committed == len(text)
        assert close(logits[path], plain(pair, text)[-len(path) :])
    after = tuple(rng.integers(0, 31, 2).tolist())
    assert close(reader.feed(after), plain(pair, text + after)[-2:])
    reader.commit([])
    assert close(reader.feed(after), plain(pair, text + after)[-2:])


def test_a_tree_can_be_fed_level_by_level(pair: ModelPair) -> None:
    tree = make_tree((2, 2))
    tokens = np.random.default_rng(3).integers(0, 31, len(tree))
    at_once, by_level = Reader(pair.target), Reader(pair.target)
    for reader in (at_once, by_level):
        reader.begin(PROMPT, len(tree))
    whole = at_once.feed(tokens, tree.depths, tree.mask)
    for level in tree.levels:
        rows = slice(level.start, level.stop)
        part = by_level.feed(tokens[rows], tree.depths[rows], tree.mask[rows, : level.stop])
        assert close(part, whole[rows])


def test_a_shared_prefix_is_read_once_and_changes_no_bit(
    pair: ModelPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = PROMPT[: CHUNK + 3] + tuple(reversed(PROMPT[CHUNK + 3 :]))
    fresh, used = Reader(pair.target), Reader(pair.target)
    used.begin(PROMPT, 8)
    used.feed([1, 2, 3])
    used.commit([0, 2])
    reads: list[int] = []
    feed = used.feed

    def counting(tokens, **options):
        reads.append(len(tokens))
        return feed(tokens, **options)

    monkeypatch.setattr(used, "feed", counting)
    assert (used.begin(other, 8) == fresh.begin(other, 8)).all()
    assert sum(reads) == len(other) - CHUNK
    assert (used.feed([4]) == fresh.feed([4])).all()


def test_an_early_exit_draft_copies_the_keys_of_its_target(llama) -> None:
    target = llama(1, layers=3)
    pair = ModelPair(target, early_exit(target, 2), None, "exit")
    assert pair.early_exit
    assert not ModelPair(target, llama(1, layers=2), None, "a copy").early_exit
    reader, copy, reread = Reader(pair.target), Reader(pair.draft), Reader(pair.draft)
    for prompt in (PROMPT, PROMPT[5:40]):
        reader.begin(prompt, 8)
        copy.begin_as(reader, 8)
        reread.begin(prompt, 8)
        for tokens in ([4], [1, 2]):
            assert (copy.feed(tokens) == reread.feed(tokens)).all()
            for one in (copy, reread):
                one.commit([0])


def test_an_interrupted_prefill_leaves_no_trace(
    pair: ModelPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, passes = Reader(pair.target), iter((None, None, KeyboardInterrupt()))
    reader.begin(PROMPT, 8)
    feed = reader.feed

    def breaking(tokens, **options):
        if fault := next(passes):
            raise fault
        return feed(tokens, **options)

    with monkeypatch.context() as patch:
        patch.setattr(reader, "feed", breaking)
        with pytest.raises(KeyboardInterrupt):
            reader.begin(tuple(reversed(PROMPT)), 8)
    assert (reader.begin(PROMPT, 8) == Reader(pair.target).begin(PROMPT, 8)).all()


def test_shared_chunks_leave_a_token_to_read() -> None:
    text = tuple(range(3 * CHUNK))
    assert shared_chunks(text, text) == 2 * CHUNK
    assert shared_chunks(text, (*text, 1)) == 3 * CHUNK
    assert shared_chunks(text, text[:CHUNK]) == 0
    assert shared_chunks((), text) == 0
    assert shared_chunks(text, (5, *text)) == 0
