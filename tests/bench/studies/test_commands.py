"""Every study is reached by a command, with the settings of its library function."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mmkg_sdk.cli.bench.study import study
from mmkg_sdk.cli.group import cli
from mmkg_sdk.errors import DataError
from tests.places import ROOT


def test_every_study_is_a_command() -> None:
    without = {"__init__", "own_process", "stretched", "random_runs"}
    files = {path.stem for path in (ROOT / "bench" / "studies").glob("*.py")}
    assert set(study.commands) == (files | {"modalities", "newcomers"}) - without
    assert all(command.help for command in study.commands.values())


@pytest.mark.parametrize(
    ("function", "arguments", "expected"),
    [
        (
            "linking.measure_linking",
            ["linking", "a source", "--seconds", "3", "--device", "cuda:1", "--threads", "2"],
            {"seconds": 3.0, "device": "cuda:1", "threads": 2, "precision": "fp16"},
        ),
        (
            "layers.measure_layers",
            ["layers", "--instruction-set", "avx2", "--threads", "2"],
            {"instruction_set": "avx2", "seconds": 1.0, "threads": 2},
        ),
        (
            "training.measure_training",
            ["training", "--entities", "500", "--sampled", "10"],
            {"entities": 500, "triples": 10_240, "width": 32, "sampled": 10, "threads": None},
        ),
        (
            "batches.measure_batches",
            ["batches", "a-bundle", "--rows", "50", "-k", "3"],
            {"rows": 50, "k": 3, "rounds": 3, "threads": None},
        ),
        ("exporting.measure_exporting", ["exporting", "--width", "8"], {"entities": 40_943, "width": 8}),
        ("quickstart.measure_quickstart", ["quickstart", "adamf-mat"], {}),
        (
            "serving.measure_serving",
            ["serving", "a bundle", "--rates", "5,70"],
            {"rates": [5, 70], "seconds": 10, "threads": 1},
        ),
        (
            "actors.measure_actors",
            ["actors", "a bundle", "--queries", "50", "--threads", "3"],
            {"queries": 50, "actors": 2, "threads": 3},
        ),
        (
            "mkgformer.measure_rewrites",
            ["mkgformer", "--batch", "2", "--text-tokens", "8"],
            {"batch": 2, "text_tokens": 8, "device": "cpu", "threads": 1, "seconds": 8.0},
        ),
    ],
)
def test_a_command_passes_its_options_on(
    function: str, arguments: list[str], expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    def measured(*args: object, **settings: object) -> dict[str, Any]:
        given.update(settings, path=args[-1])
        return {"found": 1}

    monkeypatch.setattr(f"mmkg_sdk.bench.studies.{function}", measured)
    done = CliRunner().invoke(cli, ["bench", "study", *arguments, "--out", "there.json", "--json"])
    assert done.exit_code == 0, done.output
    assert '"found": 1' in done.output
    assert "results in there.json" in done.output
    del given["say"]
    assert given == expected | {"path": Path("there.json")}


@pytest.mark.parametrize("rates", ["", "5,", "0", "1.5", "-3", "5 6"])
def test_rates_that_are_none_are_wrong_usage(rates: str) -> None:
    done = CliRunner().invoke(cli, ["bench", "study", "serving", "a bundle", "--rates", rates])
    assert done.exit_code == 2


@pytest.mark.parametrize(
    "name",
    [
        "actors x",
        "batches b",
        "exporting",
        "layers",
        "million",
        "mkgformer",
        "quickstart mygo",
        "serving x",
        "training",
    ],
)
def test_a_study_does_not_begin_where_its_file_cannot_be_written(name: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["bench", "study", *name.split(), "--out", str(tmp_path / "gone" / "there.json")])
    assert isinstance(done.exception, DataError)
    assert str(done.exception).endswith(f"{tmp_path / 'gone'} is no folder. Make it, or write elsewhere.")
