"""The project's documents, and what stands in them."""

from __future__ import annotations

import re
from pathlib import Path

from tests.places import ROOT

DOCUMENTS = [
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "cpp_examples/*.md", "bench/results/*.md", "tests/golden/*/*.md")
    for path in sorted(ROOT.glob(pattern))
]


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, *languages: str) -> list[tuple[str, str]]:
    """(language, text) of the code blocks of a document, in order."""
    found = re.findall(r"^```(\w*)\n(.*?)^```", text_of(page), flags=re.MULTILINE | re.DOTALL)
    return [(language, text) for language, text in found if language in languages]


def prose(page: str) -> str:
    """A document without its code blocks."""
    return re.sub(r"^```.*?^```$", "", text_of(page), flags=re.MULTILINE | re.DOTALL)


def table(page: str, first_heading: str) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of the table that begins with a heading, the first such one."""
    found = re.findall(
        rf"^\| {re.escape(first_heading)} \|.*\n\|[-| ]+\n(?:\|.*\n)+", text_of(page), flags=re.MULTILINE
    )
    heading, _, *rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in found[0].splitlines()]
    return heading, rows


def folder_of(page: str) -> Path:
    return (ROOT / page).parent
