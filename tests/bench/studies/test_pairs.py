"""The comparison of ways to score pairs, on a world of seven entities."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from mmkg_sdk.bench.studies.linking import _export
from mmkg_sdk.cli.group import cli
from mmkg_sdk.families.mimic.config import MimicConfig
from tests.families.mimic.small import TINY, world


def test_the_command_compares_every_way_on_a_run_and_its_bundle(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    _export(world(tmp_path / "made"), MimicConfig.from_json(TINY), tmp_path, "fp32", 1)
    out = tmp_path / "found.json"
    done = CliRunner().invoke(cli, ["bench", "study", "pairs", str(tmp_path), "--threads", "1", "--out", str(out)])
    assert done.exit_code == 0, done.output
    found = json.loads(out.read_text())
    assert found["all_candidates"]["candidates"] == 7
    assert found["unshortened"]["largest_difference_to_rms"] < 1e-4
    assert {"bundle_sha256", "other_load", "load_average_before"} <= set(found["environment"])
