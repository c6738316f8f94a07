"""Registries import lazily, suggest near names, and read entry points of installed packages."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from tasteshift import registry as registry_module
from tasteshift.errors import InputError
from tasteshift.registry import Registry, UnknownName

EXTENSION = Path(__file__).parent / "extension"


@pytest.fixture
def planets() -> Registry[object]:
    made: Registry[object] = Registry("planet")
    made.register("mercury", "collections:Counter")
    made.register("venus", Counter)
    return made


def test_a_lazy_target_is_imported_when_asked_for(tmp_path: Path) -> None:
    (tmp_path / "slow_planet.py").write_text("class Pluto: ...\n")
    code = (
        "import sys; from tasteshift.registry import Registry\n"
        "planets = Registry('planet'); planets.register('pluto', 'slow_planet:Pluto')\n"
        "before = 'slow_planet' in sys.modules or 'pluto' not in planets.names()\n"
        "pluto = planets.get('pluto')\n"
        "print(before, pluto.__name__, planets.get('pluto') is pluto)"
    )
    ran = run_python(code, tmp_path)
    assert ran.split() == ["False", "Pluto", "True"]


def test_lazy_and_eager_targets_give_the_same_object(planets: Registry[object]) -> None:
    assert planets.get("mercury") is planets.get("venus") is Counter


def test_names_keep_the_order_of_registration(planets: Registry[object]) -> None:
    planets.register("earth", Counter)
    assert planets.names() == list(planets) == ["mercury", "venus", "earth"]
    assert "earth" in planets
    assert "mars" not in planets


@pytest.mark.parametrize("typed", ["venis", "vens", "Venus", "venus "])
def test_an_unknown_name_suggests_the_nearest(planets: Registry[object], typed: str) -> None:
    with pytest.raises(UnknownName, match=r"^unknown planet .*; did you mean 'venus'") as caught:
        planets.get(typed)
    assert "\n" not in str(caught.value)


def test_an_unknown_name_without_a_near_one_lists_all(planets: Registry[object]) -> None:
    with pytest.raises(UnknownName, match="known: mercury, venus"):
        planets.get("qqq")


def test_an_unknown_name_is_an_input_error() -> None:
    assert issubclass(UnknownName, InputError)


def test_a_registered_name_cannot_be_replaced(planets: Registry[object]) -> None:
    with pytest.raises(InputError, match="planet 'venus' is already registered"):
        planets.register("venus", dict)
    assert planets.get("venus") is Counter


def test_entry_points_of_the_right_group_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    points = EntryPoints(
        [
            EntryPoint("saturn", "collections:OrderedDict", "tasteshift.planets"),
            EntryPoint("io", "collections:deque", "tasteshift.moons"),
        ]
    )
    monkeypatch.setattr(registry_module, "entry_points", points.select)
    planets: Registry[object] = Registry("planet")
    assert planets.names() == ["saturn"]


def test_an_installed_package_adds_its_agent(tmp_path: Path) -> None:
    """A third-party package: pip install, entry point, new process, two decisions."""
    source, site = tmp_path / "source", tmp_path / "site"
    shutil.copytree(EXTENSION, source)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    subprocess.run(
        [sys.executable, "-P", "-m", "pip", "install", *options, "--target", site, source],
        check=True,
        timeout=120,
    )
    code = (
        "import json\n"
        "from tasteshift.agents import AGENTS, make_agent\n"
        "from tasteshift.records import Brief, Observation\n"
        "session = make_agent('top-shelf').start(Brief(0, 7, 3, 1, 2, 'adult'))\n"
        "acts = [session.act(Observation(0, 0, 0, turn, 2 - turn)).slate for turn in (0, 1)]\n"
        "print(json.dumps(['top-shelf' in AGENTS.names(), acts]))"
    )
    assert json.loads(run_python(code, site)) == [True, [[0, 1, 2], [3, 4, 5]]]


def run_python(code: str, path: Path) -> str:
    """Standard output of `code` in a new interpreter with `path` on its module search path."""
    inherited = os.environ.get("PYTHONPATH")
    search = os.pathsep.join([str(path), *([inherited] if inherited else [])])
    ran = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=path,
        env={**os.environ, "PYTHONPATH": search},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    return ran.stdout
