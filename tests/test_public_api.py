"""The public API is complete and imported lazily; each check runs in a fresh interpreter."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import tasteshift

HEAVY = {"torch", "transformers", "pandas", "sqlalchemy", "scipy", "plotly", "recbole", "pyarrow"}
REPORT = f"import json, sys; print(json.dumps(sorted({HEAVY} & set(sys.modules))))"


def fresh(code: str, cwd: Path) -> str:
    """The last line that `code` prints in a new interpreter."""
    ran = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=cwd,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    return ran.stdout.splitlines()[-1]


def test_import_loads_nothing_heavy(tmp_path: Path) -> None:
    assert json.loads(fresh(f"import tasteshift; {REPORT}", tmp_path)) == []


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    code = (
        f"import runpy, sys\nsys.argv = ['tasteshift', *{arguments!r}]\n"
        "try:\n    runpy.run_module('tasteshift', run_name='__main__')\n"
        f"except SystemExit as end:\n    assert not end.code, end.code\n{REPORT}"
    )
    assert json.loads(fresh(code, tmp_path)) == []


def test_import_registers_the_environments(tmp_path: Path) -> None:
    code = "import gymnasium, tasteshift; print('TasteShift/Lifelong-v0' in gymnasium.registry)"
    assert fresh(code, tmp_path) == "True"


@pytest.mark.parametrize("name", tasteshift.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert name in dir(tasteshift)
    assert getattr(tasteshift, name) is getattr(tasteshift, name)


def test_lazy_names_are_the_objects_of_their_modules() -> None:
    from tasteshift.decoders import make_decoder
    from tasteshift.envs.catalogs.load import load_catalog
    from tasteshift.suites.evaluate import evaluate

    assert tasteshift.make_decoder is make_decoder
    assert tasteshift.load_catalog is load_catalog
    assert tasteshift.evaluate is evaluate


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'recommend'"):
        _ = tasteshift.recommend


@pytest.mark.parametrize(
    ("register", "module", "registry"),
    [
        ("register_agent", "agents", "AGENTS"),
        ("register_decoder", "decoders", "DECODERS"),
        ("register_suite", "suites.suite", "SUITES"),
        ("register_scenario", "envs.simulator.scenarios", "SCENARIOS"),
        ("register_catalog", "envs.catalogs.load", "CATALOGS"),
    ],
)
def test_registering_adds_a_name(register: str, module: str, registry: str, tmp_path: Path) -> None:
    code = (
        f"import tasteshift\nfrom tasteshift.{module} import {registry}\n"
        f"tasteshift.{register}('mine', 'collections:OrderedDict')\n"
        f"print('mine' in {registry}, {registry}.get('mine').__name__)"
    )
    assert fresh(code, tmp_path) == "True OrderedDict"
