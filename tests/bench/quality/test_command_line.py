"""mmkg-sdk bench quality."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.running import ask, mmkg


def test_tables_for_people_and_json_for_machines(golden_bundle: Path, tmp_path: Path) -> None:
    options = ("--seeds", "2", "--seconds", "0.001", "--threads", "1")
    shown = mmkg("bench", "quality", golden_bundle, *options, "--out", tmp_path / "one").stdout
    head, *_ = shown.splitlines()
    found = json.loads((tmp_path / "one" / "results.json").read_text())
    assert f"MRR x 100 of {found['count']:,} triples (test) is {100 * found['baseline']['value']:.2f}" in head
    lines = [line for line in shown.splitlines() if line.endswith("recommended")]
    (chosen,) = [row for row in found["rows"] if row["recommended"]]
    assert [line.startswith(chosen["level"]) for line in lines] == [True]
    assert "image dropped" in shown
    assert "100 % of the entities" in shown
    again = mmkg("bench", "quality", golden_bundle, *options, "--out", tmp_path / "two", "--json").stdout
    values = [[row["value"] for row in one["rows"]] for one in (found, json.loads(again))]
    assert values[0] == values[1]


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--tokens", "image"), "NAME=COUNTS"),
        (("--tokens", "image=1,x"), "whole numbers"),
        (("--tokens", "image=-1"), "at least 0"),
        (("--tokens", "image=1", "--tokens", "visual=2"), "each modality once"),
        (("--split", "dev"), "'dev' is not one of"),
        (("--seeds", "0"), "1<=x<=100"),
    ],
)
def test_an_option_that_means_nothing_is_refused(
    option: tuple[str, ...], said: str, golden_bundle: Path, tmp_path: Path
) -> None:
    done = ask("bench", "quality", golden_bundle, "--out", tmp_path / "out", *option, code=2)
    assert said in " ".join(done.output.replace("│", " ").split())
    assert not (tmp_path / "out").exists()
