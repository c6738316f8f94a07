"""What agents may import of the world: what is public. Truth is for oracles."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import tasteshift.agents

ROOT = Path(tasteshift.agents.__file__).parent
PUBLIC = {"envs.public", "envs.catalogs.catalog"}
SEES_TRUTH = {"base.py", "oracle.py"}
"""`base.py` names the type; the oracles are privileged and never ranked."""


def imports_of_envs(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            module = (node.module or "").removeprefix("tasteshift.")
            names = [module] if module else [alias.name for alias in node.names]
            found |= {name for name in names if name.split(".")[0] == "envs"}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if "envs" in alias.name.split(".")}
    return found


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: path.stem)
def test_agents_import_only_what_is_public(path: Path) -> None:
    allowed = PUBLIC | ({"envs.truth"} if path.name in SEES_TRUTH else set())
    assert imports_of_envs(path) <= allowed
