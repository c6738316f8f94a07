"""What every decoder shares: its model pair, and the public interface of a call."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from time import perf_counter
from typing import Any, ClassVar

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..errors import InputError
from ..records import Generation
from .execution.reader import Reader, context_of
from .execution.requests import sampling_device
from .generated_text import GeneratedText
from .options import whole
from .sampling.distribution import Sampling
from .sampling.noise import Stream


@dataclass(frozen=True)
class ModelPair:
    """A target model, and a cheaper draft model that predicts its tokens.

    target, draft  causal language models of transformers over one vocabulary, in eval mode
    tokenizer      of both; None where prompts are token ids
    name           of the pair in a run's identity
    fingerprint    SHA-256 of the file and recipe that the weights come from, where the loader
                   knows them; else `hash` reads the weights themselves
    timed          whether `exact-dynamic` may measure its passes where no profile is stored

    Raises InputError where the devices or the vocabularies differ, or an attention layer sees less
    than the whole context (a tree mask would give it more).
    """

    target: PreTrainedModel
    draft: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase | None
    name: str
    fingerprint: str = ""
    timed: bool = False

    def __post_init__(self) -> None:
        if self.target.device != self.draft.device:
            raise InputError(
                f"pair {self.name!r}: the target is on {self.target.device} and the draft on "
                f"{self.draft.device}; put both on one device"
            )
        sizes = [model.config.get_text_config().vocab_size for model in (self.target, self.draft)]
        if sizes[0] != sizes[1]:
            raise InputError(
                f"pair {self.name!r}: the target knows {sizes[0]} tokens and the draft {sizes[1]}; "
                "pick two models with one tokenizer"
            )
        for model in (self.target, self.draft):
            config = model.config.get_text_config()
            window = getattr(config, "sliding_window", None)
            kinds = getattr(config, "layer_types", None) or (["sliding"] if window else [])
            if set(kinds) - {"full_attention"}:
                raise InputError(
                    f"pair {self.name!r}: {type(model).__name__} has layers that are not full "
                    "attention (sliding windows or a recurrent state); pick another model"
                )

    @property
    def vocabulary(self) -> int:
        """Number of token ids that both models score."""
        return int(self.target.config.get_text_config().vocab_size)

    @property
    def context(self) -> int:
        """Longest text, in tokens, that both models support."""
        return min(context_of(self.target), context_of(self.draft))

    @cached_property
    def early_exit(self) -> bool:
        """Whether the draft's layers are the very modules of the target's first layers.

        Then both share keys and values, and a prompt is read once.
        """
        models = (self.draft, self.target)
        if models[0].get_input_embeddings() is not models[1].get_input_embeddings():
            return False
        draft_layers, target_layers = (
            list(getattr(model.base_model, "layers", ())) for model in models
        )
        if not 0 < len(draft_layers) <= len(target_layers):
            return False
        return all(one is other for one, other in zip(draft_layers, target_layers, strict=False))

    @cached_property
    def stops(self) -> frozenset[int]:
        """Token ids that end a text, by the target's configuration."""
        for config in (self.target.generation_config, self.target.config):
            found = getattr(config, "eos_token_id", None)
            if found is not None:
                return frozenset([found] if isinstance(found, int) else found)
        return frozenset()

    @cached_property
    def hash(self) -> str:
        """SHA-256, hexadecimal, of the weights or their fingerprint; the same on every machine."""
        if self.fingerprint:
            return self.fingerprint
        digest = hashlib.sha256()
        for role, model in (("target", self.target), ("draft", self.draft)):
            for name, weight in sorted(model.state_dict().items()):
                weight = weight.detach().cpu().contiguous()
                digest.update(f"{role}.{name} {weight.dtype} {tuple(weight.shape)}\n".encode())
                digest.update(weight.flatten().view(torch.uint8).numpy())
        return digest.hexdigest()


MAX_THREADS = 1024
"""Largest number of torch's threads; with very many more, OpenMP ends the process."""


class Decoder(ABC):
    """A decoding algorithm over a model pair, for one text at a time.

    The text depends on the pair, the configuration, the prompt and the seed, and on nothing that
    the decoder did before. The first token comes from the prefill and belongs to no round (the
    target-initialized decoders alone draw it in their first); every round after it is one target
    pass, so that Σ `Round.emitted` = tokens − 1, and `Generation.mean_acceptance_length` counts
    what each pass after the prefill gained, before the text was cut at a stop. Use one decoder per
    thread; several may share a pair.

    name       in the registry
    exact      whether decoding is lossless: the output has the target's own distribution (and,
               when greedy, its very tokens)
    max_depth  depth of the deepest path that a round can draft; 0 where none is drafted
    device     of probabilities and verification

    temperature, top_k, top_p, seed, threads: as in `make_decoder`. Raises InputError where one is
    unusable.
    """

    name: ClassVar[str]
    exact: ClassVar[bool]
    max_depth: int

    def __init__(
        self,
        pair: ModelPair,
        *,
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 0,
        threads: int | None = None,
    ) -> None:
        if threads is not None and not (type(threads) is int and 1 <= threads <= MAX_THREADS):
            raise InputError(f"threads is {threads!r}; give a whole number, 1 to {MAX_THREADS}")
        self.pair = pair
        self.sampling = Sampling(temperature, top_k, top_p)
        self.seed = Stream(seed).seed
        self.threads = threads
        self.target_model = Reader(pair.target)
        self.device = sampling_device(pair.target.device)

    def config(self) -> dict[str, Any]:
        """All settings that the output depends on besides pair and prompt, as JSON values."""
        return {
            "decoder": self.name,
            **asdict(self.sampling),
            "seed": self.seed,
            "threads": self.threads,
            "device": self.pair.target.device.type,
        }

    def generate(
        self, prompt_ids: Sequence[int], max_new_tokens: int = 64, seed: int | None = None
    ) -> Generation:
        """Continue a prompt until an end-of-text token, the limit or the end of the context.

        prompt_ids      token ids, at least one, fewer than the context holds
        max_new_tokens  ≥ 0
        seed            key of this call's randomness; None takes the decoder's own. Two calls
                        with one prompt and one seed give one text.

        Raises InputError for a prompt or a limit that cannot be used.
        """
        started = perf_counter()
        prompt = self._check(prompt_ids, max_new_tokens)
        limit = min(int(max_new_tokens), self.pair.context - len(prompt))
        stream = Stream(self.seed if seed is None else seed, prompt, self.device)
        text = self.new_text(prompt, limit, stream)
        if not text.done:
            with torch.inference_mode(), torch_threads(self.threads):
                self.decode(text)
        ended = perf_counter()
        return Generation(
            prompt_tokens=len(prompt),
            tokens=tuple(text.tokens),
            rounds=tuple(text.rounds),
            seconds=ended - started,
            first_token_seconds=text.first_token_at - started if text.tokens else 0.0,
        )

    def forget(self) -> None:
        """Drop the key/value caches of earlier prompts; the next text does not depend on them."""
        for part in vars(self).values():
            if isinstance(part, Reader):
                part.forget()

    @abstractmethod
    def new_text(self, prompt: tuple[int, ...], limit: int, stream: Stream) -> GeneratedText:
        """The empty text of a call, with all that is kept from round to round."""

    @abstractmethod
    def decode(self, text: GeneratedText) -> None:
        """Write tokens and rounds into `text` until it is done (it is not done on entry)."""

    def _check(self, prompt_ids: Sequence[int], max_new_tokens: int) -> tuple[int, ...]:
        try:
            prompt = tuple(whole(token) for token in prompt_ids)
            limit = whole(max_new_tokens)
        except TypeError as error:
            raise InputError(f"prompt_ids and max_new_tokens must be integers: {error}") from None
        if not prompt:
            raise InputError("the prompt is empty; give at least one token")
        if len(prompt) >= self.pair.context:
            raise InputError(
                f"the prompt has {len(prompt)} tokens and the models of {self.pair.name!r} hold "
                f"{self.pair.context}; shorten it"
            )
        if min(prompt) < 0 or max(prompt) >= self.pair.vocabulary:
            raise InputError(
                f"the prompt holds token ids outside 0 … {self.pair.vocabulary - 1}; "
                "encode it with the pair's own tokenizer"
            )
        if limit < 0:
            raise InputError(f"max_new_tokens is {limit}; give 0 or more")
        return prompt


@contextmanager
def torch_threads(threads: int | None) -> Iterator[None]:
    """Run with so many intra-op threads of torch, then restore; None changes nothing."""
    before = torch.get_num_threads()
    try:
        if threads is not None:
            torch.set_num_threads(threads)
        yield
    finally:
        if threads is not None:
            torch.set_num_threads(before)
