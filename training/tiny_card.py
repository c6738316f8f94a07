"""Measure pair `tiny` for its model card: python training/tiny_card.py --folder tiny

All figures are of held-out episodes: environment seeds and users that were not trained on.
Prints the sections of the card that hold figures, the fast ones first.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from tiny_documents import answers, asked, dialogues, turns
from tiny_episodes import FILMS, HELD_USERS
from tiny_training import PROSE, Encoded, encode, scores
from tokenizers import Tokenizer

from tasteshift.agents import make_agent
from tasteshift.agents.llm.agent import LlmAgent
from tasteshift.agents.llm.parse import parse_answer
from tasteshift.agents.llm.prompt import ANSWER_PREFIX, build_prompt, max_answer_tokens
from tasteshift.agents.llm.prompt import encode as encode_prompt
from tasteshift.decoders import make_decoder
from tasteshift.decoders.base import ModelPair
from tasteshift.decoders.execution.reader import Reader
from tasteshift.decoders.pairs import tiny
from tasteshift.envs.lifelong import Lifelong
from tasteshift.envs.simulator.training_log import public_data
from tasteshift.suites.engine.stepping import play_episode


def greedy_answers(pair: ModelPair, rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Greedy answers to the usual prompts: whether they are valid, and how good the picks are.

    Picks are scored by the user's expected enjoyment (0 for items that must not be shown), beside
    the first ones of the list, the teacher's, and all listed.
    """
    decoder = make_decoder("autoregressive", pair, threads=1)
    found: dict[str, list[float]] = {}
    written = []
    for number, row in enumerate(rows):
        turn, worth = asked(row, np.random.default_rng((7, number)))
        prompt = encode_prompt(pair.tokenizer, build_prompt(turn), ANSWER_PREFIX)
        ids = decoder.generate(prompt, max_answer_tokens(pair.tokenizer, turn)).tokens
        text = ANSWER_PREFIX + pair.tokenizer.decode(list(ids), skip_special_tokens=True)
        answer = parse_answer(text, turn.titles, turn.wanted)
        best = 1 + np.argsort(-worth, kind="stable")[: turn.wanted]
        joy = np.maximum(worth, 0.0)
        one = {
            "valid": answer.valid,
            "with a sentence": bool(answer.say),
            "ended": ids[-1] in pair.stops,
            "share of the teacher's picks": len({*answer.numbers} & {*best.tolist()}) / turn.wanted,
            "the same by chance": turn.wanted / len(turn.titles),
            "first is the teacher's first": answer.numbers[:1] == (int(best[0]),),
            "enjoyment, target": joy[[n - 1 for n in answer.numbers]].mean()
            if answer.numbers
            else 0,
            "enjoyment, first listed": joy[: turn.wanted].mean(),
            "enjoyment, teacher": joy[best - 1].mean(),
            "enjoyment, all listed": joy.mean(),
            "tokens": len(ids),
        }
        for name, value in one.items():
            found.setdefault(name, []).append(float(value))
        written.append((prompt, ids))
    agreed = [agreement(pair, prompt, ids) for prompt, ids in written]
    found["draft top-1 on the target's own answers"] = np.concatenate(agreed).tolist()
    return {name: round(float(np.mean(values)), 4) for name, values in found.items()}


@torch.no_grad()
def agreement(pair: ModelPair, prompt: Sequence[int], ids: Sequence[int]) -> np.ndarray:
    """(tokens,) whether the draft's likeliest token is the one that the target generated."""
    text = torch.tensor([[*prompt, *ids]])
    predicted = pair.draft(text, use_cache=False).logits[0, len(prompt) - 1 : -1].argmax(1)
    return (predicted == text[0, len(prompt) :]).numpy()


def pass_costs(pair: ModelPair, passes: int = 300) -> dict[str, float]:
    """Milliseconds of a pass over one token behind 400 others, interleaved; quiet machines only."""
    readers = {"target": Reader(pair.target), "draft": Reader(pair.draft)}
    seconds: dict[str, list[float]] = {name: [] for name in readers}
    with torch.inference_mode():
        for reader in readers.values():
            reader.begin(tuple(range(1, 401)), 8)
        for _ in range(passes):
            for name, reader in readers.items():
                since = time.perf_counter()
                reader.feed([5])
                seconds[name].append(time.perf_counter() - since)
                reader.commit([])
    low = {name: 1e3 * float(np.quantile(values, 0.1)) for name, values in seconds.items()}
    return {**low, "draft / target": low["draft"] / low["target"]}


class Retrieved(LlmAgent):
    """The same agent without its model: it shows the first items of the list."""

    def start(self, brief: Any) -> Any:
        """A session that never asks the model."""
        session = super().start(brief)
        session._choose = lambda turn: tuple(range(1, turn.wanted + 1))
        return session


def episodes(pair: ModelPair, users: int) -> dict[str, Any]:
    """Mean expected reward per turn on task lifelong/first-session: paired over users, seed 0."""
    env = Lifelong(FILMS, "stationary", 5, 1, 2)
    public = public_data(env.world)
    agents = {
        "tiny": LlmAgent("autoregressive", pair),
        "retrieval": Retrieved("autoregressive", pair),
        "popular": make_agent("popular"),
    }
    earned: dict[str, list[float]] = {name: [] for name in agents}
    outcomes: list[str] = []
    for name, agent in agents.items():
        agent.prepare(public)
        for user in env.world.sample_users(0, users):
            episode = play_episode(
                env, agent, task="lifelong/first-session", seed=0, user=user, policy=name
            )
            earned[name].append(float(np.mean([step.expected for step in episode.steps])))
            outcomes += [reply.outcome for turn in episode.replies for reply in turn]
    tiny_, others = np.array(earned["tiny"]), ("retrieval", "popular")
    gaps = {name: interval(tiny_ - np.array(earned[name])) for name in others}
    return {
        "users": users,
        **{name: round(float(np.mean(values)), 4) for name, values in earned.items()},
        **{f"tiny − {name} (95 %)": gap for name, gap in gaps.items()},
        "outcomes": {name: outcomes.count(name) for name in sorted({*outcomes})},
    }


def interval(gaps: np.ndarray) -> list[float]:
    """Mean of paired differences with its 95 % bootstrap interval."""
    rng = np.random.default_rng(0)
    means = rng.choice(gaps, (10_000, len(gaps))).mean(axis=1)
    return [round(float(v), 4) for v in (gaps.mean(), *np.quantile(means, (0.025, 0.975)))]


def curve(path: Path) -> str:
    """Held-out scores during training, as a table of at most a dozen rows."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    shown = [rows[k] for k in sorted({*np.linspace(0, len(rows) - 1, 12).round().astype(int)})]
    columns = ("step", "spent", "loss", *(f"{kind} top-1" for kind in ("title", "answer", "prose")))
    return table(columns, ([row[column] for column in columns] for row in shown))


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def listed(found: Mapping[str, Any]) -> str:
    """Measurements by name, as a list in Markdown."""
    return "\n".join(
        f"- {name}: {round(value, 4) if isinstance(value, float) else value}"
        for name, value in found.items()
    )


def kinds_table(found: Mapping[str, Mapping[str, float]]) -> str:
    """Next-token scores by the kind of token: a column for each model and score."""
    wanted = [
        ("target", "loss"),
        ("target", "top-1"),
        ("draft", "loss"),
        ("draft", "top-1"),
        ("draft agrees with target", "top-1"),
    ]
    columns = ("", *(model if "agrees" in model else f"{model} {what}" for model, what in wanted))
    kinds = ("prompt", "frame", "number", "title", "say", "answer", "prose")
    return table(
        columns,
        ([kind, *(found[model][f"{kind} {what}"] for model, what in wanted)] for kind in kinds),
    )


def main() -> None:
    """Measure the parts and print each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("tiny"))
    parser.add_argument("--weights", type=Path, default=tiny.FOLDER)
    parser.add_argument("--answers", type=int, default=100)
    parser.add_argument("--users", type=int, default=HELD_USERS)
    parser.add_argument(
        "parts", nargs="*", default=["curves", "costs", "texts", "answers", "episodes"]
    )
    given = parser.parse_args()
    torch.set_num_threads(1)
    pair = tiny.load("cpu", given.weights)
    tokenizer = Tokenizer.from_file(str(given.weights / tiny.TOKENIZER))
    trained = {(row["catalog"], row["user"]) for row in turns(given.folder / "turns.jsonl")}
    rows = [
        row
        for row in turns(given.folder / "held-out.jsonl")
        if (row["catalog"], row["user"]) not in trained
    ]
    some = [rows[k] for k in np.random.default_rng(0).permutation(len(rows))[: given.answers]]

    def texts() -> str:
        documents = [encode(tokenizer, one) for one in [*answers(some, 3), *dialogues(rows, 3)]]
        prose = [one for one in documents if one.kinds[0] == PROSE][: given.answers]
        held: list[Encoded] = [*documents[: len(some)], *prose]
        found = {
            "target": scores(pair.target, held),
            "draft": scores(pair.draft, held),
            "draft agrees with target": scores(pair.draft, held, pair.target),
        }
        return f"{kinds_table(found)}\n\n{len(held)} documents."

    parts: dict[str, tuple[str, Callable[[], str]]] = {
        "curves": (
            "Held-out scores of the target during training",
            lambda: curve(given.folder / "target.jsonl"),
        ),
        "costs": (
            "Milliseconds of a one-token pass behind 400 others, one thread, lowest tenth of 300",
            lambda: listed(pass_costs(pair)),
        ),
        "texts": ("Next-token scores, teacher-forced", texts),
        "answers": ("Greedy answers", lambda: listed(greedy_answers(pair, some))),
        "episodes": (
            "Task lifelong/first-session, mean expected reward per turn, seed 0, paired over users",
            lambda: listed(episodes(pair, given.users)),
        ),
    }
    for name in given.parts:
        title, measured = parts[name]
        print(f"{title}:\n\n{measured()}\n", flush=True)


if __name__ == "__main__":
    main()
