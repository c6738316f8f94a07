"""Griffe extension: shows the aligned "name  meaning" blocks of docstrings as lists."""

import re
from typing import Any

import griffe

ENTRY = re.compile(r"^(?P<names>[\w`*./-]+(?:, ?[\w`*./-]+)*)  +(?P<meaning>\S.*)$")
"""One or several names, two spaces or more, and what they mean; deeper lines continue it."""


def with_lists(text: str) -> str:
    """The docstring with every such block as a Markdown list."""
    return "\n\n".join(_block(block.splitlines()) for block in re.split(r"\n\s*\n", text))


def _block(lines: list[str]) -> str:
    if not lines or not ENTRY.match(lines[0]):
        return "\n".join(lines)
    found: list[str] = []
    for line in lines:
        entry = ENTRY.match(line)
        if entry:
            names = ", ".join(f"`{name.strip('` ')}`" for name in entry["names"].split(","))
            found.append(f"- {names}: {entry['meaning']}")
        else:
            found[-1] += " " + line.strip()
    return "\n".join(found)


class DocstringLists(griffe.Extension):
    """Rewrites the docstring of every object that is loaded."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Replace the text of its docstring."""
        if obj.docstring:
            obj.docstring.value = with_lists(obj.docstring.value)
