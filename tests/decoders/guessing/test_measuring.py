"""Costs that are measured: for every size, once for a shape, and used by those who plan."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tasteshift.decoders import make_decoder
from tasteshift.decoders.base import ModelPair
from tasteshift.decoders.guessing import measuring
from tasteshift.decoders.guessing.measuring import measure, with_profile
from tasteshift.decoders.guessing.profile import ROWS, STORED, Profile, default_profile


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TASTESHIFT_CACHE", str(tmp_path))
    return tmp_path / "profiles"


def test_measuring_gives_a_cost_for_every_size(pair: ModelPair) -> None:
    profile = measure(pair, context=20, rows=(1, 3), repeats=1, threads=1)
    assert profile.rows == (1, 3)
    assert min(*profile.target, *profile.draft) > 0
    assert not profile.steps


def test_it_is_done_once_for_a_shape(llama, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = ModelPair(llama(1, layers=3), llama(2), None, "one")
    measured = with_profile(pair)
    assert measured.profile is not None
    assert measured.profile.rows == ROWS
    assert measured == pair
    assert len([*folder.iterdir()]) == 1
    monkeypatch.setattr(measuring, "measure", lambda *_, **__: pytest.fail("measured again"))
    other_weights = ModelPair(llama(3, layers=3), llama(4), None, "another")
    assert with_profile(other_weights).profile == measured.profile
    with pytest.raises(pytest.fail.Exception):
        with_profile(ModelPair(llama(1, layers=2), llama(2), None, "one"))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"profile": {"rows": [1]}}'])
def test_a_broken_file_is_made_anew(pair: ModelPair, folder: Path, text: str) -> None:
    with_profile(pair)
    (path,) = folder.iterdir()
    path.write_text(text)
    found = with_profile(pair).profile
    assert found is not None
    assert Profile(**json.loads(path.read_text())["profile"]) == found


def test_a_folder_that_cannot_be_written_is_no_reason_to_stop(
    pair: ModelPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TASTESHIFT_CACHE", str(tmp_path / "file"))
    assert with_profile(pair).profile is not None


def test_what_is_stored_comes_first_and_is_for_its_type_alone(pair: ModelPair) -> None:
    named = replace(pair, name="tiny")
    assert with_profile(named) is named
    assert default_profile(named) == STORED["tiny cpu"]


def test_a_decoder_plans_with_what_was_measured(pair: ModelPair) -> None:
    """A target that costs nothing more by the row is asked about more nodes."""
    flat = Profile(rows=(1, 64), target=(50.0, 50.0), draft=(0.1, 0.1))
    steep = Profile(rows=(1, 64), target=(1.0, 64.0), draft=(1.0, 64.0))
    nodes = [
        sum(r.drafted_nodes for r in make_decoder("exact-dynamic", one).generate((1, 2), 30).rounds)
        for one in (replace(pair, profile=flat), replace(pair, profile=steep))
    ]
    assert nodes[0] > nodes[1]
