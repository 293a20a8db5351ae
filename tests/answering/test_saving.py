"""Model.save: what is written is the grown model, to the bit; and every way that it must not be written."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import mmkg_sdk
import mmkg_sdk.answering.saved_proof
from mmkg_sdk import Model, QueryError
from mmkg_sdk.answering.verification import verify_bundle
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.errors import BundleError, ExportError
from mmkg_sdk.export import export_bundle
from mmkg_sdk.files.labels import Labels
from mmkg_sdk.files.tensors import TensorPlace
from mmkg_sdk.ranking.known_triples import TAIL, Queries
from mmkg_sdk.run import Run, RunData
from tests.attacks.reseal import change_manifest
from tests.places import ROOT

CASES = [("db15k_like", "fp32", "mygo"), ("deep_more_rel", "fp16", "mygo"), ("db15k_like", "fp32", "adamf_mat")]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def opened(folder: Path, backend: str = "auto") -> Model:
    model = mmkg_sdk.load(folder, backend, "cpu", threads=2)
    assert isinstance(model, Model)
    return model


def new_inputs(model: Model, count: int, seed: int = 0) -> dict[str, Any]:
    """Modalities of so many new entities, each of them missing one now and then."""
    random = np.random.default_rng(seed)
    if model.bundle.family == "mygo":
        config = model.bundle.manifest["config"]
        lists = {
            kind: [
                random.integers(config[f"{kind}_codebook_rows"], size=random.integers(0, 5)).tolist()
                for _ in range(count)
            ]
            for kind in ("visual", "text")
        }
        return {"tokens": lists}
    widths = {kind: model.bundle.inputs[f"{kind}_features"].shape[1] for kind in ("visual", "text")}
    return {
        "features": {kind: random.standard_normal((count, width), np.float32) for kind, width in widths.items()},
        "masks": {"visual": random.integers(0, 2, count).astype(bool)},
    }


def grown(folder: Path, count: int = 7) -> Model:
    model = opened(folder)
    model.add_entities([f"new {i}" for i in range(count)], **new_inputs(model, count))
    return model


@pytest.fixture(params=CASES, ids=lambda case: "-".join((case[2], case[1])))
def bundle(request: pytest.FixtureRequest, golden_bundles: Callable[..., Path]) -> Path:
    return golden_bundles(*request.param)


def test_a_saved_model_answers_as_the_grown_one_to_the_bit(bundle: Path, tmp_path: Path) -> None:
    with grown(bundle) as model:
        model.save(tmp_path / "saved")
        with opened(tmp_path / "saved") as saved:
            assert saved.entities == model.entities
            assert saved.table.tobytes() == model.table.tobytes()
            count = len(model.entities)
            asked, relations = np.arange(count), np.arange(count) % len(model.relations)
            both = (saved, model)
            for known in (True, False):
                tails, heads = (
                    [one.predict_tails(asked, relations, k=count, filter_known=known).to_json() for one in both],
                    [one.predict_heads(relations, asked, k=count, filter_known=known).to_json() for one in both],
                )
                assert tails[0] == tails[1]
                assert heads[0] == heads[1]
            again = new_inputs(model, 5, seed=1)
            assert saved.encode_entities(**again).tobytes() == model.encode_entities(**again).tobytes()
    assert verify_bundle(tmp_path / "saved")["passed"]
    assert verify_bundle(tmp_path / "saved", backend="torch", device="cpu")["passed"]


def test_saved_twice_it_has_the_same_bytes_and_saved_as_it_was_those_of_the_bundle(
    golden_bundle: Path, tmp_path: Path
) -> None:
    with opened(golden_bundle) as model:
        model.save(tmp_path / "same")
    assert contents(tmp_path / "same") == contents(golden_bundle)
    with grown(golden_bundle) as model:
        model.save(tmp_path / "one")
        model.save(tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    with opened(tmp_path / "one") as model:
        model.save(tmp_path / "three")
    assert contents(tmp_path / "one") == contents(tmp_path / "three")


def test_grown_in_two_steps_it_is_what_it_is_in_one(bundle: Path, tmp_path: Path) -> None:
    """But for what is not said: the order of the proof. The mean of structures stays that of the trained entities."""
    with opened(bundle) as model:
        model.add_entities(["a"], **new_inputs(model, 1, seed=1))
        width = model.bundle.inputs["structure"].shape[1]
        model.add_entities(["b"], **new_inputs(model, 1, seed=2), structure=np.full((1, width), 3, np.float32))
        model.save(tmp_path / "at once")
    with opened(bundle) as model:
        model.add_entities(["a"], **new_inputs(model, 1, seed=1))
        model.save(tmp_path / "first")
    with opened(tmp_path / "first") as model:
        model.add_entities(["b"], **new_inputs(model, 1, seed=2), structure=np.full((1, width), 3, np.float32))
        model.save(tmp_path / "second")
    assert contents(tmp_path / "second") == contents(tmp_path / "at once")


def with_entities(run: Run, inputs: dict[str, Any], labels: list[str], folder: Path) -> Run:
    """A run as it would be had the entities been there: their tokens, and the mean for what was not trained."""
    weights, tokens = run.weights(), dict(run.inputs)
    count = len(labels)
    structure = weights["ent_embeddings"]
    mean = structure.mean(dim=0, keepdim=True)
    weights["ent_embeddings"] = mean.new_tensor(np.concatenate([structure, np.repeat(mean, count, axis=0)]))
    for kind in ("visual", "text"):
        lists, before = inputs["tokens"][kind], tokens[f"{kind}_tokens"]
        width = max(before.shape[1], *map(len, lists))
        rows, mask = np.zeros((len(before) + count, width), np.int64), np.ones((len(before) + count, width), bool)
        rows[: len(before), : before.shape[1]], mask[: len(before), : before.shape[1]] = before, tokens[f"{kind}_mask"]
        for i, given in enumerate(lists, start=len(before)):
            rows[i, : len(given)], mask[i, : len(given)] = given, False
        tokens[f"{kind}_tokens"], tokens[f"{kind}_mask"] = rows, mask
    entities = Labels([*run.labels["entities"], *labels])
    data = RunData(
        run.data_name, {**run.labels, "entities": entities}, {"inputs": tokens, "triples": run.tensors("triples")}
    )
    config = {
        **run.config,
        "num_entities": len(entities),
        **{f"num_{kind}_tokens": tokens[f"{kind}_tokens"].shape[1] for kind in ("visual", "text")},
    }
    other = Run.create(folder, family="mygo", config=config, data=data)
    other.save_weights(weights)
    return other


def test_an_export_of_the_run_with_these_entities_gives_the_same_vectors_and_rankings(
    golden_run: Run, golden_bundle: Path, tmp_path: Path
) -> None:
    labels = [f"new {i}" for i in range(7)]
    with grown(golden_bundle) as model:
        run = with_entities(golden_run, new_inputs(model, 7), labels, tmp_path / "run")
        model.save(tmp_path / "saved")
    export_bundle(run, tmp_path / "exported")
    with opened(tmp_path / "saved") as saved, opened(tmp_path / "exported") as exported:
        np.testing.assert_allclose(saved.table, exported.table, rtol=1e-4, atol=1e-5)
        for name, array in exported.bundle.inputs.items():
            np.testing.assert_allclose(saved.bundle.inputs[name], array, rtol=1e-4, atol=1e-6)
        heads = np.arange(len(saved.entities))
        for one, other in zip(saved.predict_tails(heads, 1, k=10), exported.predict_tails(heads, 1, k=10), strict=True):
            assert one.ids.tolist() == other.ids.tolist()
        assert saved.bundle.manifest["graphs"] == exported.bundle.manifest["graphs"]


def test_complete_onnx_is_whole_and_ranks_the_new_entities(bundle: Path, tmp_path: Path) -> None:
    """Read by the onnx package and run by ONNX Runtime alone."""
    with grown(bundle, 80) as model:  # the golden cases have fewer than 100 entities, and more with these
        model.save(tmp_path / "saved")
        count = len(model.entities)
        assert count > 100
        asked = Queries(np.arange(count), np.zeros(count, np.int64), np.full(count, TAIL))
        scores = model.score_queries(asked)
    path = tmp_path / "saved" / "complete.onnx"
    onnx.checker.check_model(str(path))
    session = onnxruntime.InferenceSession(str(path))
    given = {"entity": asked.entity, "relation": asked.relation, "direction": asked.direction}
    ids, found = session.run(["ids", "scores"], given)
    assert ids.shape == (count, 100)
    assert (ids >= count - 80).any()
    np.testing.assert_allclose(found, -np.sort(-scores, axis=1)[:, :100], rtol=1e-2, atol=1e-2)


def test_what_holds_for_the_exported_entities_alone_says_so(golden_bundle: Path, tmp_path: Path) -> None:
    with grown(golden_bundle) as model:
        model.save(tmp_path / "saved")
    with opened(tmp_path / "saved") as model:
        model.add_entities(["another"], **new_inputs(model, 1))
        model.save(tmp_path / "again")
    card = (tmp_path / "again" / "MODEL_CARD.md").read_text()
    assert card.count("## Entities added later") == 1
    assert "of the 40 entities that were exported" in card
    assert "8 more were encoded" in card
    parity = json.loads((tmp_path / "again" / "parity.json").read_text())
    assert (parity["entities"], parity["added_entities"]) == (40, 8)
    manifest = json.loads((tmp_path / "again" / "bundle.json").read_text())
    assert manifest["trained_entities"] == 40
    assert manifest["config"]["num_entities"] == 48
    assert manifest["provenance"]["added_entities"] == 8


def test_entities_added_one_by_one_are_saved_as_those_added_together(golden_bundle: Path, tmp_path: Path) -> None:
    count = 300  # more than are put together
    with opened(golden_bundle) as model:
        inputs = new_inputs(model, count)
        model.add_entities([f"new {i}" for i in range(count)], **inputs)
        model.save(tmp_path / "together")
    with opened(golden_bundle) as model:
        for i in range(count):
            tokens = {kind: [lists[i]] for kind, lists in inputs["tokens"].items()}
            model.add_entities([f"new {i}"], tokens=tokens)
        model.save(tmp_path / "one by one")
    assert contents(tmp_path / "together") == contents(tmp_path / "one by one")


def test_a_model_that_came_by_pickle_is_saved_as_the_one_that_was_sent(golden_bundle: Path, tmp_path: Path) -> None:
    with grown(golden_bundle) as model, pickle.loads(pickle.dumps(model)) as sent:
        model.save(tmp_path / "one")
        sent.save(tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_what_the_caller_does_with_arrays_afterwards_changes_nothing(golden_bundle: Path, tmp_path: Path) -> None:
    with opened(golden_bundle) as model:
        tokens = np.array([[1, 2]])
        model.add_entities(["new"], visual_tokens=tokens, text_tokens=[[3]])
        tokens[:] = 0
        model.save(tmp_path / "saved")
    assert Bundle.open(tmp_path / "saved").inputs["visual_tokens"][-1, :2].tolist() == [1, 2]


def test_bundles_of_earlier_versions_become_those_of_this_one(tmp_path: Path) -> None:
    for family in ("mygo", "adamf_mat"):
        with grown(ROOT / "tests" / "released" / "0.2.0" / family) as model:
            model.save(tmp_path / family)
        assert verify_bundle(tmp_path / family)["answers at export"]
        assert json.loads((tmp_path / family / "bundle.json").read_text())["format_version"] == 3


def test_an_own_bundle_is_replaced_where_that_is_asked(golden_bundle: Path, tmp_path: Path) -> None:
    with opened(golden_bundle) as model:
        model.save(tmp_path / "own")
    with grown(tmp_path / "own") as model:
        with pytest.raises(ExportError, match="holds a bundle already"):
            model.save(tmp_path / "own")
        model.save(tmp_path / "own", overwrite=True)
        assert len(opened(tmp_path / "own").entities) == 47
        model.add_entities(["one more"], **new_inputs(model, 1))  # what it has open is what it opened
        model.save(tmp_path / "own", overwrite=True)
        assert len(opened(tmp_path / "own").entities) == 48


def test_what_stands_there_is_left_alone(golden_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine.txt").write_text("mine")
    with grown(golden_bundle) as model:
        for name, message in (("file", "is a file"), ("folder", "holds something that is no bundle")):
            for overwrite in (False, True):
                with pytest.raises(ExportError, match=message):
                    model.save(tmp_path / name, overwrite=overwrite)
    assert (tmp_path / "file").read_text() == (tmp_path / "folder" / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("room", [0, 3000, 12_000])
def test_a_full_disk_leaves_nothing_behind(golden_bundle: Path, tmp_path: Path, room: int) -> None:
    pytest.importorskip("resource", reason="this system has no limits of files")
    from tests.faults.room import files_of_at_most

    with grown(golden_bundle) as model:
        with files_of_at_most(room), pytest.raises(ExportError, match="Nothing was changed; make room"):
            model.save(tmp_path / "saved")
        assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == []
        model.save(tmp_path / "saved")


def test_what_does_not_answer_as_the_model_is_not_kept(
    golden_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proof is no formality: a row, a label, a token or a graph that went wrong on the way is found."""
    import mmkg_sdk.answering.saving as saving

    right = {name: getattr(saving, name) for name in ("write_tensors", "write_labels", "complete_of")}

    def other_numbers(file: Any, arrays: Any) -> None:
        changed = {name: [np.array(part) for part in (a if isinstance(a, list) else [a])] for name, a in arrays.items()}
        for name in ("vectors", "visual_tokens", "structure"):
            if name in changed and name == spoiled:
                changed[name][-1][-1] = changed[name][0][0]
        right["write_tensors"](file, changed)

    def other_labels(path: Path, labels: Labels) -> None:
        right["write_labels"](path, Labels([*labels[:-1], "somebody else"]))

    def other_graph(model: memoryview, table: TensorPlace, best: int) -> bytes:
        return bytes(right["complete_of"](model, replace(table, start=table.start - 4), best))

    with grown(golden_bundle) as model:
        for name, spoil, message in (
            ("write_labels", other_labels, "other labels"),
            ("write_tensors", other_numbers, "other table"),
            ("write_tensors", other_numbers, "other encoder"),
            ("complete_of", other_graph, "complete.onnx"),
        ):
            spoiled = "vectors" if message == "other table" else "visual_tokens"
            monkeypatch.setattr(saving, name, spoil)
            with pytest.raises(ExportError, match=message):
                model.save(tmp_path / "saved")
            assert not (tmp_path / "saved").exists()
            monkeypatch.setattr(saving, name, right[name])
        model.save(tmp_path / "saved")


def test_a_table_of_2_gib_is_refused_before_it_is_too_late(
    golden_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmkg_sdk.bundle.complete_graph.MOST_BYTES", 40 * 32 * 4)
    with opened(golden_bundle) as model:
        model.save(tmp_path / "as it was")
        model.add_entities(["new"], **new_inputs(model, 1))
        with pytest.raises(ExportError, match="one of 2 GiB or more is cut into parts"):
            model.save(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


@pytest.mark.parametrize("label", ["\ufeffname", "half \ud83d", "a\nb", "a\rb", ""])
def test_a_label_that_no_file_can_hold_is_refused_when_it_is_added(golden_bundle: Path, label: str) -> None:
    with opened(golden_bundle) as model:
        with pytest.raises(QueryError):
            model.add_entities([label], **new_inputs(model, 1))
        assert len(model.entities) == 40


@pytest.mark.parametrize("value", [0, -1, 41, True, "3", 2.0, None, 1 << 62])
def test_a_wrong_count_of_trained_entities_is_refused(golden_bundle: Path, tmp_path: Path, value: Any) -> None:
    with opened(golden_bundle) as model:
        model.save(tmp_path / "saved")
    change_manifest(tmp_path / "saved", lambda manifest: manifest.update(trained_entities=value))
    with pytest.raises(BundleError, match="trained_entities is"):
        Bundle.open(tmp_path / "saved")


def test_a_family_that_encodes_no_new_entities_saves_what_it_has(tmp_path: Path) -> None:
    folder = ROOT / "tests" / "released" / "0.2.0" / "mkgformer-links"
    with opened(folder) as model:
        model.save(tmp_path / "saved")
    assert contents(tmp_path / "saved") == contents(folder)
