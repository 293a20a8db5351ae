"""Makes the bundles of the current version that every later version must open: python -m tests.released.make

For each family, and each task of a family, a tiny model of random weights from a fixed seed becomes
tests/released/VERSION/NAME, and tests/released/VERSION/NAME.json keeps questions, answers and who gave them.
Run it once for a version, when its format is final, in the checkout's root, and commit what it made. Bundles that are
there stay: of a version that is released they are never made again.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import mmkg_sdk
from mmkg_sdk.data.graph import DataSet, Features, KnowledgeGraph
from mmkg_sdk.data.open import open_dataset
from mmkg_sdk.export import export_bundle
from mmkg_sdk.families.link_prediction import link_prediction_data
from mmkg_sdk.files.labels import Labels
from mmkg_sdk.registry import family_part
from mmkg_sdk.run import Run, RunData
from tests.families.mimic import small
from tests.families.mkgformer import sentence_bundles
from tests.released.questions import ask

RELEASED = Path("tests/released")
TEXTS = Path("tests/golden/mkgformer/text_prep")  # relative: the path of the vocabulary is kept in the bundle
# How far the scores of another CPU or backend may be off, relative and absolute.
TOLERANCES = {"fp32": 1e-4, "fp16": 5e-3}
ENTITIES, RELATIONS = 9, 2

SMALL_TOWERS = {
    "hidden_dim": 8,
    "num_layers": 2,
    "num_heads": 2,
    "text_feedforward_dim": 12,
    "vision_feedforward_dim": 12,
    "num_positions": 32,
    "patch_size": 8,
    "image_size": 16,
    "aux_image_size": 8,
    "rcnn_image_size": 8,
    "fusion_start_layer": 1,
    "tokenizer": str(TEXTS / "vocab.txt"),
}
# The sentence tasks read 48 patches, as the authors' do.
SENTENCE_TOWERS = SMALL_TOWERS | {"image_size": 32, "aux_image_size": 32, "rcnn_image_size": 16}
LINK_QUESTIONS = [
    {"call": "predict_tails", "of": ["entity 0", "relation 0"], "k": 9},
    {"call": "predict_tails", "of": [3, 1], "k": 9},
    {"call": "predict_heads", "of": [1, 8], "k": 9},
]


def save(family: str, folder: Path, config: dict[str, Any], data: RunData, **given: Any) -> Run:
    """A run of random weights, spread enough for scores that no rounding can mix up."""
    run = Run.create(folder, family=family, config=config, data=data)
    torch.manual_seed(5)
    model = family_part(family, "model").build(run.config, run.inputs)
    model.load_state_dict({name: torch.as_tensor(array) for name, array in given.items()}, strict=False)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    run.save_weights(model.state_dict())
    return run


def graph() -> KnowledgeGraph:
    draw = np.random.default_rng(0)
    triples = np.stack([draw.integers(0, size, 12) for size in (ENTITIES, RELATIONS, ENTITIES)], axis=1)
    return KnowledgeGraph(
        "released",
        Labels(f"entity {number}" for number in range(ENTITIES)),
        Labels([f"relation {number}" for number in range(RELATIONS)], kind="relation"),
        triples[:8],
        triples[8:10],
        triples[10:],
    )


def mygo(folder: Path) -> Run:
    from mmkg_sdk.families.mygo.config import MyGOConfig

    draw = np.random.default_rng(1)
    config = MyGOConfig(ENTITIES, RELATIONS, 7, 5, 6, 4, 3, 2, embedding_dim=8, feedforward_dim=12, num_heads=2)
    inputs = {
        "visual_tokens": draw.integers(0, 7, (ENTITIES, 3)),
        "visual_mask": draw.random((ENTITIES, 3)) < 0.3,
        "text_tokens": draw.integers(0, 6, (ENTITIES, 2)),
        "text_mask": draw.random((ENTITIES, 2)) < 0.3,
    }
    return save("mygo", folder, config.to_json(), link_prediction_data(graph(), inputs))


def adamf_mat(folder: Path) -> Run:
    from mmkg_sdk.families.adamf_mat.config import AdaMFConfig
    from mmkg_sdk.families.adamf_mat.inputs import encoder_inputs, initial_weights

    draw = np.random.default_rng(2)
    present = np.arange(ENTITIES) % 4 != 3
    images, texts = (
        Features(draw.standard_normal((ENTITIES, width)).astype(np.float32) * present[:, None], present)
        for width in (6, 5)
    )
    dataset = DataSet(graph(), features={"visual": images, "text": texts})
    config = AdaMFConfig(ENTITIES, RELATIONS, 6, 5, embedding_dim=6, missing_modalities="mask")
    data = link_prediction_data(graph(), encoder_inputs(dataset, config))
    return save("adamf_mat", folder, config.to_json(), data, **initial_weights(dataset, config))


def mimic(folder: Path) -> Run:
    from mmkg_sdk.families.mimic.config import MimicConfig
    from mmkg_sdk.families.mimic.inputs import run_data

    pictures = folder.parent / "pictures"
    pictures.mkdir()
    data = small.world(pictures)
    narrow = {"text_width": 8, "text_feedforward_dim": 12, "image_width": 6, "image_feedforward_dim": 8}
    config = MimicConfig.from_json(small.TINY | narrow | {"vocabulary_size": 560})
    return save("mimic", folder, config.to_json(), run_data(data, config))


def mkgformer_links(folder: Path) -> Run:
    from mmkg_sdk.families.mkgformer.links.inputs import config_for, run_data

    data = folder.parent / "data"
    data.mkdir()
    for name in ("train.tsv", "dev.tsv", "test.tsv", "entity2text.txt", "relation2text.txt", "relations.txt"):
        (data / name).write_bytes((TEXTS / name).read_bytes())
    (data / "images" / "m.a0").mkdir(parents=True)
    small.picture(data / "images" / "m.a0" / "0.png", seed=0)
    dataset = open_dataset(data)
    config = config_for(dataset, SMALL_TOWERS | {"max_length": 24})
    return save("mkgformer", folder, config.to_json(), run_data(dataset, config))


def mkgformer_sentences(task: str) -> Callable[[Path], Run]:
    from mmkg_sdk.families.mkgformer.inputs import config_for, run_data

    def make(folder: Path) -> Run:
        data = sentence_bundles.toy_data(task, folder.parent / "data")
        config = config_for(data, SENTENCE_TOWERS | {"max_length": sentence_bundles.LENGTHS[task]})
        return save("mkgformer", folder, config.to_json(), run_data(data, config))

    return make


MADE: dict[str, tuple[Callable[[Path], Run], str, list[dict[str, Any]]]] = {
    "mygo": (mygo, "fp32", LINK_QUESTIONS),
    "adamf_mat": (adamf_mat, "fp32", LINK_QUESTIONS),
    "mimic": (
        mimic,
        "fp16",
        [
            {"mention": "Georgia", "sentence": "Georgia borders Armenia.", "k": 7},
            {"mention": "Jordan", "sentence": "Jordan is a kingdom.", "k": 7},
        ],
    ),
    "mkgformer-links": (
        mkgformer_links,
        "fp32",
        [{"call": "predict_tails", "of": [0, 0], "k": 9}, {"call": "predict_heads", "of": [1, 2], "k": 9}],
    ),
    "mkgformer-relations": (
        mkgformer_sentences("mre"),
        "fp16",
        [{"sentence": ["part", "of", "the", "team"], "head": [0, 1], "tail": [3, 4]}],
    ),
    "mkgformer-tags": (mkgformer_sentences("mner"), "fp32", [{"sentence": ["(", "part", "of", "the", "team"]}]),
}


def make(name: str, out: Path) -> None:
    create, precision, questions = MADE[name]
    tolerance = TOLERANCES[precision]
    with tempfile.TemporaryDirectory() as scratch:
        export_bundle(create(Path(scratch) / "run"), out / name, precision=precision)
    with mmkg_sdk.load(out / name, "onnxruntime", "cpu") as opened:
        answers = [{"question": question, **ask(opened, question)} for question in questions]
    for answer in answers:
        # Else a rounding could change the order, and the test would fail where nothing is wrong.
        assert np.all(np.diff(answer["scores"]) < -3 * tolerance), answer
    lines = ",\n".join(f"  {json.dumps(answer, ensure_ascii=False)}" for answer in answers)
    head = f' "made_by": "mmkg_sdk {mmkg_sdk.__version__}",\n "tolerance": {tolerance},\n "answers": ['
    text = f"{{\n{head}\n{lines}\n ]\n}}\n"
    (out / f"{name}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for made in MADE:
        make(made, RELEASED / mmkg_sdk.__version__)
