"""Graphs that no kernel stands in for, on ONNX Runtime's C interface: Python's library, and the same bits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import mmkg_sdk
from mmkg_sdk import Linker, Model
from mmkg_sdk.ranking.known_triples import HEAD, TAIL, Queries
from tests.cpp.conftest import Ask, onnxruntime_headers
from tests.cpp.precisions import in_half
from tests.cpp.test_answers import bits, predictions
from tests.places import ROOT

RELEASED = ROOT / "tests" / "released" / "0.2.0"
Numbers = NDArray[Any]


def told(values: Numbers | list[int] | None) -> str:
    """Features or tokens of one entity, as the program reads them."""
    if values is None:
        return "-"
    return " ".join(map(str, values)) if isinstance(values, list) else " ".join(bits(values))


def opened(folder: Path) -> Model:
    model = mmkg_sdk.load(folder, "onnxruntime", "cpu", threads=2)
    assert isinstance(model, Model)
    return model


def test_tokens_go_through_several_layers(ask: Ask, libonnxruntime: Path, golden_bundles: Callable[..., Path]) -> None:
    bundle = golden_bundles("deep_more_rel", "fp16")
    with opened(bundle) as model:
        config = model.bundle.config.to_json()
        assert config["num_entity_layers"] > 1
        random = np.random.default_rng(0)
        rows = {kind: config[f"{kind}_codebook_rows"] for kind in ("visual", "text")}
        tokens: dict[str, list[list[int]]] = {
            kind: [random.integers(0, count, random.integers(0, 5)).tolist() for _ in range(400)]
            for kind, count in rows.items()
        }  # more than one run of the graph
        parts = [f"{told(one)}\t{told(two)}\t-" for one, two in zip(*tokens.values(), strict=True)]
        expected = model.encode_entities(visual_tokens=tokens["visual"], text_tokens=tokens["text"])
        ids = [len(model.entities), len(model.entities) + 1]
        asked = f"{ids[0]} 0 0 3 1 1 {ids[1]} 0 1"
        lines = ["encode\t" + "\t".join(parts), *(f"add\tnew {i}\t{parts[i]}" for i in range(2))]
        lines += [f"ids\t3840\t-\t-\t{asked}", f"encode\t{rows['visual']}\t0\t-"]
        found = ask(["model", bundle, "2", libonnxruntime], lines)
        assert found[0].split() == bits(expected)
        assert found[1:3] == [f"{number} " for number in ids]
        for i in range(2):
            model.add_entities([f"new {i}"], visual_tokens=[tokens["visual"][i]], text_tokens=[tokens["text"][i]])
    with mmkg_sdk.load(bundle, device="cpu", threads=2) as ranked:
        assert isinstance(ranked, Model)
        for i in range(2):
            ranked.add_entities([f"new {i}"], visual_tokens=[tokens["visual"][i]], text_tokens=[tokens["text"][i]])
        queries = Queries(np.array([ids[0], 3, ids[1]]), np.array([0, 1, 0]), np.array([TAIL, HEAD, HEAD]))
        assert found[3].split(";")[:-1] == predictions(ranked, queries, 3840, None, None)
    assert "is not in the codebook" in found[4]


def test_features_are_encoded_and_their_entities_answer(ask: Ask, libonnxruntime: Path) -> None:
    bundle = RELEASED / "adamf_mat"
    with opened(bundle) as model:
        widths = [model.bundle.inputs[f"{kind}_features"].shape[1] for kind in ("visual", "text")]
        random = np.random.default_rng(1)
        visual, text = (random.standard_normal((700, width), np.float32) for width in widths)
        structure = random.standard_normal((1, model.table.shape[1]), np.float32)
        parts = [f"{told(one)}\t{told(two)}\t-" for one, two in zip(visual, text, strict=True)]
        expected = model.encode_entities(visual_features=visual, text_features=text)
        alone = [
            model.encode_entities(visual_features=visual[:1], structure=structure),
            model.encode_entities(text_features=text[:1]),
        ]
        lines = ["features\t" + "\t".join(parts), f"features\t{told(visual[0])}\t-\t{told(structure)}"]
        lines += [
            f"features\t-\t{told(text[0])}\t-",
            f"add-features\tnew\t{parts[0]}",
            f"labels\t5\ttails\tnew\t{model.relations[0]}",
        ]
        lines += ["features\t3f800000\t-\t-", f"features\t{told(np.full(widths[0], np.nan))}\t-\t-", "encode\t1\t1\t-"]
        found = ask(["model", bundle, "2", libonnxruntime], lines)
        assert found[0].split() == bits(expected)
        assert [line.split() for line in found[1:3]] == list(map(bits, alone))
        assert found[3] == f"{len(model.entities)} "
    with mmkg_sdk.load(bundle, device="cpu", threads=2) as ranked:
        assert isinstance(ranked, Model)
        ranked.add_entities(["new"], visual_features=visual[:1], text_features=text[:1])
        (ranking,) = ranked.predict_tails("new", 0, 5)
        assert [answer.split(":")[2] for answer in found[4].rstrip("|").split("\t")[:-1]] == list(ranking.labels)
    assert f"visual features of entity 0 has 1 numbers; expected {widths[0]}" in found[5]
    assert "NaN or infinity among them" in found[6]
    assert found[7] == ("query\tadamf_mat encodes entities from features, not from tokens. Pass mmkg::EntityFeatures.")


def test_mentions_are_encoded_from_tokens_and_pixels(ask: Ask, libonnxruntime: Path) -> None:
    bundle = RELEASED / "mimic"
    with mmkg_sdk.load(bundle, "onnxruntime", "cpu", threads=2) as linker:
        assert isinstance(linker, Linker)
        config = linker.bundle.config.to_json()
        random, count, size = np.random.default_rng(2), 67, config["image_size"]  # more than one run
        ids = random.integers(1, config["vocabulary_size"] - 1, (count, config["text_length"]))
        ids[:, -1] = config["vocabulary_size"] - 1
        mask = np.ones_like(ids)
        mask[::2, -2:] = 0
        pixels = random.standard_normal((count, 3, size, size), np.float32)
        pixels[::3] = 0
        line = f"tokens\t{told(ids.ravel().tolist())}\t{told(mask.ravel().tolist())}\t{told(pixels)}"
        expected = linker.encode_tokens(ids, mask, pixels)
        nothing = "\t".join(["tokens", told(ids[0].tolist()), told((0 * mask[0]).tolist()), told(pixels[0])])
        short = "\t".join(["tokens", told(ids[0].tolist()), told(mask[0].tolist()), told(pixels[0].ravel()[1:])])
        found = ask(["linker", bundle, "2", libonnxruntime], [line, nothing, short])
        assert [piece.split() for piece in found[0].split(";")[:-1]] == [
            bits(expected[f"mention_{name}"]) for name in ("keys", "values", "text", "dual_key", "dual_query", "fused")
        ]
    assert found[1] == "query\trow 0 of attention_mask has no token; expected one at least."
    assert found[2].startswith("query\tpixels has ")


def test_what_is_no_onnx_runtime_is_named(ask: Ask, libonnxruntime: Path, tmp_path: Path) -> None:
    (tmp_path / "libonnxruntime.so.1").write_text("no library " * 100)
    for library, said in (
        (tmp_path / "libonnxruntime.so.1", "invalid ELF header"),
        (tmp_path / "none", "No such file"),
    ):
        (answer,) = ask(["model", RELEASED / "adamf_mat", "1", library], ["features\t-\t-\t-"])
        assert answer.startswith("backend\tONNX Runtime, which this graph needs, cannot be opened (")
        assert said in answer
        assert "Options::onnxruntime" in answer
    (answer,) = ask(["model", RELEASED / "adamf_mat", "1", "libm.so.6"], ["features\t-\t-\t-"])
    assert answer == "backend\tlibm.so.6 has no function OrtGetApiBase; expected a libonnxruntime."


def test_bf16_has_no_product_on_the_cpu(ask: Ask, libonnxruntime: Path, tmp_path: Path) -> None:
    bundle = in_half(RELEASED / "adamf_mat", tmp_path / "bundle", "bf16")
    (answer,) = ask(["model", bundle, "1", libonnxruntime], ["features\t-\t-\t-"])
    assert answer.startswith("backend\tentity_encoder.onnx is in bf16")


@pytest.mark.skipif(onnxruntime_headers() is not None, reason="the program is built with ONNX Runtime")
def test_without_onnx_runtime_the_option_is_named(ask: Ask) -> None:
    (answer,) = ask(["model", RELEASED / "adamf_mat", "1"], ["features\t-\t-\t-"])
    assert answer == (
        "backend\tentity_encoder.onnx needs ONNX Runtime, and this library was built without it. Build mmkg with "
        "-DMMKG_ONNXRUNTIME=ON (docs/cpp.md), or use Python."
    )
