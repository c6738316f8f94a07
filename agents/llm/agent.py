"""The llm agent: retrieval proposes, a language model picks and answers in JSON."""

from __future__ import annotations

from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ...envs.catalogs.public import PublicData
from ...errors import InputError
from ...records import Action, Brief, Generation, Observation, Reply, ReplyOutcome
from .listing import listing
from .parse import Answer, parse
from .profile import Profile
from .prompt import Turn, ask, ask_again, begin, encode, limit, prompts_hash
from .retrieval import Retrieval, Weights

if TYPE_CHECKING:
    from ...decoders.base import Decoder, ModelPair

CANDIDATES, MEMORY = 12, 60


class LlmAgent:
    """Asks a language model for the `slate_size` best out of a list of candidates.

    An answer that `parse` does not find valid is asked for once more, with what was wrong; if
    that fails too, the entries that were usable come first and the retrieval's order fills the
    slate. Neither the model nor the catalog's text is changed by what is played.

    decoder      a decoder's name, or a decoder that is ready to generate; a ready one cannot be
                 sent to other processes, so `evaluate` wants the name
    pair         name of its models, or the models; unused where `decoder` is ready
    candidates   length of the list (at least the slate's)
    memory       how many items shown last stay off the list
    temperature  of the decoder, where it is made here
    threads      of torch while decoding, likewise; a logit's last bits depend on them
    device       where the models are loaded to, likewise, as torch spells it: cpu, cuda, cuda:1
    dtype        of their weights, likewise: float32, bfloat16 or float16

    Raises InputError where a list or a memory of that length makes no sense.
    """

    name = "llm"
    uses_language_model = True

    def __init__(
        self,
        decoder: str | Decoder = "autoregressive",
        pair: str | ModelPair = "tiny",
        candidates: int = CANDIDATES,
        memory: int = MEMORY,
        weights: Weights | None = None,
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
        self.weights = weights or Weights()
        self._decoder, self._pair = decoder, pair
        self._how: dict[str, Any] = {
            "temperature": temperature,
            "threads": threads,
            "device": device,
            "dtype": dtype,
        }
        self._world: PublicData | None = None

    @cached_property
    def decoder(self) -> Decoder:
        """The decoder, loaded when first needed; raises InputError where it cannot be."""
        return self._made()

    def _made(self) -> Decoder:
        if not isinstance(self._decoder, str):
            return self._decoder
        from ...decoders import make_decoder

        return make_decoder(self._decoder, self._pair, **self._how)

    def __getstate__(self) -> dict[str, Any]:
        """The recipe alone: a copy in another process loads the models for itself."""
        loaded = ("decoder", "_world", "_retrieval")
        return {**{k: v for k, v in self.__dict__.items() if k not in loaded}, "_world": None}

    def __deepcopy__(self, memo: dict[int, Any]) -> LlmAgent:
        """The agent itself: all that it learns about users is in their sessions."""
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

    def prepare(self, world: PublicData) -> None:
        """Index the catalog and the log, and load the models; raises InputError."""
        if self.decoder.pair.tokenizer is None:
            raise InputError(f"pair {self.decoder.pair.name!r} has no tokenizer; give it one")
        self._world = world
        self._retrieval = Retrieval(world, self.weights)

    def start(self, brief: Brief) -> LlmSession:
        """Open a session that remembers what this user chose in the log."""
        return self._session(brief, self.decoder)

    def _session(self, brief: Brief, decoder: Decoder) -> LlmSession:
        if self._world is None:
            raise RuntimeError("prepare() comes before start()")
        profile = Profile(self._world.catalog, self._world.log, brief.user, self.memory)
        return LlmSession(brief, self._retrieval, profile, decoder, self.candidates)


class LlmSession:
    """One user's conversation; `replies` holds every generation of this life, in order.

    All replies of one turn carry the outcome of that turn.
    """

    def __init__(
        self,
        brief: Brief,
        retrieval: Retrieval,
        profile: Profile,
        decoder: Decoder,
        candidates: int,
    ) -> None:
        self.replies: list[Reply] = []
        self._brief = brief
        self._retrieval = retrieval
        self._profile = profile
        self._decoder = decoder
        self._candidates = candidates

    def act(self, observation: Observation) -> Action:
        """Retrieve, ask, and show what the answer names."""
        self._profile.observe(observation)
        listed, turn = listing(
            observation, self._brief, self._profile, self._retrieval, self._candidates
        )
        if not listed:
            return Action()
        numbers = self._choose(turn)
        picked = [listed[number - 1] for number in numbers]
        rest = [item for item in listed if item not in picked]
        return Action(tuple((picked + rest)[: turn.wanted]))

    def _choose(self, turn: Turn) -> tuple[int, ...]:
        """The usable numbers of the model's answer, asked for at most twice."""
        text, generation, answer = self._ask(turn, ask(turn))
        asked = [(text, generation)]
        outcome: ReplyOutcome = "valid"
        if not answer.valid:
            text, generation, second = self._ask(turn, ask_again(turn, text, answer))
            asked.append((text, generation))
            outcome = "repaired" if second.valid else "fallback"
            answer = max(answer, second, key=lambda one: (one.valid, len(one.numbers)))
        self.replies += [Reply(said, outcome, how) for said, how in asked]
        return answer.numbers

    def _ask(self, turn: Turn, messages: list[dict[str, str]]) -> tuple[str, Generation, Answer]:
        tokenizer: Any = self._decoder.pair.tokenizer
        prompt = encode(tokenizer, messages, begin(turn))
        room = limit(tokenizer, turn)
        generation = self._decoder.generate(prompt, room, seed=self._brief.seed)
        text = str(tokenizer.decode(list(generation.tokens), skip_special_tokens=True))
        return text, generation, parse(begin(turn) + text, turn.titles, turn.wanted)
