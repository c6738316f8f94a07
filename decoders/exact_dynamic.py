"""Lossless decoding with common random numbers: candidates from anywhere, in trees of any size.

The target's token at a position is y = argmax p / E, with E the very exponentials that
`autoregressive` uses there, so the text is that decoder's, token for token. A candidate equals y or
it does not, and nothing about how it was found, ranked, pruned or paid for can change the text (a
coupling: see Gumbel-max list sampling, arXiv 2506.05632). Candidates of the draft model are ranked
by q / E with the same E; the tree, its sources and its size are whatever makes a round pay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ..errors import InputError
from .base import ModelPair
from .drafting.candidate_sources import CandidateSources
from .drafting.cost_profile import CostProfile
from .drafting.draft_passes import DraftPasses
from .drafting.planned_text import PassCosts, PlannedText
from .drafting.stored_profiles import chosen_profile
from .drafting.tree_planner import CandidateTree, TreePlanner
from .generated_text import GeneratedText
from .rounds import RoundDecoder, Verified
from .sampling.draft_tree import on_demand
from .sampling.noise import Stream

SOURCES = ("copy", "recycled", "draft")


class ExactDynamic(RoundDecoder[PlannedText, CandidateTree]):
    """Submit in each round the tree with the most expected tokens per second, often none at all.

    sources  of candidates: any of "copy", "recycled", "draft"
    nodes    candidates per round, at most
    depth    of the deepest candidate
    width    candidates per position and source
    profile  what passes cost: a CostProfile, its `config()`, or None for the pair's own

    planned  tokens that the rounds of the last text were expected to write, and the milliseconds
             that they were expected to take, by the profile
    """

    name = "exact-dynamic"
    exact = True

    def __init__(
        self,
        pair: ModelPair,
        *,
        sources: Sequence[str] = SOURCES,
        nodes: int = 47,
        depth: int = 24,
        width: int = 4,
        profile: CostProfile | Mapping[str, Any] | None = None,
        **common: Any,
    ) -> None:
        super().__init__(pair, **common)
        is_list = isinstance(sources, Sequence) and not isinstance(sources, str)
        if not (is_list and all(source in SOURCES for source in sources)):
            raise InputError(f"sources is {sources!r}; give a list of {', '.join(SOURCES)}")
        for name, value in (("nodes", nodes), ("depth", depth), ("width", width)):
            if type(value) is not int or value < 1:
                raise InputError(f"{name} is {value!r}; give a whole number ≥ 1")
        self.sources = tuple(source for source in SOURCES if source in sources)
        self.most_nodes = nodes + 1
        self.max_depth = depth
        self.width = width
        self.profile = chosen_profile(profile, pair)
        self.planned = (0.0, 0.0)

    def config(self) -> dict[str, Any]:
        """As in Decoder, with what decides the trees; the text does not depend on it."""
        return super().config() | {
            "sources": list(self.sources),
            "nodes": self.most_nodes - 1,
            "depth": self.max_depth,
            "width": self.width,
            "profile": self.profile.config(),
        }

    def new_text(self, prompt: tuple[int, ...], limit: int, stream: Stream) -> PlannedText:
        """The empty text of a call; what is learned from it ends with it."""
        vocabulary, trust = self.pair.vocabulary, self.profile.trust
        sources = CandidateSources(
            self.sampling, stream, vocabulary, self.sources, self.width, trust
        )
        costs = PassCosts.of(self.profile, self.most_nodes)
        stops, shares_cache = self.pair.stops, self.pair.early_exit
        return PlannedText(prompt, limit, stops, stream, sources, costs, shares_cache)

    def draft(self, text: PlannedText) -> CandidateTree:
        """Build a tree of candidates that cost nothing, draft where that pays, cut it to size."""
        text.index_new_tokens()
        passes = DraftPasses(self.draft_model, text.unread_by_draft())
        plan = TreePlanner(text, passes, self.max_depth, "draft" in self.sources)
        while (node := plan.next_read()) is not None:
            if not text.draft_begun:
                super().begin_draft(text)
                text.draft_begun = True
            plan.read(node)
        return plan.tree()

    def verify(self, tree: CandidateTree, target_logits: Tensor, text: PlannedText) -> Verified:
        """Follow the target's own tokens y = argmax p / E down the tree; learn from every node."""
        sources = text.sources
        positions = [len(text.tokens) + node.depth for node in tree.nodes]

        def target_tokens(nodes: range) -> tuple[Tensor]:
            rows = slice(nodes.start, nodes.stop)
            return (sources.target_tokens(target_logits[rows], positions[rows]),)

        result = on_demand(target_tokens, range(len(positions)), target_logits)
        successors = sources.recycled.best(target_logits) if "recycled" in self.sources else None
        node, path = tree.nodes[0], []
        while True:
            (y,) = result(tree.index[node])
            children = [child for child in node.children if child in tree.index]
            sources.learn(node, y, children, tree.draft_best.get(node))
            accepted = next((child for child in children if child.token == y), None)
            if accepted is None:
                break
            node = accepted
            path.append(tree.index[node])
        if successors is not None:
            previous = [node.tail[-2] for node in tree.nodes]
            sources.recycled.learn(previous, tree.on_host[0], successors)
        return Verified(path, y)

    def commit(self, tree: CandidateTree, verified: Verified, text: PlannedText) -> None:
        """As in RoundDecoder; the draft model may be several rounds behind."""
        path, token, _ = verified
        assert token is not None
        text.unread = [*tree.passes.commit([tree.nodes[index] for index in path]), token]

    def begin_draft(self, text: PlannedText) -> None:
        """Leave the prompt unread: the draft model may never be asked."""

    def decode(self, text: GeneratedText) -> None:
        """As in RoundDecoder."""
        super().decode(text)
        if isinstance(text, PlannedText):
            self.planned = text.planned
