"""How fast decoders write, beside how faithful they are: all on the same prompts, taking turns.

An absolute speed is noise on a busy machine. So for each prompt every contender writes once, in
an order drawn for that prompt, and speed-ups are ratios within a prompt. Whoever is quick by
writing another text is told apart in the same row.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import PreTrainedModel

from ..decoders import DECODERS
from ..decoders.autoregressive import Autoregressive
from ..decoders.base import Decoder, ModelPair, torch_threads
from ..decoders.exact_dynamic import ExactDynamic
from ..decoders.execution.clock import now, seconds
from ..decoders.execution.reader import Reader
from ..decoders.fidelity.distribution_tests import (
    DistributionTest,
    distribution_tests,
    next_token_distributions,
)
from ..decoders.fidelity.teacher_forced import Match, keyed, teacher_forced
from ..errors import InputError
from .contenders import SWEEPS, TUNING_PROMPTS, Contender, everyone, to_warm, tuned
from .decoder_rows import Trial, rows_of
from .peers import PEERS

if TYPE_CHECKING:
    from .workloads import Prompt

Bars = Callable[[str, int], AbstractContextManager[Callable[[str], None]]]
"""(label, total) -> a progress bar: call what it yields once for each of `total` steps."""

TUNED = "tuned"

READ = {"cpu": 1 << 28, "cuda": 1 << 32}
"""Bytes of the sum that the pace of memory is taken from: far more than any cache holds, and on a
GPU so many that starting the sum takes no time to speak of."""

SITE_TOKENS = 24
"""Length of the text after which laws are tested: short, since it is read once a draw."""


@contextmanager
def no_progress(label: str, total: int) -> Iterator[Callable[[str], None]]:
    """No progress bar."""
    yield lambda _: None


def bench_decoders(
    pair: ModelPair,
    workloads: Mapping[str, Sequence[Prompt]],
    *,
    temperatures: Sequence[float] = (0.0, 0.7),
    threads: int = 1,
    draws: int = 300,
    only: Collection[str] = (),
    bars: Bars = no_progress,
) -> list[dict[str, Any]]:
    """One flat row per temperature, workload and contender, of JSON values.

    workloads     name -> prompts; the first `TUNING_PROMPTS` tune the baselines and are not
                  measured, so there must be more
    threads       torch's intra-op threads, for ours and for peers
    draws         texts per decoder for the test of its law at T > 0; 0 for no such test
    only          names of decoders and peers, and `TUNED` for the tuned baselines; empty for all

    Raises InputError for another name in `only`.
    """
    check_names(only)
    swept = SWEEPS if not only or TUNED in only else {}
    rows: list[dict[str, Any]] = []
    target = pair.target
    machine = {"pair": pair.name, "device": str(target.device), "threads": threads}
    machine["dtype"] = str(target.dtype).removeprefix("torch.")
    draft, whole = pass_seconds(pair, threads)
    machine |= {"target_parameters": target.num_parameters(), "target_pass_seconds": whole}
    machine |= {"floor_seconds": floor_seconds(target, threads)}
    machine["draft_cost_ratio"] = draft / whole
    if target.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(target.device)
    for temperature in temperatures:
        found = []
        for workload, prompts in workloads.items():
            tuning, measured = prompts[:TUNING_PROMPTS], prompts[TUNING_PROMPTS:]
            label = f"{workload}, T = {temperature}"
            contenders = everyone(pair, temperature, threads)
            contenders = [one for one in contenders if not only or one.name in only]
            with bars(f"{label}: tuning", len(tuning) * sum(map(len, swept.values()))) as tick:
                for name in swept:
                    contenders.append(tuned(name, pair, temperature, threads, tuning, tick))
            with bars(f"{label}: writing", len(measured) * len(contenders)) as tick:
                warming = to_warm(prompts, target.device)
                trials = interleaved(contenders, warming, measured, tick)
            with bars(f"{label}: reading back", len(measured) * len(trials)) as tick:
                matches = read_back(pair, temperature, threads, trials, measured, tick)
            found.append((workload, measured, trials, matches))
        laws: dict[str, list[DistributionTest]] = {}
        tested = [one for one in contenders if not one.tuned]
        ours = [(one.label, one.decoder) for one in tested if one.decoder]
        if draws and temperature > 0 and ours:
            site = law_site(ours[0][1], [(trials, measured) for _, measured, trials, _ in found])
            with bars(f"T = {temperature}: laws", draws * len(ours)) as tick:
                for name, decoder in ours:
                    laws[name] = distribution_tests(decoder, site, draws, partial(tick, name))
        for workload, _, trials, matches in found:
            where = {**machine, "temperature": temperature, "workload": workload}
            where |= {"device_memory": device_memory(target.device)}
            rows += rows_of(where, trials, matches, laws)
    return rows


def check_names(only: Collection[str]) -> None:
    """Raises InputError for a name that nobody in the table has."""
    known = {*DECODERS.names(), *PEERS, TUNED}
    for name in only:
        if name not in known:
            raise InputError(f"nobody is called {name!r}; take of {', '.join(sorted(known))}")


def device_memory(device: torch.device) -> int | None:
    """Most bytes that tensors held on a GPU so far, caches and captured passes included."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


def interleaved(
    contenders: Sequence[Contender],
    warming: Prompt,
    prompts: Sequence[Prompt],
    tick: Callable[[str], None],
) -> list[Trial]:
    """Every contender's texts; prompt n is written with seed n, in an order of its own.

    warming  what each writes, and forgets, before anything is timed

    A peer that cannot read the pair says why instead.
    """
    trials = []
    for one in contenders:
        reason = ""
        try:
            one.warm(warming)
        except Exception as error:  # whatever a peer makes of a draft that it does not know
            if one.decoder is not None:
                raise
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
        trials.append(Trial(one, [], reason))
    for seed, prompt in enumerate(prompts):
        for index in np.random.default_rng([0, seed]).permutation(len(trials)):
            trial = trials[index]
            if not trial.reason:
                written = trial.contender.generate(prompt.ids, prompt.max_new_tokens, seed)
                trial.generations.append(written)
                if isinstance(decoder := trial.contender.decoder, ExactDynamic):
                    trial.planned.append(decoder.planned)
            tick(trial.contender.label)
    return trials


def read_back(
    pair: ModelPair,
    temperature: float,
    threads: int,
    trials: Sequence[Trial],
    prompts: Sequence[Prompt],
    tick: Callable[[str], None],
) -> dict[str, list[Match]]:
    """Label -> its texts under the autoregressive path, for those that can be held to it.

    Equal texts of one prompt are read once.
    """
    path = Autoregressive(pair, temperature=temperature, threads=threads)
    known: dict[tuple[int, tuple[int, ...]], Match] = {}
    found: dict[str, list[Match]] = {}
    for trial in trials:
        held = path.sampling.greedy or (trial.contender.decoder and keyed(trial.contender.decoder))
        for seed, prompt in enumerate(prompts):
            if held and not trial.reason:
                generation = trial.generations[seed]
                key = (seed, generation.tokens)
                if key not in known:
                    known[key] = teacher_forced(path, prompt.ids, generation, seed)
                found.setdefault(trial.contender.label, []).append(known[key])
            tick(trial.contender.label)
    return found


def law_site(
    decoder: Decoder, written: Sequence[tuple[Sequence[Trial], Sequence[Prompt]]]
) -> tuple[int, ...]:
    """A text of at most `SITE_TOKENS` tokens after which a decoder's law is easy to get wrong.

    Out of places in what the first contender wrote, the one whose next token but one is least
    certain and least like the draft's guess: entropy (at most 2 nats) times total variation.
    """
    texts = [
        (*prompt.ids, *generation.tokens[:end])
        for trials, prompts in written
        for prompt, generation in zip(prompts[:6], trials[0].generations, strict=False)
        for end in range(0, len(generation.tokens), 6)
    ]
    size = min(SITE_TOKENS, max(map(len, texts)))
    texts = [text[-size:] for text in texts if len(text) >= size]
    models = (decoder.pair.target, decoder.pair.draft)
    forced = next_token_distributions(decoder, models[0], texts)[:, -1].argmax(-1)
    longer = [(*text, int(token)) for text, token in zip(texts, forced, strict=True)]
    p, q = (next_token_distributions(decoder, model, longer)[:, -1] for model in models)
    entropy = -(p * np.log(np.maximum(p, 1e-300))).sum(-1)
    score = np.minimum(entropy, 2.0) * np.abs(p - q).sum(-1) / 2
    return texts[int(score.argmax())]


def floor_seconds(model: PreTrainedModel, threads: int, times: int = 5) -> float:
    """What reading every weight of a pass once from memory takes, at the pace of one large sum."""
    device, taken = model.device, []
    size = READ.get(device.type, READ["cpu"])
    if device.type == "cuda":
        size = min(size, torch.cuda.mem_get_info(device)[0] // 8 * 4)
    with torch.inference_mode(), torch_threads(threads):
        table = torch.ones(size // 4, device=device)
        for _ in range(times + 1):
            started = now(device)
            table.sum()
            taken.append(seconds(started, now(device)))
    return bytes_of_a_pass(model) / size * median(taken[1:])


def bytes_of_a_pass(model: PreTrainedModel) -> int:
    """Bytes of the weights that a pass reads whole; of an embedding it looks up few rows.

    An embedding that is the output layer too is read whole.
    """
    embedding = model.get_input_embeddings().weight
    head: Any = getattr(model, "lm_head", None)
    tied = head is not None and head.weight is embedding
    return sum(
        weight.numel() * weight.element_size()
        for weight in model.parameters()
        if tied or weight is not embedding
    )


def pass_seconds(pair: ModelPair, threads: int, passes: int = 30) -> tuple[float, float]:
    """T_draft(1) and T_target(1): medians of one-token passes that take turns, on the device."""
    both: tuple[list[float], list[float]] = ([], [])
    readers = (Reader(pair.draft), Reader(pair.target))
    with torch.inference_mode(), torch_threads(threads):
        for reader in readers:
            reader.begin((0,) * min(128, pair.context // 2), room=1)
        for _ in range(passes):
            for reader, taken in zip(readers, both, strict=True):
                before = reader.seconds
                reader.feed([0])
                taken.append(reader.seconds - before)
                reader.commit([])
    return median(both[0]), median(both[1])
