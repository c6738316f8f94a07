"""Agents import only the public half of envs; ground truth is for reference policies."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import tasteshift.agents

ROOT = Path(tasteshift.agents.__file__).parent
PUBLIC = {"envs.catalogs.public", "envs.catalogs.catalog"}
SEES_GROUND_TRUTH = {"protocols.py", "references.py"}
"""`protocols.py` names the type; reference policies are privileged and never ranked."""


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
def test_agents_import_public_modules_only(path: Path) -> None:
    allowed = PUBLIC | (
        {"envs.reference.ground_truth"} if path.name in SEES_GROUND_TRUTH else set()
    )
    assert imports_of_envs(path) <= allowed
