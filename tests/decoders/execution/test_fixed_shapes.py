"""Passes of fixed shapes, on any device, against unpadded passes."""

from __future__ import annotations

import gc
from functools import partial
from itertools import count
from threading import Thread
from weakref import ref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from tasteshift.decoders import DECODERS, make_decoder
from tasteshift.decoders.base import ModelPair
from tasteshift.decoders.execution import batching, fixed_shapes, reader
from tasteshift.decoders.execution.batching import generate_together
from tasteshift.decoders.execution.fixed_shapes import FixedShapePass, power_of_two
from tasteshift.decoders.execution.reader import CHUNK, Reader
from tasteshift.decoders.pairs.smollm2 import early_exit
from tasteshift.decoders.sampling.static_tree import make_tree
from tasteshift.records import Generation

PROMPTS = ((1, 2, 3), (4,), tuple(range(1, 25)) * 6, (7, 7, 7, 7, 7), (9, 8, 7, 6))
LIMITS = (12, 5, 18, 0, 9)


@pytest.fixture
def fixed_on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in fixed shapes on the CPU too."""
    monkeypatch.setattr(reader, "has_fixed_shapes", lambda model: True)


@pytest.fixture
def shapes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int]]:
    """Sequences, rows and rows of logits of every fixed-shape pass that is made."""
    found: list[tuple[int, int, int]] = []
    original = FixedShapePass.__init__

    def recording(self, forward, cache, rows, last) -> None:
        found.append((cache.window.sequences, rows, last))
        original(self, forward, cache, rows, last)

    monkeypatch.setattr(FixedShapePass, "__init__", recording)
    return found


def tasks(pair: ModelPair, name: str, temperature: float) -> list[partial[Generation]]:
    return [
        partial(make_decoder(name, pair, temperature=temperature).generate, prompt, limit, seed)
        for seed, (prompt, limit) in enumerate(zip(PROMPTS, LIMITS, strict=True))
    ]


def same(ones: list[Generation], others: list[Generation]) -> None:
    assert [one.tokens for one in ones] == [other.tokens for other in others]


@pytest.mark.parametrize("temperature", [0.0, 0.9])
@pytest.mark.parametrize("name", DECODERS.names())
def test_every_decoder_generates_the_same_tokens_alone_and_together(
    pair: ModelPair, name: str, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [task() for task in tasks(pair, name, temperature)]
    monkeypatch.setattr(reader, "has_fixed_shapes", lambda model: True)
    same(expected, [task() for task in tasks(pair, name, temperature)])
    batch = tasks(pair, name, temperature)
    for _ in range(2):  # the second time over caches that are kept
        same(expected, generate_together(batch))
    same(expected, generate_together(batch[::-1])[::-1])


def test_an_early_exit_draft(llama, fixed_on_cpu: None) -> None:
    target = llama(5, layers=3)
    pair = ModelPair(target, early_exit(target, 2), None, "exit")
    alone = [task() for task in tasks(pair, "exact-dynamic", 0.9)]
    same(alone, generate_together(tasks(pair, "exact-dynamic", 0.9)))


def test_one_model_can_be_target_and_draft(identical: ModelPair, fixed_on_cpu: None) -> None:
    alone = [task() for task in tasks(identical, "mcsd", 0.0)]
    same(alone, generate_together(tasks(identical, "mcsd", 0.0)))


def test_a_reader_does_not_reuse_keys_of_another_text_in_a_shared_cache(
    pair: ModelPair, fixed_on_cpu: None
) -> None:
    """Batches of four, three and four share a cache; one reader uses sequences 3, 0 and 3."""
    one, two = (tuple(np.random.default_rng(n).integers(0, 31, 90).tolist()) for n in (1, 2))
    plain = [make_decoder("autoregressive", pair) for _ in range(4)]

    def batch(order: list[int], prompt: tuple[int, ...]) -> list[Generation]:
        return generate_together([partial(plain[number].generate, prompt, 9) for number in order])

    batch([0, 1, 2, 3], one)
    batch([3, 1, 2], two)
    alone = make_decoder("autoregressive", pair).generate(two, 9)
    same(batch([0, 1, 2, 3], two), [alone] * 4)


def test_concurrent_batches_do_not_share_caches(pair: ModelPair, fixed_on_cpu: None) -> None:
    expected = [task() for task in tasks(pair, "mcsd", 0.9)]
    found: dict[int, list[Generation]] = {}

    def run(number: int) -> None:
        found[number] = generate_together(tasks(pair, "mcsd", 0.9))

    threads = [Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(4):
        same(expected, found[number])


def test_caches_of_an_interrupted_batch_are_not_reused(
    pair: ModelPair, fixed_on_cpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    batching._idle_caches.clear()
    with monkeypatch.context() as patch:
        patch.setattr(Thread, "join", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            generate_together(tasks(pair, "mcsd", 0.0))
    assert not batching._idle_caches
    generate_together(tasks(pair, "mcsd", 0.0))
    assert {model: len(known) for model, known in batching._idle_caches.items()} == {
        pair.target: 1,
        pair.draft: 1,
    }


def test_a_cache_is_freed_with_its_reader(pair: ModelPair, fixed_on_cpu: None) -> None:
    """At once, since garbage collection does not know how much memory a GPU has left."""
    one = Reader(pair.target)
    with torch.inference_mode():
        one.begin((1, 2, 3), 40)
    keys = ref(one.own.layers[0].keys)
    gc.disable()
    try:
        del one
        assert keys() is None
    finally:
        gc.enable()


def test_growing_can_be_retried_after_a_failure(
    pair: ModelPair, fixed_on_cpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, long = Reader(pair.target), tuple(range(30)) * 9
    with torch.inference_mode():
        one.begin((1, 2, 3), 8)
        with monkeypatch.context() as patch:
            patch.setattr(one.own.layers[1], "grow", lambda slots: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                one.begin(long, 8)
        assert (one.begin(long, 8) == Reader(pair.target).begin(long, 8)).all()


def test_shapes_are_few_and_reused(
    llama, fixed_on_cpu: None, shapes: list[tuple[int, int, int]]
) -> None:
    """Rows are powers of two, and a shape is made once per cache."""
    pair = ModelPair(llama(1), llama(2, layers=1), None, "small")
    decoder = make_decoder("exact-dynamic", pair)
    for limit in (30, 40, 50):
        decoder.generate(PROMPTS[0], limit)
    assert all(count == power_of_two(count) for shape in shapes for count in shape)
    known = len(shapes)
    assert 2 < known <= 16
    decoder.generate(PROMPTS[0], 50)
    assert len(shapes) == known
    assert {texts for texts, _, _ in shapes} == {1}
    del shapes[:]
    for texts in (5, 8, 6):
        plain = [make_decoder("autoregressive", pair) for _ in range(texts)]
        generate_together([partial(one.generate, (5, n), 9) for n, one in enumerate(plain)])
    assert shapes == [(8, 2, 1), (8, 1, 1)]


def test_a_fixed_shape_pass_keeps_its_tensors(pair: ModelPair, fixed_on_cpu: None) -> None:
    """As a CUDA graph requires: no input or output may move between passes."""
    one = Reader(pair.target)
    with torch.inference_mode():
        one.begin((1, 2, 3), 40)
        one.feed([4])
        shape = one.own.fixed_passes[1, 1]
        buffers = [*shape.device_buffers, *(layer.keys for layer in one.own.layers)]
        before = [buffer.data_ptr() for buffer in buffers]
        one.commit([0])
        one.feed([5])
        one.begin((9, 9), 40)
        one.feed([6])
    assert one.own.fixed_passes[1, 1] is shape
    after = [*shape.device_buffers, *(layer.keys for layer in one.own.layers)]
    assert [buffer.data_ptr() for buffer in after] == before


def test_a_pass_starts_when_its_inputs_are_ready(
    pair: ModelPair, fixed_on_cpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time in which the device waits for inputs is the host's, not the pass's."""
    one, times = Reader(pair.target), count(1)
    with torch.inference_mode():
        one.begin((1, 2, 3), 40)
        one.feed([4])
        one.commit([0])
        before = one.seconds
        for module in (reader, fixed_shapes):
            monkeypatch.setattr(module, "now", lambda device: float(next(times)))
        one.feed([5])  # submitted at 1, inputs ready at 2, done at 3
    assert one.seconds - before == pytest.approx(1.0)


def test_a_pass_can_be_captured(pair: ModelPair, fixed_on_cpu: None) -> None:
    """The same kernels over the same shapes every time, and none that synchronizes."""
    one = Reader(pair.target)
    with torch.inference_mode():
        one.begin((1, 2, 3), 40)
        one.feed([4, 5, 6], [0, 1, 1], np.array([[1, 0, 0], [1, 1, 0], [1, 0, 1]], dtype=bool))
        one.commit([0, 2])
        run = one.own.fixed_passes[4, 4].run
        passes = []
        for _ in range(2):
            with Kernels() as kernels:
                run()
            passes.append(kernels.started)
    assert passes[0] == passes[1]
    assert len(passes[0]) > 20
    synchronizing = {"_local_scalar_dense", "nonzero", "is_nonzero", "item", "masked_select"}
    assert not synchronizing & {name.split(".")[1] for name, *_ in passes[0]}


class Kernels(TorchDispatchMode):
    """Records every kernel that is launched, with the shapes of its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[tuple[object, ...]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        shapes = [tuple(one.shape) for one in args if isinstance(one, torch.Tensor)]
        self.started.append((str(func), *shapes))
        return func(*args, **(kwargs or {}))


def test_a_cache_keeps_its_contents_when_it_grows(pair: ModelPair, fixed_on_cpu: None) -> None:
    long = tuple(range(1, 31)) * 9
    with torch.inference_mode():
        grown, fresh = Reader(pair.target), Reader(pair.target)
        grown.begin(long[: 2 * CHUNK + 3], 8)
        slots = grown.own.capacity
        assert (grown.begin(long, 200) == fresh.begin(long, 200)).all()
        assert grown.own.capacity > slots
        assert (grown.feed([4]) == fresh.feed([4])).all()


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_sequence_of_trees_and_commits_reads_the_same(
    pair: ModelPair, data: st.DataObject
) -> None:
    """Unpadded and fixed-shape readers agree to rounding over random trees and commits."""
    readers = [Reader(pair.target) for _ in range(2)]
    readers[1].own.fixed = True
    with torch.inference_mode():
        for one in readers:
            one.begin((3, 1, 4), 60)
        for _ in range(data.draw(st.integers(1, 4))):
            tree = make_tree(data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)))
            tokens = np.array(
                data.draw(st.lists(st.integers(0, 30), min_size=len(tree), max_size=len(tree)))
            )
            unpadded, padded = (one.feed(tokens, tree.depths, tree.mask) for one in readers)
            assert (unpadded - padded).abs().max() <= 1e-5 * unpadded.abs().max()
            node, path = 0, [0]
            while children := tree.children(node):
                if not data.draw(st.booleans()):
                    break
                node = data.draw(st.sampled_from(list(children)))
                path.append(node)
            for one in readers:
                one.commit(path)


def test_fixed_shapes_are_used_only_on_a_gpu(pair: ModelPair) -> None:
    assert not fixed_shapes.has_fixed_shapes(pair.target)
    assert not Reader(pair.target).own.fixed
