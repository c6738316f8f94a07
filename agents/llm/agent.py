"""The llm agent: retrieval proposes candidates, a language model picks and answers in JSON."""

from __future__ import annotations

from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ...envs.catalogs.public import PublicData
from ...errors import InputError
from ...records import Action, Brief, Generation, Observation, Reply, ReplyOutcome
from ..protocols import TextModel
from .candidates import list_candidates
from .interest_profile import InterestProfile
from .parse import ParsedAnswer, parse_answer
from .prompt import (
    ANSWER_PREFIX,
    PromptContext,
    build_prompt,
    build_repair_prompt,
    encode,
    max_answer_tokens,
    prompts_hash,
)
from .retrieval import Retrieval, RetrievalWeights

if TYPE_CHECKING:
    from ...decoders.base import Decoder, ModelPair

CANDIDATES, MEMORY = 12, 60


class LlmAgent:
    """Asks a language model for the `slate_size` best of a list of candidates.

    An invalid answer is requested once more, with what was wrong; if that fails too, its valid
    entries come first and the retrieval's order fills the slate.

    decoder      name of a decoder, or a decoder instance; an instance cannot be sent to other
                 processes, so `evaluate` needs the name
    pair         name of the model pair, or the pair; unused where `decoder` is an instance
    candidates   number of candidates (at least the slate size)
    memory       number of recently shown items that are not listed again
    weights      of the retrieval's score
    temperature  of the decoder; this and the rest are unused where `decoder` is an instance
    threads      torch threads while decoding; the last bits of a logit depend on them
    device       of the models, as torch spells it: cpu, cuda, cuda:1
    dtype        of the weights: float32, bfloat16 or float16

    Raises InputError for a number of candidates or a memory out of range.
    """

    name = "llm"

    def __init__(
        self,
        decoder: str | Decoder = "autoregressive",
        pair: str | ModelPair = "tiny",
        candidates: int = CANDIDATES,
        memory: int = MEMORY,
        weights: RetrievalWeights | None = None,
        temperature: float = 0.0,
        threads: int = 1,
        device: str = "cpu",
        dtype: str = "float32",
    ) -> None:
        for option, value, least in (("candidates", candidates, 1), ("memory", memory, 0)):
            if type(value) is not int or value < least:
                raise InputError(f"{option} is {value!r}; give a whole number, at least {least}")
        self.candidates = candidates
        self.memory = memory
        self.weights = weights or RetrievalWeights()
        self._decoder, self._pair = decoder, pair
        self._decoder_options: dict[str, Any] = {
            "temperature": temperature,
            "threads": threads,
            "device": device,
            "dtype": dtype,
        }
        self._public: PublicData | None = None

    @cached_property
    def decoder(self) -> Decoder:
        """The decoder, loaded on first use; raises InputError where it cannot be loaded."""
        return self._new_decoder()

    def _new_decoder(self) -> Decoder:
        if not isinstance(self._decoder, str):
            return self._decoder
        from ...decoders import make_decoder

        return make_decoder(self._decoder, self._pair, **self._decoder_options)

    def text_model(self) -> TextModel:
        """Names of the decoder and the pair, and the pair's hash; loads the decoder."""
        pair = self.decoder.pair
        return TextModel(self.decoder.name, pair.name, pair.hash)

    def __getstate__(self) -> dict[str, Any]:
        """The settings alone: a copy in another process loads the models itself."""
        loaded = ("decoder", "_public", "_retrieval")
        return {**{k: v for k, v in self.__dict__.items() if k not in loaded}, "_public": None}

    def __deepcopy__(self, memo: dict[int, Any]) -> LlmAgent:
        """The agent itself, since all it learns about users is in their sessions."""
        return self

    def config(self) -> dict[str, Any]:
        """Settings, the prompts' hash and the decoder's configuration; loads the decoder."""
        return {
            "candidates": self.candidates,
            "memory": self.memory,
            "weights": asdict(self.weights),
            "prompts": prompts_hash(),
            "decoder": self.decoder.config(),
        }

    def prepare(self, public: PublicData) -> None:
        """Index the catalog and the log, and load the models; raises InputError."""
        if self.decoder.pair.tokenizer is None:
            raise InputError(f"pair {self.decoder.pair.name!r} has no tokenizer; give it one")
        self._public = public
        self._retrieval = Retrieval(public, self.weights)

    def start(self, brief: Brief) -> LlmSession:
        """Open a session whose profile starts with the user's choices in the log."""
        return self._start_with_decoder(brief, self.decoder)

    def _start_with_decoder(self, brief: Brief, decoder: Decoder) -> LlmSession:
        if self._public is None:
            raise RuntimeError("prepare() comes before start()")
        profile = InterestProfile(self._public.catalog, self._public.log, brief.user, self.memory)
        return LlmSession(brief, self._retrieval, profile, decoder, self.candidates)


class LlmSession:
    """One user's episode; `replies` holds every generation in order.

    All replies of one turn carry the outcome of that turn.
    """

    def __init__(
        self,
        brief: Brief,
        retrieval: Retrieval,
        profile: InterestProfile,
        decoder: Decoder,
        candidates: int,
    ) -> None:
        self.replies: list[Reply] = []
        self._brief = brief
        self._retrieval = retrieval
        self._profile = profile
        self._decoder = decoder
        self._num_candidates = candidates

    def act(self, observation: Observation) -> Action:
        """Retrieve candidates, ask the model, and show the items that it picks."""
        self._profile.observe(observation)
        items, context = list_candidates(
            observation, self._brief, self._profile, self._retrieval, self._num_candidates
        )
        if not items:
            return Action()
        numbers = self._choose(context)
        picked = [items[number - 1] for number in numbers]
        rest = [item for item in items if item not in picked]
        return Action(tuple((picked + rest)[: context.wanted]))

    def _choose(self, context: PromptContext) -> tuple[int, ...]:
        """The valid numbers of the model's answer, after at most two requests."""
        text, generation, answer = self._generate(context, build_prompt(context))
        generated = [(text, generation)]
        outcome: ReplyOutcome = "valid"
        if not answer.valid:
            text, generation, second = self._generate(
                context, build_repair_prompt(context, text, answer)
            )
            generated.append((text, generation))
            outcome = "repaired" if second.valid else "fallback"
            answer = max(answer, second, key=lambda one: (one.valid, len(one.numbers)))
        self.replies += [Reply(text, outcome, generation) for text, generation in generated]
        return answer.numbers

    def _generate(
        self, context: PromptContext, messages: list[dict[str, str]]
    ) -> tuple[str, Generation, ParsedAnswer]:
        tokenizer: Any = self._decoder.pair.tokenizer
        prompt = encode(tokenizer, messages, ANSWER_PREFIX)
        limit = max_answer_tokens(tokenizer, context)
        generation = self._decoder.generate(prompt, limit, seed=self._brief.seed)
        text = str(tokenizer.decode(list(generation.tokens), skip_special_tokens=True))
        return text, generation, parse_answer(ANSWER_PREFIX + text, context.titles, context.wanted)
