"""The measurement of entity linking, on a world of seven entities: what it reports, and that it measures one thing."""

from __future__ import annotations

import json
from pathlib import Path

from mmkg_sdk.bench.studies.linking import measure_linking
from mmkg_sdk.data.layouts.linking import write_linking
from mmkg_sdk.families.mimic.config import MimicConfig
from mmkg_sdk.kernels import library
from tests.families.mimic.small import TINY, world


def test_a_measurement_says_what_was_measured_and_under_which_conditions(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    write_linking(world(tmp_path / "made"), tmp_path / "world")
    out, config = tmp_path / "result.json", MimicConfig.from_json(TINY)
    found = measure_linking(tmp_path / "world", out, config=config, threads=1, seconds=5.0, say=lambda line: None)
    assert json.loads(out.read_text()) == json.loads(json.dumps(found))
    assert str(tmp_path) not in out.read_text()
    ranking, plain = found["ranking"], found["unshortened"]
    assert (ranking["mentions"], ranking["all_mentions"], ranking["candidates"]) == (3, 3, 7)
    assert ranking["all_mentions_seconds_is"] == "measured"
    assert ranking["peak_rss_mib"] is None or 30 < ranking["peak_rss_mib"] < 1000
    assert plain["largest_difference_to_rms"] < 0.02  # a bundle in half precision
    assert set(plain["pairs_per_second"]) >= {"bundle", "torch, 64 candidates", "onnxruntime, 64 candidates"}
    everything = found["all_candidates"]
    assert (everything["mentions"], everything["candidates"]) == (3, 7)
    if not isinstance(library(), str):
        assert ranking["pairs_scored_by"] == "compiled kernel"
        assert plain["pairs_per_second"]["compiled kernel"] > 0
        assert plain["compiled_ratio_to_torch"] > 0
        assert everything["ratio_to_graph"] > 0
        assert max(everything["largest_difference_to_rms"]) < 1e-4
    assert found["environment"]["threads"] == 1
    assert 1 <= ranking["mean_rank_of_random_weights"] <= 7
