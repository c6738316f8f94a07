"""llm-batch gives what llm gives for each user."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tasteshift.agents.llm.agent import LlmAgent
from tasteshift.agents.llm.batch import LlmBatchAgent
from tasteshift.decoders import make_decoder
from tasteshift.envs.catalogs.public import PublicData
from tasteshift.errors import InputError
from tasteshift.records import Brief, Observation

BRIEF = Brief(user=0, seed=9, slate_size=3, sessions=1, turns=2, age_group="adult")
UTTERANCES = ("I am in the mood for comedy.", "", "Something with crime, please.", "No more drama.")


@pytest.mark.parametrize("decoder", ["autoregressive", "mcsd", "exact-dynamic"])
def test_a_batch_equals_separate_users(small_public: PublicData, decoder: str) -> None:
    one_by_one, at_once = LlmAgent(decoder), LlmBatchAgent(decoder)
    for agent in (one_by_one, at_once):
        agent.prepare(small_public)
    briefs = [replace(BRIEF, user=user, seed=user) for user in range(len(UTTERANCES))]
    alone, joined = ([agent.start(one) for one in briefs] for agent in (one_by_one, at_once))
    for turn in range(2):
        observations = [
            Observation(user, 0, turn, turn, 2, utterance=said)
            for user, said in enumerate(UTTERANCES)
        ]
        actions = at_once.act_batch(joined, observations)
        pairs = zip(alone, observations, strict=True)
        assert actions == [session.act(seen) for session, seen in pairs]
    for one, other in zip(alone, joined, strict=True):
        texts = [[(reply.text, reply.outcome) for reply in s.replies] for s in (one, other)]
        assert texts[0] == texts[1]
        assert len(texts[0]) >= 2


def test_a_decoder_instance_is_refused(small_public: PublicData) -> None:
    agent = LlmBatchAgent(make_decoder("autoregressive"))
    agent.prepare(small_public)
    with pytest.raises(InputError, match="give its name"):
        agent.start(BRIEF)


def test_an_empty_batch(small_public: PublicData) -> None:
    agent = LlmBatchAgent()
    agent.prepare(small_public)
    assert agent.act_batch([], []) == []
