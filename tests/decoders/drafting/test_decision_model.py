"""Decision models: features, files, and which one a decoder takes."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tasteshift.decoders.base import ModelPair
from tasteshift.decoders.drafting import decision_model as decision
from tasteshift.decoders.drafting.decision_model import (
    DecisionModel,
    distribution_features,
    layer_sizes,
    load,
    path_for,
    perceptron,
    save,
    sizes_of,
)
from tasteshift.decoders.sampling.distribution import Sampling
from tasteshift.decoders.target_init_dynamic import TargetInitDynamic
from tasteshift.errors import InputError


def seeded(kind: decision.Kind, hidden: int, seed: int = 0) -> DecisionModel:
    """A model with random weights."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return DecisionModel(kind, perceptron(layer_sizes(kind, hidden)).eval())


def test_features_of_a_uniform_distribution() -> None:
    features = distribution_features(torch.full((2, 20), 3.5))
    assert features.shape == (2, 11)
    assert features[:, 0].tolist() == pytest.approx([math.log(20)] * 2)
    assert features[:, 1:].numpy() == pytest.approx(np.full((2, 10), 0.05))


def test_features_by_hand() -> None:
    """Probabilities (1/2, 1/4, 1/4) in some order, and one of 0: 1.5 bits."""
    logits = torch.tensor([[math.log(0.25), math.log(0.5), -math.inf, math.log(0.25)]])
    row = distribution_features(logits + 4)[0].tolist()
    assert row[0] == pytest.approx(1.5 * math.log(2))
    assert row[1:] == pytest.approx([0.5, 0.25, 0.25] + [0.0] * 7, abs=1e-6)


def test_features_ignore_the_decoders_temperature(pair: ModelPair) -> None:
    """The ten largest are sorted, and come from the logits as they are."""
    logits = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 31))).float()
    probs = logits.double().softmax(-1)
    features = distribution_features(logits).numpy()
    assert features[:, 1:] == pytest.approx(probs.topk(10).values.numpy())
    entropy = torch.distributions.Categorical(probs=probs).entropy().numpy()
    assert features[:, 0] == pytest.approx(entropy)


def test_layer_sizes_are_those_of_the_paper() -> None:
    assert layer_sizes("soft", 768) == (768, 512, 256, 1)
    assert layer_sizes("hard", 768) == (11, 44, 1)


@pytest.mark.parametrize("kind", decision.KINDS)
def test_probabilities_are_those_of_the_perceptron(kind: decision.Kind) -> None:
    model, noise = seeded(kind, 9), np.random.default_rng(1)
    logits, hidden = (torch.from_numpy(noise.normal(size=(5, n))).float() for n in (31, 9))
    x = (hidden if kind == "soft" else distribution_features(logits)).double().numpy()
    weights = [w.double().numpy() for w in model.network.state_dict().values()]
    for weight, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        x = np.maximum(x @ weight.T + bias, 0)
    expected = 1 / (1 + np.exp(-(x @ weights[-2].T + weights[-1])))
    assert model(logits, hidden).numpy() == pytest.approx(expected[:, 0], abs=1e-6)


def test_a_file_holds_one_model_of_each_kind(pair: ModelPair, tmp_path: Path) -> None:
    path = path_for("some", tmp_path)
    models = [seeded("soft", 9), seeded("hard", 9)]
    save(models, path, pair)
    assert path.name == "some-decision.safetensors"
    for model in models:
        again = load(path, model.kind)
        assert again.hash == model.hash
        assert again.features == model.features == (9 if model.kind == "soft" else 11)
        assert sizes_of(again.network.state_dict()) == layer_sizes(model.kind, 9)
    assert models[0].hash != seeded("soft", 9, seed=1).hash != models[1].hash


def test_unreadable_files(pair: ModelPair, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with pytest.raises(InputError, match="no soft decision model"):
        load(path, "soft")
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"training/decision\.py"):
        load(path, "soft")
    save([seeded("hard", 9)], path, pair)
    with pytest.raises(InputError, match="no soft decision model"):
        load(path, "soft")
    save_file({"soft.0.weight": torch.zeros(3, 2)}, path)
    with pytest.raises(InputError, match="no soft decision model"):
        load(path, "soft")


def test_the_models_of_a_pair_are_found_by_its_name(
    pair: ModelPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = [seeded("soft", 16), seeded("hard", 16)]
    save(models, path_for(pair.name, tmp_path), pair)
    monkeypatch.setattr(decision, "path_for", lambda name: path_for(name, tmp_path))
    found = {
        option: TargetInitDynamic(pair, decision=option).config()["decision"]
        for option in (None, "soft", "hard", "off")
    }
    assert found == {
        None: f"soft {models[0].hash}",
        "soft": f"soft {models[0].hash}",
        "hard": f"hard {models[1].hash}",
        "off": "off",
    }


def test_models_of_other_weights_are_not_used(
    pair: ModelPair, llama, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = ModelPair(pair.target, llama(8), None, pair.name)
    with torch.no_grad():
        other.draft.model.norm.weight += 0.1
    save([seeded("soft", 16), seeded("hard", 16)], path_for(pair.name, tmp_path), other)
    monkeypatch.setattr(decision, "path_for", lambda name: path_for(name, tmp_path))
    assert TargetInitDynamic(pair).config()["decision"] == "off"
    assert TargetInitDynamic(other).config()["decision"].startswith("soft ")
    with pytest.raises(InputError, match="trained on other weights"):
        TargetInitDynamic(pair, decision="hard")


def test_chains_that_were_not_drawn_do_not_count(llama) -> None:
    """With top-k 1 only one root has mass."""
    shape = {"vocab": 5, "layers": 1, "hidden": 8}
    pair = ModelPair(llama(2, **shape), llama(3, **shape), None, "few")
    rows = []

    class AllButFirst(DecisionModel):
        """Accepts all but the first row."""

        def __call__(self, logits, hidden):
            rows.append(len(logits))
            return torch.tensor([0.0] + [1.0] * (len(logits) - 1))

    model = AllButFirst("hard", perceptron((11, 1)))
    decoder = TargetInitDynamic(pair, width=3, depth=4, decision=model, temperature=1.0, top_k=1)
    generation = decoder.generate((1, 2), 6)
    assert {r.drafted_depth for r in generation.rounds} == {1}
    assert rows == [3] * len(generation.rounds)


@pytest.fixture(scope="module")
def training() -> ModuleType:
    """The script that trains the models."""
    path = Path(__file__).parents[3] / "training" / "decision.py"
    spec = importlib.util.spec_from_file_location("training_decision", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_labels_by_hand(training: ModuleType) -> None:
    """Token 1 with p = 1/4 and q = 1/2, then token 0 with p = 3/4 and q = 1/2."""
    logits = torch.tensor([[0.75, 0.25], [0.75, 0.25]]).log()
    table, tokens = torch.full((2, 2), 0.5), torch.tensor([1, 0])
    labels = training.accept_probs(Sampling(1.0), logits, table, tokens)
    assert labels.tolist() == pytest.approx([0.5, 1.0])
    assert training.accept_probs(Sampling(0.0), logits, table, tokens).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("kind", decision.KINDS)
def test_every_token_of_a_draft_equal_to_the_target_is_accepted(
    training: ModuleType, identical: ModelPair, kind: decision.Kind
) -> None:
    """Two rounds of (2 roots, 3 deep) after each of two prompts: 24 draft tokens."""
    recorder = training.Recorder(identical, kind, 2, 3, 1)
    features, labels = training.record(recorder, [(1, 2), (3,)], 8)
    assert features.shape == (24, 16 if kind == "soft" else 11)
    assert labels.tolist() == pytest.approx([1.0] * 24, abs=1e-4)


def test_area_by_hand(training: ModuleType) -> None:
    """Of four pairs of an accepted and a rejected token, two are in order and one is a tie."""
    scores, labels = np.array([0.1, 0.2, 0.3, 0.3]), np.array([0.0, 1.0, 0.0, 1.0])
    assert training.area(scores, labels) == 2.5 / 4
    assert training.area(scores, np.full(4, 0.3)) == pytest.approx(0.5)


def test_training_learns_a_simple_rule(
    training: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whether the first feature is above 1."""
    features = torch.from_numpy(np.random.default_rng(0).normal(1, 1, (600, 11))).float()
    labels = (features[:, 0] > 1).float()
    with torch.random.fork_rng([]):
        model = training.train(
            "hard",
            11,
            (features[:500], labels[:500]),
            (features[500:], labels[500:]),
            epochs=20,
            size=50,
            seed=1,
        )
    assert capsys.readouterr().out.count("held-out loss") == 20
    with torch.inference_mode():
        scores = model.network(features[500:]).squeeze(-1).numpy()
    assert training.area(scores, labels[500:].numpy()) > 0.95
