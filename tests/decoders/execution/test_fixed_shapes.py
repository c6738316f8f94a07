"""Passes of fixed shapes, on any device, against passes that read just what is asked for."""

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
from tasteshift.decoders.execution import batching as module
from tasteshift.decoders.execution import fixed_shapes, reader
from tasteshift.decoders.execution.batching import generate_together
from tasteshift.decoders.execution.fixed_shapes import FixedShapePass, power_of_two
from tasteshift.decoders.execution.reader import CHUNK, Reader
from tasteshift.decoders.pairs.smollm2 import early_exit
from tasteshift.decoders.sampling.static_tree import make_tree
from tasteshift.records import Generation

PROMPTS = ((1, 2, 3), (4,), tuple(range(1, 25)) * 6, (7, 7, 7, 7, 7), (9, 8, 7, 6))
LIMITS = (20, 7, 40, 0, 31)


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in fixed shapes on the CPU too."""
    monkeypatch.setattr(reader, "has_fixed_shapes", lambda model: True)


@pytest.fixture
def shapes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int]]:
    """Texts, rows and rows scored of every shape that is laid out."""
    found: list[tuple[int, int, int]] = []
    lay_out = FixedShapePass.__init__

    def noting(self, forward, cache, rows, last) -> None:
        found.append((cache.window.sequences, rows, last))
        lay_out(self, forward, cache, rows, last)

    monkeypatch.setattr(FixedShapePass, "__init__", noting)
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
def test_every_decoder_writes_the_same_alone_and_together(
    pair: ModelPair, name: str, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = [task() for task in tasks(pair, name, temperature)]
    monkeypatch.setattr(reader, "has_fixed_shapes", lambda model: True)
    same(free, [task() for task in tasks(pair, name, temperature)])
    side_by_side = tasks(pair, name, temperature)
    for _ in range(2):  # the second time over caches that are kept
        same(free, generate_together(side_by_side))
    same(free, generate_together(side_by_side[::-1])[::-1])


def test_a_draft_that_is_part_of_its_target(llama, everywhere: None) -> None:
    target = llama(5, layers=3)
    pair = ModelPair(target, early_exit(target, 2), None, "exit")
    alone = [task() for task in tasks(pair, "exact-dynamic", 0.9)]
    same(alone, generate_together(tasks(pair, "exact-dynamic", 0.9)))


def test_one_model_may_be_target_and_draft(twins: ModelPair, everywhere: None) -> None:
    alone = [task() for task in tasks(twins, "mcsd", 0.0)]
    same(alone, generate_together(tasks(twins, "mcsd", 0.0)))


def test_a_reader_that_changes_its_place_finds_no_keys_of_its_own_there(
    pair: ModelPair, everywhere: None
) -> None:
    """Meetings of four, three and four share a cache; in it one text sits at 3, at 0, at 3."""
    one, two = (tuple(np.random.default_rng(n).integers(0, 31, 90).tolist()) for n in (1, 2))
    plain = [make_decoder("autoregressive", pair) for _ in range(4)]

    def meeting(order: list[int], prompt: tuple[int, ...]) -> list[Generation]:
        return generate_together([partial(plain[number].generate, prompt, 9) for number in order])

    meeting([0, 1, 2, 3], one)
    meeting([3, 1, 2], two)
    alone = make_decoder("autoregressive", pair).generate(two, 9)
    same(meeting([0, 1, 2, 3], two), [alone] * 4)


def test_meetings_at_the_same_time_do_not_share(pair: ModelPair, everywhere: None) -> None:
    free = [task() for task in tasks(pair, "mcsd", 0.9)]
    found: dict[int, list[Generation]] = {}

    def meet(number: int) -> None:
        found[number] = generate_together(tasks(pair, "mcsd", 0.9))

    threads = [Thread(target=meet, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(4):
        same(free, found[number])


def test_what_a_meeting_left_behind_is_not_used_when_it_was_broken_off(
    pair: ModelPair, everywhere: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    module._idle_caches.clear()
    with monkeypatch.context() as patch:
        patch.setattr(Thread, "join", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            generate_together(tasks(pair, "mcsd", 0.0))
    assert not module._idle_caches
    generate_together(tasks(pair, "mcsd", 0.0))
    assert {model: len(known) for model, known in module._idle_caches.items()} == {
        pair.target: 1,
        pair.draft: 1,
    }


def test_a_cache_goes_with_its_reader(pair: ModelPair, everywhere: None) -> None:
    """At once, for whoever collects garbage does not know how much memory a GPU has left."""
    place = Reader(pair.target)
    with torch.inference_mode():
        place.begin((1, 2, 3), 40)
    keys = ref(place.own.layers[0].keys)
    gc.disable()
    try:
        del place
        assert keys() is None
    finally:
        gc.enable()


def test_a_growth_that_fails_may_be_tried_again(
    pair: ModelPair, everywhere: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, long = Reader(pair.target), tuple(range(30)) * 9
    with torch.inference_mode():
        place.begin((1, 2, 3), 8)
        with monkeypatch.context() as patch:
            patch.setattr(place.own.layers[1], "grow", lambda slots: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                place.begin(long, 8)
        assert (place.begin(long, 8) == Reader(pair.target).begin(long, 8)).all()


def test_shapes_are_few_and_kept(
    llama, everywhere: None, shapes: list[tuple[int, int, int]]
) -> None:
    """Rows are powers of two, whatever is asked for, and a shape is laid out once a cache."""
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


def test_a_shape_always_runs_over_the_same_tensors(pair: ModelPair, everywhere: None) -> None:
    """As a captured graph does: nothing that a pass reads or writes may move between passes."""
    place = Reader(pair.target)
    with torch.inference_mode():
        place.begin((1, 2, 3), 40)
        place.feed([4])
        shape = place.own.fixed_passes[1, 1]
        buffers = [*shape.device_buffers, *(layer.keys for layer in place.own.layers)]
        before = [buffer.data_ptr() for buffer in buffers]
        place.commit([0])
        place.feed([5])
        place.begin((9, 9), 40)
        place.feed([6])
    assert place.own.fixed_passes[1, 1] is shape
    after = [*shape.device_buffers, *(layer.keys for layer in place.own.layers)]
    assert [buffer.data_ptr() for buffer in after] == before


def test_a_pass_begins_when_it_has_what_it_reads(
    pair: ModelPair, everywhere: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a device waits for while a host lays that out is the host's time, not the pass's."""
    place, ticks = Reader(pair.target), count(1)
    with torch.inference_mode():
        place.begin((1, 2, 3), 40)
        place.feed([4])
        place.commit([0])
        before = place.seconds
        for module in (reader, fixed_shapes):
            monkeypatch.setattr(module, "now", lambda device: float(next(ticks)))
        place.feed([5])  # asked for at 1, fetched at 2, over at 3
    assert place.seconds - before == pytest.approx(1.0)


def test_a_pass_can_be_captured(pair: ModelPair, everywhere: None) -> None:
    """The same kernels over the same shapes every time, and none whose result the host must see."""
    place = Reader(pair.target)
    with torch.inference_mode():
        place.begin((1, 2, 3), 40)
        place.feed([4, 5, 6], [0, 1, 1], np.array([[1, 0, 0], [1, 1, 0], [1, 0, 1]], dtype=bool))
        place.commit([0, 2])
        run = place.own.fixed_passes[4, 4].run
        passes = []
        for _ in range(2):
            with Kernels() as kernels:
                run()
            passes.append(kernels.started)
    assert passes[0] == passes[1]
    assert len(passes[0]) > 20
    asking = {"_local_scalar_dense", "nonzero", "is_nonzero", "item", "masked_select"}
    assert not asking & {name.split(".")[1] for name, *_ in passes[0]}


class Kernels(TorchDispatchMode):
    """Notes every kernel that is started, with the shapes that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[tuple[object, ...]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        shapes = [tuple(one.shape) for one in args if isinstance(one, torch.Tensor)]
        self.started.append((str(func), *shapes))
        return func(*args, **(kwargs or {}))


def test_a_cache_that_grows_keeps_what_it_holds(pair: ModelPair, everywhere: None) -> None:
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
def test_any_course_of_guessing_reads_the_same(pair: ModelPair, data: st.DataObject) -> None:
    """Trees, what is kept of them and what is fed next: two readers agree to rounding."""
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
            free, padded = (one.feed(tokens, tree.depths, tree.mask) for one in readers)
            assert (free - padded).abs().max() <= 1e-5 * free.abs().max()
            node, path = 0, [0]
            while children := tree.children(node):
                if not data.draw(st.booleans()):
                    break
                node = data.draw(st.sampled_from(list(children)))
                path.append(node)
            for one in readers:
                one.commit(path)


def test_only_a_gpu_asks_for_fixed_shapes(pair: ModelPair) -> None:
    assert not fixed_shapes.has_fixed_shapes(pair.target)
    assert not Reader(pair.target).own.fixed
