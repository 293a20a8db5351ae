"""A MyGO bundle of any number of entities, as an export of so many would be, but for the weights: those are random.

A small model is exported. Then labels, inputs, triples and the table are written for as many entities as are asked for;
the table is what the model's encoder gives for the inputs, and the answers are what the bundle gives. So it passes
verification. No more than a block of it is in memory at a time.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.answering.asked import answers
from mmkg_sdk.answering.link_prediction import Model
from mmkg_sdk.answering.probes import probe_outputs
from mmkg_sdk.backends import open_backend
from mmkg_sdk.bundle import MANIFEST, Bundle
from mmkg_sdk.bundle.contents import PROBES
from mmkg_sdk.bundle.hashes import file_entry
from mmkg_sdk.bundle.manifest import read_manifest, sealed
from mmkg_sdk.errors import ExportError
from mmkg_sdk.families.entity_batch import EntityBatch
from mmkg_sdk.families.mygo.config import MyGOConfig
from mmkg_sdk.files.folders import FolderKind, new_folder
from mmkg_sdk.files.tensors import map_file, scratch_array, write_tensors
from mmkg_sdk.ranking.known_triples import KnownTriples

# Of the model that is exported; the graph "complete" gives 100 answers, as it would of a million.
_FEW = 1000
_RELATIONS = 1000
_BLOCK = 1 << 16
_SPLIT_SHARES = {"train": 0.98, "valid": 0.01, "test": 0.01}
_BUNDLE = FolderKind("bundle", ExportError, "Choose another folder.", marker=MANIFEST)


def stretched_bundle(folder: Path, entities: int, triples: int, width: int = 256) -> None:
    """Write the bundle.

    Args:
        folder: where nothing stands.
        entities: at least 1,000.
        triples: known ones, drawn evenly; three splits share them.
        width: of a row of the table.
    """
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(prefix="mmkg-stretched-") as made:
        small = Path(made) / "bundle"
        _export_small(Path(made), small, width)
        with Model.load(small, device="cpu") as model, new_folder(folder, _BUNDLE) as new:
            for name in ("weights.safetensors", "relations.txt", "parity.json", "MODEL_CARD.md"):
                shutil.copy(small / name, new / name)
            for path in small.glob("*.onnx"):
                shutil.copy(path, new / path.name)
            config = replace(MyGOConfig.of(model.bundle.config), num_entities=entities)
            with (new / "entities.txt").open("w", encoding="utf-8") as file:
                file.writelines(f"http://example.org/resource/Entity_{i}\n" for i in range(entities))
            inputs = _inputs(config, entities, random)
            _write(new / "inputs.safetensors", inputs)
            _write(new / "table.safetensors", {"vectors": _encoded(model, inputs)})
            splits = {
                split: random.integers([entities, _RELATIONS, entities], size=(round(share * triples), 3))
                for split, share in _SPLIT_SHARES.items()
            }
            _write(new / "triples.safetensors", splits)
            _write(new / "known_triples.safetensors", KnownTriples(np.concatenate(list(splits.values()))).arrays())
            _write_complete(new, config)
            _seal(new, read_manifest(small), config)


def _export_small(folder: Path, bundle: Path, width: int) -> None:
    import torch

    from mmkg_sdk.data.graph import KnowledgeGraph
    from mmkg_sdk.export import export_bundle
    from mmkg_sdk.families.link_prediction import link_prediction_data
    from mmkg_sdk.families.mygo.model import build
    from mmkg_sdk.files.labels import Labels
    from mmkg_sdk.run import Run

    config = MyGOConfig(_FEW, _RELATIONS, 1024, 32, 1024, 32, 4, 4, width, 2 * width, contrastive_samples=16)
    random = np.random.default_rng(1)
    names, relations = (
        Labels([f"{kind}{i}" for i in range(count)]) for kind, count in (("e", _FEW), ("r", _RELATIONS))
    )
    splits = [random.integers([_FEW, _RELATIONS, _FEW], size=(count, 3)) for count in (500, 50, 50)]
    graph = KnowledgeGraph("random numbers", names, relations, *splits)
    inputs = {name: array for name, array in _inputs(config, _FEW, random).items() if name != "structure"}
    run = Run.create(folder / "run", family="mygo", config=config.to_json(), data=link_prediction_data(graph, inputs))
    torch.manual_seed(0)
    run.save_weights(build(run.config, run.inputs).state_dict())
    export_bundle(run, bundle)


def _inputs(config: MyGOConfig, entities: int, random: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Tokens, masks and structure in files without names."""
    shapes = {"visual": config.num_visual_tokens, "text": config.num_text_tokens}
    rows = {"visual": config.visual_codebook_rows, "text": config.text_codebook_rows}
    found = {"structure": scratch_array((entities, config.embedding_dim), "float32")}
    for kind, count in shapes.items():
        found[f"{kind}_tokens"] = scratch_array((entities, count), "int64")
        found[f"{kind}_mask"] = scratch_array((entities, count), "bool")
    for start in range(0, entities, _BLOCK):
        block = slice(start, min(start + _BLOCK, entities))
        found["structure"][block] = random.standard_normal((block.stop - start, config.embedding_dim), np.float32)
        for kind, count in shapes.items():
            found[f"{kind}_tokens"][block] = random.integers(rows[kind], size=(block.stop - start, count))
    return found


def _encoded(model: Model, inputs: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
    count, width = inputs["structure"].shape
    table = scratch_array((count, width), "float32")
    tokens = 2 + inputs["visual_tokens"].shape[1] + inputs["text_tokens"].shape[1]
    for start in range(0, count, _BLOCK):
        block = slice(start, start + _BLOCK)
        batch = EntityBatch({name: np.ascontiguousarray(array[block]) for name, array in inputs.items()}, tokens)
        table[block] = model.encode_batch(batch)["vectors"]
    return table


def _write_complete(folder: Path, config: MyGOConfig) -> None:
    """The graph that has the table inside, for so many entities."""
    from safetensors.torch import load_file

    from mmkg_sdk.export.onnx_graph import write_graph
    from mmkg_sdk.families.complete import complete_module, inner_product
    from mmkg_sdk.families.mygo.graphs import graph_specs, load_modules

    query_encoder = load_modules(config, "fp32", load_file(folder / "weights.safetensors"))["query_encoder"]
    module = complete_module(query_encoder, inner_product, config.num_entities, config.embedding_dim)
    write_graph(module, graph_specs(config)["complete"], folder)


def _seal(folder: Path, manifest: dict[str, Any], config: MyGOConfig) -> None:
    from safetensors.numpy import save

    from mmkg_sdk.families.mygo.graphs import graph_specs

    graphs = {name: spec.to_json() for name, spec in graph_specs(config).items()}
    manifest = {name: value for name, value in manifest.items() if name not in ("seal", "files")}
    manifest |= {"config": config.to_json(), "graphs": graphs}
    contents = {}
    for path in folder.iterdir():
        with path.open("rb") as file:
            contents[path.name] = map_file(file)
    bundle = Bundle.of(folder, manifest, contents)
    with Model(bundle, open_backend(bundle, device="cpu")) as model:
        (folder / PROBES).write_bytes(save(probe_outputs(model.backend, bundle.graphs) | answers(model)))
    files = {path.name: file_entry(path) for path in sorted(folder.iterdir())}
    (folder / MANIFEST).write_text(json.dumps(sealed(manifest | {"files": files})), encoding="utf-8")


def _write(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    with path.open("wb") as file:
        write_tensors(file, arrays)
