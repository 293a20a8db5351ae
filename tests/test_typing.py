"""A consumer's script is checked by mypy --strict as the consumer would, and a wrong one is found out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.places import ROOT

pytest.importorskip("mypy", reason="types are checked with mypy")

SCRIPT = """
import mmkg_sdk

with mmkg_sdk.Model.load("bundle", threads=2) as model:
    for ranking in model.predict_tails(["Norway"], "capital", k=3):
        best: tuple[str, ...] = ranking.labels
    ids = model.add_entities(["Atlantis"], visual_tokens=[[1]], text_tokens=[[2]])

linker = mmkg_sdk.Linker.load("links")
links = linker.link_mentions(mmkg_sdk.Mention("Georgia", "The wine of Georgia."), explain=True)
entities = mmkg_sdk.Tagger.load("tags").tag("A text.")
"""


def check(script: str, folder: Path) -> str:
    (folder / "script.py").write_text(script)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(ROOT / ".mypy_cache"), "script.py"]
    command += ["--follow-imports", "silent", "--disable-error-code", "import-untyped"]
    done = subprocess.run(command, cwd=folder, env={"MYPYPATH": str(ROOT), "PATH": ""}, capture_output=True, text=True)
    return done.stdout + done.stderr


def test_a_script_of_a_consumer_is_typed(tmp_path: Path) -> None:
    assert "Success" in check(SCRIPT, tmp_path)


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("model.predict_tails", "model.link_mentions", '"Model" has no attribute "link_mentions"'),
        ("tuple[str, ...] = ranking.labels", "int = ranking.labels", "Incompatible types in assignment"),
        ("explain=True", "explian=True", "Unexpected keyword argument"),
        (
            'mmkg_sdk.Linker.load("links")',
            'mmkg_sdk.load("links")',
            '"Model | Linker | Extractor | Tagger" has no attribute|Item "Model" of',
        ),
    ],
)
def test_a_wrong_script_is_found_out(right: str, wrong: str, message: str, tmp_path: Path) -> None:
    import re

    assert re.search(message, check(SCRIPT.replace(right, wrong), tmp_path))
