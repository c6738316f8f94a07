"""Measured cost profiles: every size, once for a shape, kept between processes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tasteshift.decoders import make_decoder
from tasteshift.decoders.base import ModelPair
from tasteshift.decoders.drafting import cost_measurement
from tasteshift.decoders.drafting.cost_measurement import measure, measured_profile
from tasteshift.decoders.drafting.cost_profile import ROWS, CostProfile
from tasteshift.decoders.drafting.stored_profiles import STORED, default_profile


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cost_measurement, "folder", lambda: tmp_path)
    return tmp_path / "profiles"


@pytest.fixture(autouse=True)
def another_process(monkeypatch: pytest.MonkeyPatch):
    """Returns a function that forgets all but what is on disk."""

    def begin() -> None:
        monkeypatch.setattr(cost_measurement, "_known", {})

    begin()
    return begin


def test_measuring_gives_a_cost_for_every_size(pair: ModelPair) -> None:
    profile = measure(pair, context=20, rows=(1, 3), repeats=1, threads=1)
    assert profile.rows == (1, 3)
    assert min(*profile.target, *profile.draft) > 0
    assert not profile.steps


def test_measuring_ends_in_time_and_covers_every_size(
    pair: ModelPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost_measurement, "MAX_SECONDS", 0.0)
    assert len(measure(pair, context=20, repeats=10**9).target) == len(ROWS)


def test_each_shape_is_measured_once(
    llama, folder: Path, another_process, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = ModelPair(llama(1, layers=3), llama(2), None, "one", timed=True)
    found = measured_profile(pair)
    assert found.rows == ROWS
    assert len([*folder.iterdir()]) == 1
    monkeypatch.setattr(cost_measurement, "measure", lambda *_, **__: pytest.fail("measured again"))
    other_weights = ModelPair(llama(3, layers=3), llama(4), None, "another", timed=True)
    assert measured_profile(other_weights) is found
    another_process()
    assert default_profile(other_weights) == found
    with pytest.raises(pytest.fail.Exception):
        measured_profile(ModelPair(llama(1, layers=2), llama(2), None, "one"))


def test_the_first_process_to_end_decides(
    pair: ModelPair, folder: Path, another_process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes begin with an empty folder, and this one ends second."""
    first = CostProfile(rows=(1, 2), target=(1.0, 2.0), draft=(0.5, 0.5))

    def slowly(*_, **__) -> CostProfile:
        with monkeypatch.context() as quick:
            quick.setattr(cost_measurement, "measure", lambda *_, **__: first)
            measured_profile(pair)
        another_process()
        return CostProfile(rows=(1, 2), target=(3.0, 3.0), draft=(0.5, 0.5))

    monkeypatch.setattr(cost_measurement, "measure", slowly)
    assert measured_profile(pair) == first
    assert len([*folder.iterdir()]) == 1


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"profile": {"rows": [1]}}'])
def test_a_broken_file_is_replaced(
    pair: ModelPair, folder: Path, another_process, text: str
) -> None:
    measured_profile(pair)
    (path,) = folder.iterdir()
    path.write_text(text)
    another_process()
    found = measured_profile(pair)
    assert CostProfile(**json.loads(path.read_text())["profile"]) == found


def test_measuring_works_where_the_folder_cannot_be_written(
    pair: ModelPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(cost_measurement, "folder", lambda: tmp_path / "file")
    assert measured_profile(pair) is measured_profile(pair)


def test_only_timed_pairs_without_a_stored_profile_are_measured(
    pair: ModelPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not pair.timed
    monkeypatch.setattr(cost_measurement, "measure", lambda *_, **__: pytest.fail("measured"))
    assert default_profile(pair).rows == ROWS
    assert default_profile(replace(pair, name="tiny", timed=True)) == STORED["tiny cpu"]
    with pytest.raises(pytest.fail.Exception):
        default_profile(replace(pair, timed=True))


def test_a_decoder_plans_with_the_measured_profile(
    pair: ModelPair, another_process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where rows cost nothing more, more nodes are drafted."""
    timed, nodes = replace(pair, timed=True), []
    for costs in ((50.0, 50.0), (1.0, 64.0)):
        found = CostProfile(rows=(1, 64), target=costs, draft=(0.1, 0.1))
        monkeypatch.setattr(cost_measurement, "_known", {})
        monkeypatch.setattr(cost_measurement, "_stored", lambda path, found=found: found)
        text = make_decoder("exact-dynamic", timed).generate((1, 2), 30)
        nodes.append(sum(r.drafted_nodes for r in text.rounds))
    assert nodes[0] > nodes[1]
