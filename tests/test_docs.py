"""Documented commands, code and names exist and work."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import tasteshift
from tasteshift.agents import AGENTS
from tasteshift.cli import app
from tasteshift.decoders import DECODERS, PAIRS
from tasteshift.envs.lifelong import Lifelong
from tasteshift.envs.simulator.scenarios import SCENARIOS
from tasteshift.metrics import METRICS
from tasteshift.suites.suite import SUITES

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def commands() -> list[str]:
    lines = [line for page in PAGES for block in blocks(page, "sh") for line in block.splitlines()]
    found = [line.partition("#")[0].strip() for line in lines]
    return sorted({line for line in found if line.startswith("tasteshift ")})


def output_of(source: str, folder: Path) -> str:
    """Standard output of a program in a new interpreter that runs in `folder`."""
    ran = subprocess.run(
        [sys.executable, "-P", "-c", source],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_documents_contain_commands():
    assert len(commands()) >= 6


@pytest.mark.parametrize("line", commands())
def test_documented_commands_parse(line):
    command, words = typer.main.get_command(app), shlex.split(line)[1:]
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    command.make_context(command.name, words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_have_targets(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("docs/environment.md", SCENARIOS.names()),
        ("docs/environment.md", [*Lifelong("synthetic:60").observation_space]),
        ("docs/agents.md", AGENTS.names()),
        ("docs/decoders.md", [*DECODERS.names(), *PAIRS.names()]),
        ("docs/suites/quick.md", [task.name for task in SUITES.get("quick").tasks]),
    ],
)
def test_pages_name_everything_that_is_registered(page, names):
    text = (ROOT / page).read_text(encoding="utf-8")
    # other tests register names of their own
    missing = [name for name in names if f"`{name}`" not in text and "test" not in name]
    assert not missing


def test_every_metric_and_every_suite_has_a_page():
    pages = {re.sub(r"_\d+$", "", name) for name in METRICS}
    assert [name for name in pages if not (ROOT / "docs" / "metrics" / f"{name}.md").exists()] == []
    suites = [SUITES.get(name).name for name in SUITES if name not in ("smoke", "board-test")]
    assert [s for s in suites if not (ROOT / "docs" / "suites" / f"{s}.md").exists()] == []


def test_the_documented_agent_runs(tmp_path):
    (source,) = blocks(ROOT / "docs" / "agents.md", "python")
    scope = {"__name__": "guide"}
    exec(source, scope)
    run = tasteshift.evaluate(scope["Newest"](), "smoke", out=tmp_path / "newest")
    invalid = run.scores.query("metric == 'invalid_actions'")["value"]
    assert invalid.tolist() == [0.0] * len(invalid)


def test_the_readme_python_runs(tmp_path):
    (source,) = blocks(ROOT / "README.md", "python")
    assert "normalized_return" in output_of(source, tmp_path)
    scores = json.loads((tmp_path / "runs" / "linucb-20" / "scores.json").read_text())
    assert {score["task"] for score in scores} == {t.name for t in SUITES.get("quick").tasks}


def test_the_contributing_examples_run(tmp_path):
    """Each example in its turn, in one program: the suite at the end uses what came before."""
    source = "\n".join(blocks(ROOT / "CONTRIBUTING.md", "python"))
    assert "slate_length" in output_of(source, tmp_path)
