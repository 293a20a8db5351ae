"""The rooms of the benchmark: imports go down only, and families are named in few."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmkg_sdk.registry import FAMILIES
from tests.places import ROOT

BENCH = ROOT / "bench"
BELOW = {
    "machine": {"machine"},
    "report": {"report", "machine"},
    "sweep": {"sweep", "report", "machine"},
    "race": {"race", "report", "machine"},
    "changes": {"changes"},
    "quality": {"quality", "changes", "report", "machine"},
    "studies": {"studies", "report", "machine"},
    "modalities": {"modalities", "studies", "quality", "changes", "report", "machine"},
    "gpu": {"gpu", "sweep", "report", "machine"},
    "gpu_proof": {"gpu_proof", "gpu", "race", "report", "machine"},
}
# Rooms that are about a family: studies, and the training of the first minutes on a GPU.
ABOUT_FAMILIES = {"studies", "modalities", "gpu_proof"}


def imported(path: Path) -> Iterator[str]:
    """The modules of the benchmark that a file imports anywhere, as ROOM.MODULE."""
    room = path.parent.name
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            parts = (node.module or "").split(".")
            yield ".".join(parts if node.level == 2 else [room, *parts])


@pytest.mark.parametrize("room", BELOW)
def test_a_room_imports_only_what_lies_below(room: str) -> None:
    for path in (BENCH / room).glob("*.py"):
        assert {name.split(".")[0] for name in imported(path)} <= BELOW[room], path


def test_no_room_has_more_than_fifteen_files() -> None:
    rooms = {path.name for path in BENCH.iterdir() if path.is_dir()} - {"__pycache__"}
    assert rooms == {*BELOW, "results"}
    for room in BELOW:
        files = {path.name for path in (BENCH / room).glob("*.py")} - {"__init__.py"}  # which says what the room is
        assert len(files) <= 15, room


def test_what_differs_by_family_comes_from_the_family() -> None:
    for room in BELOW.keys() - ABOUT_FAMILIES:
        for path in (BENCH / room).glob("*.py"):
            strings = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
            assert not strings & FAMILIES.keys(), path
            assert not [family for family in FAMILIES if f"families.{family}" in path.read_text()], path
