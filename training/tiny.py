"""Train pair `tiny`: a small recommender language model and its draft, from random weights.

    python training/tiny.py record     # episodes -> turns.jsonl, held-out.jsonl
    python training/tiny.py tokenizer  # byte-level BPE over the documents
    python training/tiny.py target     # the target model
    python training/tiny.py sketch     # optional: pretrain the draft on the documents alone
    python training/tiny.py draft      # two layers, distilled from the target

Each step reads the output of the one before from --folder; `target` and `draft` write weights into
--out every few minutes, so that the best so far can always be used. The defaults are the full
setting, for a CUDA device; the model card has the setting that the shipped pair was trained with.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from safetensors.torch import save_file
from tiny_documents import Document, answers, descriptions, dialogues, drills, load_catalog, turns
from tiny_episodes import FILMS, STORIES, record
from tiny_training import (
    FOLLOWED,
    TITLE_OPENS,
    Budget,
    Encoded,
    batches,
    distillation_loss,
    encode,
    learn,
    prediction_loss,
    scores,
)
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM

from tasteshift.agents.llm.prompt import prompts_hash
from tasteshift.decoders.pairs import tiny
from tasteshift.storage import atomic_path

ENTRIES, CONTEXT = 4096, 1024
SHAPES = {
    "target": {"hidden": 256, "inner": 384, "layers": 16, "heads": 4, "shared": 2},
    "draft": {"hidden": 128, "inner": 384, "layers": 2, "heads": 4, "shared": 2},
}
"""Deep and narrow: layers make most of the cost of a pass. Two are the fewest that can copy."""

PIECES = (r'\{"slate":\[', r'\{"id":', r'[0-9]{1,2},"title":"', r'"\}', r'\],"say":"')
"""JSON around titles: always separate tokens, so that an entry is tokenized alike everywhere.

The number of an entry is one token with what follows it, so that attention finds the title behind
the same token in the listing. With the number as a token of its own, the target had not learned to
look titles up after 900 steps.
"""
WORDS = (r" ?\p{L}+", r"\p{N}", r' ?[^\s\p{L}\p{N}"{}\[\]]+', r'["{}\[\]]', r"\s+(?!\S)", r"\s+")

WARMUP_STAGES = ((0.15, 4), (0.3, 8))
"""(share of the budget, longest list): until that share, lists are at most so long."""
DRILLS = 700
"""Copying drills for every 500 turns."""
SCORED = 24
"""Number of held-out documents of each kind that are scored during training."""


def train_tokenizer(folder: Path, out: Path) -> None:
    """Byte-level BPE with single digits over a sample of the documents."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex("|".join((*PIECES, *WORDS))), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    rows = turns(folder / "turns.jsonl")
    sample = [*answers(rows[::8], 0), *dialogues(rows[: len(rows) // 4], 0), *item_descriptions(0)]
    tokenizer.train_from_iterator(
        (document.prompt + document.text for document in sample),
        trainers.BpeTrainer(
            vocab_size=ENTRIES,
            special_tokens=[tiny.END],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    size = tokenizer.get_vocab_size()
    single = [*FOLLOWED, *(f"{number}{TITLE_OPENS}" for number in range(1, 17))]
    if size != ENTRIES or any(len(tokenizer.encode(piece).ids) != 1 for piece in single):
        raise SystemExit(f"{size} entries are too few; record more episodes")
    tokenizer.save(str(out / tiny.TOKENIZER))


def item_descriptions(seed: int) -> Iterator[Document]:
    """Descriptions of films and of stories."""
    yield from descriptions(load_catalog(FILMS), "film", seed)
    yield from descriptions(load_catalog(STORIES), "story", seed)


def untrained(role: str, seed: int) -> LlamaForCausalLM:
    """A model with random weights; its residual branches start small."""
    shape = SHAPES[role]
    config = LlamaConfig(
        vocab_size=ENTRIES,
        hidden_size=shape["hidden"],
        intermediate_size=shape["inner"],
        num_hidden_layers=shape["layers"],
        num_attention_heads=shape["heads"],
        num_key_value_heads=shape["shared"],
        max_position_embeddings=CONTEXT,
        initializer_range=0.04,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=None,
        tie_word_embeddings=True,
    )
    torch.manual_seed(seed)
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                weight /= math.sqrt(2 * shape["layers"])
    return model


def save(model: LlamaForCausalLM, path: Path) -> None:
    """Write weights in bfloat16, the tied embedding once; metadata: config and prompts' hash."""
    weights = {
        name: weight.detach().to("cpu", torch.bfloat16).contiguous()
        for name, weight in model.state_dict().items()
        if name != "lm_head.weight"
    }
    kept = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers")
    kept += ("num_attention_heads", "num_key_value_heads", "max_position_embeddings")
    kept += ("bos_token_id", "eos_token_id", "pad_token_id", "tie_word_embeddings")
    config = {name: getattr(model.config, name) for name in kept}
    metadata = {"config": json.dumps(config), "prompts": prompts_hash()}
    with atomic_path(path) as part:
        save_file(weights, part, metadata=metadata)


class Corpus:
    """The encoded documents of a folder: a stream for training, and the held-out ones."""

    def __init__(self, folder: Path, out: Path, seed: int) -> None:
        self.tokenizer = Tokenizer.from_file(str(out / tiny.TOKENIZER))
        self.rows = turns(folder / "turns.jsonl")
        held = turns(folder / "held-out.jsonl")
        self.held_answers = self.encoded(answers(held, seed))
        self.held_prose = self.encoded(dialogues(held, seed))
        self.descriptions = list(item_descriptions(seed))
        self.rng = np.random.default_rng(seed)

    def encoded(self, documents: Iterable[Document]) -> list[Encoded]:
        """Documents as ids, without those that exceed the context."""
        encoded = [encode(self.tokenizer, document) for document in documents]
        return [one for one in encoded if len(one.ids) <= CONTEXT]

    def stream(self, tokens: int, longest: int | None) -> Iterator[list[Encoded]]:
        """Batches of 500 newly drawn turns, of drills, and of prose."""
        seed = int(self.rng.integers(2**32))
        some = self.rng.permutation(len(self.rows))[:500]
        documents = [*answers([self.rows[k] for k in some], seed, longest)]
        documents += drills(DRILLS, seed)
        first = int(self.rng.integers(len(self.rows)))
        documents += dialogues(self.rows[first : first + 300], seed)
        documents += [
            self.descriptions[k] for k in self.rng.permutation(len(self.descriptions))[:60]
        ]
        yield from batches(self.encoded(documents), tokens, seed)


def train_target(options: argparse.Namespace) -> None:
    """Train the target on the teacher's answers and the prose."""
    train(
        options,
        tiny.TARGET,
        starting_model(options, "target"),
        teacher=None,
        staged=not options.begin,
    )


def train_sketch(options: argparse.Namespace) -> None:
    """Pretrain a draft on the documents alone; `draft` may start from it."""
    train(options, tiny.DRAFT, starting_model(options, "draft"), teacher=None, staged=False)


def train_draft(options: argparse.Namespace) -> None:
    """Distil the target's distributions on the same documents."""
    target = tiny.read_model(options.out / tiny.TARGET, options.device)
    train(options, tiny.DRAFT, starting_model(options, "draft"), teacher=target, staged=False)


def starting_model(options: argparse.Namespace, role: str) -> LlamaForCausalLM:
    """The model of --begin, or one with random weights."""
    return (
        tiny.read_model(options.begin, options.device)
        if options.begin
        else untrained(role, options.seed)
    )


def train(
    options: argparse.Namespace,
    name: str,
    model: LlamaForCausalLM,
    teacher: LlamaForCausalLM | None,
    staged: bool,
) -> None:
    """Train on the documents, or on a teacher's distributions on them; save every few minutes.

    teacher  None to train on the documents
    staged   start with short lists
    """
    torch.nn.Module.to(model, options.device)
    if options.device == "cpu":
        for one in (model, teacher):
            if one is not None:
                one.set_attn_implementation("causal_blocks")
    corpus = Corpus(options.folder, options.out, options.seed)
    held = corpus.held_answers[:SCORED] + corpus.held_prose[:SCORED]

    def loss_of(batch: Sequence[Encoded]) -> torch.Tensor:
        return (
            distillation_loss(model, teacher, batch) if teacher else prediction_loss(model, batch)
        )

    def stream(spent: float) -> Iterator[list[Encoded]]:
        stages = WARMUP_STAGES if staged else ()
        longest = next((longest for until, longest in stages if spent < until), None)
        return corpus.stream(options.tokens, longest)

    def report(step: int, spent: float, loss: float) -> None:
        save(model, options.out / name)
        line = {"step": step, "spent": round(spent, 3), "loss": round(loss, 4)}
        line |= scores(model, held, teacher)
        print(json.dumps(line), flush=True)
        with (options.folder / f"{options.command}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    learn(model, loss_of, stream, options.rate, Budget(options.steps, options.minutes), report)


def main() -> None:
    """Run one step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=("record", "tokenizer", "target", "sketch", "draft"))
    parser.add_argument("--folder", type=Path, default=Path("tiny"), help="for episodes and curves")
    parser.add_argument("--out", type=Path, default=tiny.FOLDER, help="for weights and tokenizer")
    parser.add_argument("--begin", type=Path, help="weights to start from, instead of random ones")
    parser.add_argument("--episodes", type=int, default=90, help="per share of a scenario")
    parser.add_argument("--steps", type=int, default=40_000)
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--tokens", type=int, default=16_384, help="of a batch, padding included")
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.folder.mkdir(parents=True, exist_ok=True)
    match options.command:
        case "record":
            record(options.folder / "turns.jsonl", options.episodes, held_out=False)
            record(options.folder / "held-out.jsonl", max(1, options.episodes // 45), held_out=True)
        case "tokenizer":
            train_tokenizer(options.folder, options.out)
        case "target":
            train_target(options)
        case "sketch":
            train_sketch(options)
        case "draft":
            train_draft(options)


if __name__ == "__main__":
    main()
