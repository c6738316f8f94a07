"""The documented reasons for refusal are messages of the code."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("leaderboard", "suites/engine")


def documented() -> list[str]:
    """The quoted parts of messages in the table of reasons, without what is interpolated."""
    page = ROOT.joinpath("docs", "leaderboard.md").read_text("utf-8")
    section = page.split("## Why a submission is refused", 1)[1].split("\n## ", 1)[0]
    cells = re.findall(r"(?m)^\| (`.*?) \|", section)
    quoted = [message for cell in cells for message in re.findall(r"`([^`]+)`", cell)]
    return [part.strip() for message in quoted for part in message.split("…") if part.strip()]


@pytest.fixture(scope="module")
def source() -> str:
    """The code, with string literals that continue on the next line joined."""
    files = [file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.py"))]
    text = "\n".join(file.read_text("utf-8") for file in files)
    return re.sub(r'"\s*\n\s*f?"', "", text)


@pytest.mark.parametrize("part", documented())
def test_a_documented_reason_is_a_message_of_the_code(source: str, part: str) -> None:
    assert part in source


def test_there_are_documented_reasons() -> None:
    assert len(documented()) > 20
