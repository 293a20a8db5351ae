"""Make the bundles of this version that tests/released keeps for ever: python -m tests.released.make

Each is a miniature official checkpoint of tests/golden, exported. Run once for a released version; never again for it.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import mmkg_sdk
from mmkg_sdk import Linker, Model
from mmkg_sdk.export import export_bundle
from tests.conftest import import_golden

FOLDER = Path(__file__).parent
CASES = [
    ("mygo", "inner_score", "fp32"),
    ("adamf_mat", "zero_modal", "fp32"),
    ("mimic", "single_mention", "fp16"),
    ("mkgformer", "lp_pretrain_small", "fp16"),
    ("mkgformer", "mre_small", "fp16"),
    ("mkgformer", "mner_small", "fp16"),
]


def answers(opened: Any) -> dict[str, Any]:
    """What a bundle of links or mentions answers to fixed queries; the graphs of the others are compared by probes."""
    if isinstance(opened, Model):
        rows = np.arange(min(8, len(opened.entities)))
        found = opened.predict_tails(rows, rows % len(opened.relations), k=5, filter_known=False)
        return {"ids": [one.ids.tolist() for one in found], "scores": [one.scores.tolist() for one in found]}
    if isinstance(opened, Linker):
        random, config = np.random.default_rng(0), opened._config
        ids = random.integers(config.vocabulary_size, size=(3, config.text_length))
        pixels = random.standard_normal((3, 3, config.image_size, config.image_size), np.float32)
        pieces = opened.encode_tokens(ids, np.ones_like(ids), pixels)
        scores = np.mean(list(opened.score_pieces(pieces).values()), axis=0)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :5]
        return {"ids": best.tolist(), "scores": np.take_along_axis(scores, best, axis=1).tolist()}
    return {}


def make() -> None:
    for family, case, precision in CASES:
        target = FOLDER / mmkg_sdk.__version__ / f"{family}-{case}"
        with tempfile.TemporaryDirectory() as place:
            export_bundle(import_golden(case, Path(place) / "run", family), target / "bundle", precision=precision)
        with mmkg_sdk.load(target / "bundle", device="cpu") as opened:
            (target / "answers.json").write_text(json.dumps(answers(opened)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    make()
