"""The reference builds from the docstrings, and docs/reference.md names what is in it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import table, text_of
from tests.places import ROOT


def test_the_reference_builds_without_a_warning_or_a_broken_link(tmp_path: Path) -> None:
    pytest.importorskip("pdoc", reason="the extra [docs] is not installed")
    done = subprocess.run(
        [sys.executable, "docs/reference.py", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shown = (tmp_path / "mmkg_sdk.html").read_text(encoding="utf-8")
    assert all(f'id="{name}"' in shown for name in ("Model.predict_tails", "Model.load", "load", "QueryError"))
    assert 'id="train"' in (tmp_path / "mmkg_sdk" / "training.html").read_text(encoding="utf-8")


def test_the_page_names_every_public_module() -> None:
    (listed,) = re.findall(r"^MODULES = \((.*?)^\)", text_of("docs/reference.py"), flags=re.MULTILINE | re.DOTALL)
    assert [row[0].strip("`") for row in table("docs/reference.md", "module")[1]] == re.findall(r'"(.*?)"', listed)
