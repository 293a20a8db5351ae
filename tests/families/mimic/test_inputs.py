"""From a data set to a run: texts, pictures, tokenizers, and tensors that are given as they are."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmkg_sdk.data.graph import DataSet, KnowledgeGraph
from mmkg_sdk.data.mentions import LinkingData
from mmkg_sdk.errors import DataError, ExportError
from mmkg_sdk.families.mimic.config import MimicConfig
from mmkg_sdk.families.mimic.inputs import (
    StoredPixels,
    check_data,
    config_for,
    initial_weights,
    run_data,
    stored_data,
)
from mmkg_sdk.families.mimic.model import Mimic
from mmkg_sdk.families.mimic.objective import objective_of
from mmkg_sdk.families.mimic.tokenizer import make_tokenizer
from mmkg_sdk.files.labels import Labels
from mmkg_sdk.modalities.images import clip_pixels
from mmkg_sdk.modalities.text import learn_clip_tokenizer
from mmkg_sdk.run import Run
from mmkg_sdk.training.session import start_training
from tests.families.mimic.cases import FOLDER, golden
from tests.families.mimic.small import TINY, picture, random_run
from tests.places import REAL_DATA

CONFIG = MimicConfig.from_json(TINY)
MERGES = REAL_DATA / "vocab" / "bpe_simple_vocab_16e6.txt.gz"


def test_names_and_texts_are_joined_padded_and_cut(small_world: LinkingData, small_run: Run) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str((small_run.folder / "tokenizer.json").read_text())
    end = tokenizer.token_to_id("<|endoftext|>")
    entities = small_run.tensors("entities")
    assert entities["input_ids"].shape == entities["attention_mask"].shape == (7, 12)
    pieces = tokenizer.encode("Georgia [SEP] A country.").ids
    expected = pieces[:12] if len(pieces) <= 12 else [*pieces[:11], end]
    count = len(expected)
    assert entities["input_ids"][0].tolist() == [*expected, *[end] * (12 - count)]
    assert entities["attention_mask"][0].tolist() == [1] * count + [0] * (12 - count)
    assert entities["cut"].tolist()[0] == (len(pieces) > 12)
    assert small_run.tensors("mentions-test")["answers"].tolist() == [1, 0, 3]


def test_texts_that_are_cut_are_counted_once_for_all_splits(small_world: LinkingData) -> None:
    long = replace(small_world.test[0], sentence="Georgia grows peaches. " * 9)
    data = replace(small_world, test=(long, *small_world.test[1:]))
    with pytest.warns(UserWarning, match=r"1 of 3 mentions-test have more text than the 30 tokens") as told:
        made = run_data(data, replace(CONFIG, text_length=30, text_positions=30))
    assert len(told) == 1
    assert made.tensors["mentions-test"]["cut"].tolist() == [True, False, False]


def test_pictures_are_stored_once_as_bytes_and_read_as_clip_sees_them(small_world: LinkingData, small_run: Run) -> None:
    stored = small_run.tensors("images")["pixels"]
    assert stored.dtype == np.uint8
    assert stored.shape == (3, 3, 8, 8)  # of entities 1, 3 and 5; those of the mentions are among them
    assert small_run.tensors("entities")["image_rows"].tolist() == [-1, 0, -1, 1, -1, 2, -1]
    assert small_run.tensors("mentions-test")["image_rows"].tolist() == [0, -1, -1]
    found = StoredPixels(stored)[np.array([2, -1, 0])]
    for row, entity in ((0, 5), (2, 1)):
        image = small_world.images[entity]
        np.testing.assert_array_equal(found[row], clip_pixels(image, 8, squash=True))
    assert not found[1].any()


def test_an_unreadable_picture_is_none(small_world: LinkingData, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"\x89PNG")
    grey = picture(tmp_path / "grey.png", 1, "L")
    images = (tmp_path / "bad.png", *small_world.images[1:6], grey)
    with pytest.warns(UserWarning, match="is read as zeros"):
        data = run_data(replace(small_world, images=images), CONFIG)
    assert data.tensors["entities"]["image_rows"].tolist() == [-1, 0, -1, 1, -1, 2, -1]


def test_the_objective_has_the_training_split(small_run: Run) -> None:
    objective = objective_of(small_run, Mimic(CONFIG))
    assert objective.answers.tolist() == [*range(7)]
    (batch,) = objective.batches(16, torch.Generator())
    assert set(batch[1].tolist()) == {-1}
    assert sorted(batch[3].tolist()) == [-1, -1, -1, -1, 0, 1, 2]
    assert torch.isfinite(objective(*objective.prepared(*batch))["loss"])


def test_training_goes_on_where_it_was_and_ends_with_the_best_weights(small_world: LinkingData, tmp_path: Path) -> None:
    from mmkg_sdk.data.layouts.linking import write_linking

    write_linking(small_world, tmp_path / "world")
    settings = {**TINY, "epochs": 3, "batch_size": 4, "validate_every": 1, "threads": 1, "optimizer": "adamw"}
    run, result = start_training(
        "mimic", str(tmp_path / "world"), tmp_path / "run", settings=settings, preset="none", device="cpu"
    )
    assert result.epochs == 3
    assert set(result.best_metrics) == {"mean_rank", "mrr", *(f"hits_at_{k}" for k in (1, 3, 5, 10, 20))}
    rows = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert {"overall", "text", "image", "image_text"} <= set(rows[0])
    assert Run.open(run.folder).has_weights


def test_a_learned_tokenizer_is_the_same_every_time(small_world: LinkingData) -> None:
    first, second = (run_data(small_world, CONFIG).files["tokenizer.json"] for _ in range(2))
    assert first == second


def test_the_tokenizer_of_clip_comes_from_its_merges(tmp_path: Path) -> None:
    if not MERGES.is_file():
        pytest.skip(f"{MERGES} is not here")
    config = MimicConfig(tokenizer=str(MERGES))
    assert make_tokenizer(config, ()).encode("a photo of a cat").ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    bundled = config.in_precision("fp16")
    assert bundled.tokenizer == MERGES.name  # no folder of this machine travels


def test_a_tokenizer_is_found_in_a_file_or_folder_and_must_fit(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(learn_clip_tokenizer(["old wine and peaches"], 540).to_str())
    for place in (tmp_path, tmp_path / "tokenizer.json"):
        made = make_tokenizer(replace(CONFIG, tokenizer=str(place)), ())
        assert made.get_vocab_size() <= 540
    with pytest.raises(DataError, match=r"has 5\d\d tokens, the model 500; they do not belong together"):
        make_tokenizer(replace(CONFIG, vocabulary_size=500, tokenizer=str(tmp_path)), ())
    with pytest.raises(DataError, match="a checkpoint holds no tokenizer"):
        make_tokenizer(replace(CONFIG, tokenizer="none"), ())
    with pytest.raises(DataError, match="no tokenizer of CLIP"):
        make_tokenizer(replace(CONFIG, tokenizer=str(tmp_path / "absent")), ())


def test_a_pretrained_clip_decides_the_sizes_and_the_first_weights(small_world: LinkingData, tmp_path: Path) -> None:
    clip = Mimic(CONFIG).encoder.clip
    clip.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text(learn_clip_tokenizer(["old wine"], 540).to_str())
    own = {name: TINY[name] for name in ("text_length", "image_feature_dim", "text_unit_dim", "image_unit_dim")}
    config = config_for(small_world, {"pretrained_clip": str(tmp_path), **own})
    assert (config.text_width, config.image_size, config.tokenizer) == (16, 8, str(tmp_path))
    weights = initial_weights(small_world, config)
    name = "encoder.clip.text_model.embeddings.token_embedding.weight"
    assert torch.equal(weights[name], clip.state_dict()[name.removeprefix("encoder.clip.")])
    assert initial_weights(small_world, CONFIG) == {}


def test_a_knowledge_graph_is_refused() -> None:
    triples = np.array([[0, 0, 1]])
    graph = KnowledgeGraph("ring", Labels("ab"), Labels("r", kind="relation"), triples, triples, triples)
    with pytest.raises(DataError, match="mimic links mentions to entities, but these data hold a knowledge graph"):
        config_for(DataSet(graph), {})


def test_many_pictures_are_a_memory_map(small_world: LinkingData, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("mmkg_sdk.run._MAPPED_BYTES", 0)
    run = Run.open(random_run(tmp_path / "run", small_world).folder)
    pixels = run.tensors("images")["pixels"]
    assert not pixels.flags.writeable  # a view of a read-only map
    assert StoredPixels(pixels)[np.array([1])].shape == (1, 3, 8, 8)
    objective_of(run, Mimic(CONFIG))


def fields() -> dict[str, np.ndarray]:
    with np.load(FOLDER / "base" / "inputs.npz") as inputs:
        return dict(inputs)


def broken(name: str, change: Callable[[np.ndarray], Any]) -> dict[str, np.ndarray]:
    found = fields()
    changed = change(found.pop(name))
    return found if changed is None else {**found, name: changed}


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("answer", lambda a: None, "has no array 'answer'"),
        ("answer", lambda a: a * 0.5, r"answer is float64 \[4\]; expected integers of shape \['n'\]"),
        ("answer", lambda a: a + 7, "answers of mentions-test goes from .* expected 0 to 6"),
        ("answer", lambda a: a[1:], "mentions-test has .*3 answers; expected equally many"),
        ("mention_input_ids", lambda a: a[:, 1:], r"mention_input_ids is int64 \[4, 13\]; .* \['n', 14\]"),
        ("entity_input_ids", lambda a: a - 10**6, "input_ids of entities goes from -"),
        ("entity_attention_mask", lambda a: a * 0, "entities has an attention mask without a token"),
        ("entity_pixel_values", lambda a: a[:, :, 1:], r"expected floats of shape \['n', 3, 32, 32\]"),
        ("mention_pixel_values", lambda a: a + np.nan, "mention_pixel_values holds NaN or infinity"),
        ("train_entity_index", lambda a: -a, "answers of mentions-train goes from -4 to -1"),
    ],
)
def test_tensors_that_do_not_fit_the_checkpoint_are_refused(
    name: str, change: Callable[[np.ndarray], Any], message: str
) -> None:
    config = golden("base").model().config
    with pytest.raises(ExportError, match=message):
        check_data(stored_data(broken(name, change), FOLDER / "base" / "inputs.npz", config), config)


def test_stored_tensors_may_come_with_a_tokenizer(tmp_path: Path) -> None:
    config = golden("base").model().config
    assert stored_data(fields(), tmp_path / "inputs.npz", config).files == {}
    with pytest.raises(ExportError, match="from which no tokenizer can be learned"):
        stored_data(fields(), tmp_path / "inputs.npz", replace(config, tokenizer="learned"))
    (tmp_path / "tokenizer.json").write_text(learn_clip_tokenizer(["old wine"], 540).to_str())
    wide = replace(config, tokenizer=str(tmp_path), vocabulary_size=540)
    assert list(stored_data(fields(), tmp_path / "inputs.npz", wide).files) == ["tokenizer.json"]
    shutil.rmtree(tmp_path)
