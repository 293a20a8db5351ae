"""The command line: answers on stdout, talk on stderr, exit codes 0, 1 and 2."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import mmkg_sdk
from mmkg_sdk.kernels import instruction_sets
from mmkg_sdk.run import Run
from tests.places import GOLDEN

COMMANDS = [
    "quickstart",
    "data",
    "train",
    "import",
    "evaluate",
    "export",
    "predict",
    "bench",
    "inspect",
    "verify",
    "env",
]


def mmkg(*arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the command line in its own process, as a user does."""
    command = [sys.executable, "-m", "mmkg_sdk.cli.main", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, done.stderr
    return done


def test_help_lists_every_command() -> None:
    listed = mmkg("--help").stdout
    for name in COMMANDS:
        assert f"\n  {name} " in listed


def test_predict_prints_the_answers_of_the_library(golden_bundle: Path) -> None:
    answer = json.loads(
        mmkg("predict", golden_bundle, "--head", "entity 3", "--relation", "relation 1", "-k", "4", "--json").stdout
    )
    with mmkg_sdk.load(golden_bundle) as model:
        expected = model.predict_tails("entity 3", "relation 1", k=4)[0]
    assert answer["query"] == "(entity 3, relation 1, ?)"
    assert [row["label"] for row in answer["answers"]] == list(expected.labels)
    heads = mmkg("predict", golden_bundle, "--relation", "relation 1", "--tail", "entity 3", "-k", "2").stdout
    assert heads.startswith("(?, relation 1, entity 3)")
    assert len(heads.splitlines()) == 3


def test_unknown_label_fails_with_near_labels_on_stderr(golden_bundle: Path) -> None:
    done = mmkg("predict", golden_bundle, "--head", "entty 3", "--relation", "relation 1", code=1)
    assert done.stdout == ""
    assert "unknown entity 'entty 3'" in done.stderr
    assert "'entity 3'" in done.stderr


@pytest.mark.parametrize("sides", [[], ["--head", "entity 0", "--tail", "entity 1"]])
def test_predict_wants_exactly_one_known_side(golden_bundle: Path, sides: list[str]) -> None:
    assert "either --head or --tail" in mmkg("predict", golden_bundle, "--relation", "0", *sides, code=2).stderr


def test_evaluate_gives_the_official_metrics_for_run_and_bundle(golden_bundle: Path, golden_run: Run) -> None:
    import numpy as np

    official = np.load(GOLDEN / "mygo" / "db15k_like" / "outputs.npz")["metrics"]
    for path in (golden_run.folder, golden_bundle):
        found = json.loads(mmkg("evaluate", path, "--split", "test", "--json", "--by-side", "--by-relation").stdout)
        names = ("mean_rank", "mrr", "hits_at_10", "hits_at_3", "hits_at_1")
        assert [found[name] for name in names] == pytest.approx(official.tolist(), rel=1e-6)
        assert set(found["by_side"]) == {"head", "tail"}
        assert sum(row["triples"] for row in found["by_relation"].values()) * 2 == found["queries"]
    table = mmkg("evaluate", golden_bundle, "--by-side").stdout
    assert "head queries" in table
    assert "realistic ties" in table


def test_evaluate_says_what_is_neither_run_nor_bundle(tmp_path: Path) -> None:
    assert "neither a run nor a bundle" in mmkg("evaluate", tmp_path, code=1).stderr


def test_inspect_and_verify_describe_the_bundle(golden_bundle: Path) -> None:
    text = mmkg("inspect", golden_bundle).stdout
    assert "query_encoder.onnx" in text
    assert "num_entities" in text
    assert json.loads(mmkg("inspect", golden_bundle, "--json").stdout)["config"]["num_entities"] == 40
    report = json.loads(mmkg("verify", golden_bundle, "--json").stdout)
    assert report["passed"] is True
    assert report["entity_encoder difference"] < 1e-5


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            ("predict", "--head", "a", "--relation", "b"),
            "is for entity-linking; Model needs a bundle for link-prediction",
        ),
        (
            ("extract", "--sentence", "a", "--head", "a", "--tail", "a"),
            "Extractor needs a bundle for relation-extraction",
        ),
        (("tag", "--sentence", "a"), "Tagger needs a bundle for entity-recognition"),
        (
            ("bench run", "--token-counts", "4", "--out", "results"),
            "mimic bundles are measured by numbers of text tokens",
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_bundle_of_another_task_is_one_clear_error(
    command: tuple[str, ...], message: str, golden_bundles: Callable[..., Path]
) -> None:
    name, *options = command
    found = mmkg(*name.split(), golden_bundles("base", "fp32", "mimic"), *options, code=1).stderr
    assert message in found
    assert "Traceback" not in found


def test_verify_names_the_changed_file(golden_bundle: Path, tmp_path: Path) -> None:
    import shutil

    copy = shutil.copytree(golden_bundle, tmp_path / "copy")
    with (copy / "weights.safetensors").open("r+b") as file:
        file.seek(5000)
        file.write(b"\xff")
    assert "weights.safetensors was changed" in mmkg("verify", copy, code=1).stderr


def test_export_writes_a_bundle_once(golden_run: Run, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    done = mmkg("export", golden_run.folder, "--out", out, "--precision", "fp16", "--json")
    assert json.loads(done.stdout)["parity"]["passed"] is True
    assert "tracing query_encoder" in done.stderr
    assert "Pass --overwrite" in mmkg("export", golden_run.folder, "--out", out, code=1).stderr


def test_train_resume_takes_no_other_settings(tmp_path: Path) -> None:
    done = mmkg("train", "mygo", "--resume", tmp_path, "--data", "atlas", code=2)
    assert "pass no others" in done.stderr
    assert "not a run" in mmkg("train", "mygo", "--resume", tmp_path, code=1).stderr.lower()


def test_unknown_setting_is_named(tmp_path: Path) -> None:
    done = mmkg("train", "mygo", "--data", "atlas", "--out", tmp_path / "run", "--set", "learning_rat=1", code=1)
    assert "learning_rat" in done.stderr


def test_env_prints_json() -> None:
    found = json.loads(mmkg("env", "--json").stdout)
    assert "mmkg_sdk" in json.dumps(found)
    assert found["kernels"] == ", ".join(instruction_sets()) or found["kernels"].startswith("numpy and graphs (")


def test_a_closed_pipe_is_no_traceback(golden_bundle: Path) -> None:
    command = f"{sys.executable} -m mmkg_sdk.cli.main inspect {golden_bundle} --json | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr
