"""A run whose run.json and weights do not go together is refused before memory is taken for it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mmkg_sdk.errors import DataError, ExportError
from mmkg_sdk.families import contract
from mmkg_sdk.families.built import built_model
from mmkg_sdk.run import Run


def build(run: Run) -> object:
    return built_model(run, contract.config_part(run.family).Config.from_json(run.config))


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("feedforward_dim", 2_000_000_000, "feedforward_dim is 2,000,000,000 by run.json"),
        ("text_codebook_rows", 1 << 31, "text_codebook_rows is 2147483648; expected"),
        ("num_decoder_layers", 1_000_000, "expected at most 1,024"),
        ("embedding_dim", 1_000_000, "make no model"),
        ("feedforward_dim", 24, "linear1"),
    ],
)
def test_sizes_that_no_weight_has_are_named(
    setting: str, value: int, message: str, golden_run: Run, tmp_path: Path
) -> None:
    shutil.copytree(golden_run.folder, tmp_path / "run")
    path = tmp_path / "run" / "run.json"
    manifest = json.loads(path.read_text())
    manifest["config"][setting] = value
    path.write_text(json.dumps(manifest))
    with pytest.raises((DataError, ExportError), match=message):
        build(Run.open(tmp_path / "run"))


def test_a_run_as_it_was_written_is_built(golden_run: Run) -> None:
    assert build(golden_run) is not None
