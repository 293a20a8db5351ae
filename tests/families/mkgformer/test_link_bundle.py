"""Link prediction on the whole path: official checkpoints and data of the authors' layout, to run, bundle, answers."""

from __future__ import annotations

import json
import lzma
import pickle
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

import mmkg_sdk
from mmkg_sdk.answering.link_prediction import Model
from mmkg_sdk.answering.verification import verify_bundle
from mmkg_sdk.cli.group import cli
from mmkg_sdk.data.graph import DataSet
from mmkg_sdk.data.open import open_dataset
from mmkg_sdk.errors import BundleError, DataError, ExportError, QueryError
from mmkg_sdk.evaluation import LinkPredictionReport
from mmkg_sdk.evaluation.subjects import evaluate_path
from mmkg_sdk.export import export_bundle, import_checkpoint
from mmkg_sdk.families.mkgformer.config import MKGformerConfig
from mmkg_sdk.families.mkgformer.encoder import Images, Texts
from mmkg_sdk.families.mkgformer.links import inputs as link_inputs
from mmkg_sdk.families.mkgformer.links import texts as link_texts
from mmkg_sdk.families.mkgformer.model import build
from mmkg_sdk.families.mkgformer.scoring import scorer
from mmkg_sdk.modalities.images import clip_pixels
from mmkg_sdk.ranking.exact import RankingProtocol, filtered_ranks
from mmkg_sdk.ranking.known_triples import HEAD, TAIL, AnswerLists, KnownTriples, Queries
from mmkg_sdk.run import Run
from tests.attacks.reseal import reseal
from tests.families.mkgformer.cases import FOLDER, LP_CASES, Case, golden
from tests.places import REAL_DATA

pytest.importorskip("tokenizers", reason="texts need tokenizers")
DATA = REAL_DATA
Arrays = dict[str, np.ndarray]

# Precision, backend, and the largest allowed error of a score: of the golden README in fp32; in half precision as a
# share of the root mean square.
RUNS = [
    *((case, "fp32", backend, 0.0) for case in LP_CASES for backend in ("onnxruntime", "torch")),
    *(("lp_pretrain_small", "fp16", backend, 2e-2) for backend in ("onnxruntime", "torch")),
    ("lp_pretrain_small", "bf16", "torch", 1.5e-1),
]

TINY: dict[str, Any] = {
    "hidden_dim": 16,
    "num_layers": 3,
    "num_heads": 2,
    "text_feedforward_dim": 24,
    "vision_feedforward_dim": 24,
    "num_positions": 32,
    "patch_size": 8,
    "image_size": 16,
    "aux_image_size": 8,
    "rcnn_image_size": 8,
    "fusion_start_layer": 1,
    "max_length": 24,
}


@dataclass(frozen=True)
class Opened:
    model: Model
    case: Case
    precision: str
    tolerance: float


@pytest.fixture(scope="module", params=RUNS, ids=lambda p: "-".join(p[:3]))
def opened(request: pytest.FixtureRequest, golden_bundles: Callable[..., Path]) -> Iterator[Opened]:
    case, precision, backend, tolerance = request.param
    with mmkg_sdk.load(golden_bundles(case, precision, "mkgformer"), backend, "cpu") as model:
        yield Opened(model, golden(case), precision, tolerance)


def golden_scores(opened: Opened) -> np.ndarray:
    """The golden questions through both graphs of the bundle, scored as the model scores its own."""
    inputs, backend = opened.case.inputs, opened.model.backend
    images = {name: inputs[name] for name in ("aux_values", "rcnn_values", "pixel_values")}
    question = {name: inputs[name] for name in ("input_ids", "attention_mask")} | {
        "mask_position": opened.case.outputs["mask_positions"],
        "image_state": backend.run("image_encoder", images)["image_state"],
    }
    found: np.ndarray = opened.model.bundle.config.candidate_score(
        backend.run("query_encoder", question)["queries"], opened.model.table
    )
    return found


def test_a_bundle_gives_the_official_scores(opened: Opened) -> None:
    found, expected = golden_scores(opened), opened.case.outputs["mask_entity_logits"]
    if opened.precision == "fp32":
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)
    else:
        assert np.abs(found - expected).max() <= opened.tolerance * np.sqrt(np.mean(expected**2))


def test_a_bundle_gives_the_official_ranks(opened: Opened) -> None:
    if opened.precision != "fp32":
        pytest.skip("ranks are exact in float32 only")
    scores, answers, targets = golden_scores(opened), opened.case.inputs["labels"], opened.case.inputs["label"]
    protocol = opened.model.bundle.config.protocol
    known = AnswerLists(np.cumsum([0, *answers.sum(axis=1)]).astype(np.int64), np.nonzero(answers)[1])
    ranks = filtered_ranks(scores, targets, known, protocol).published
    np.testing.assert_array_equal(ranks, opened.case.outputs["ranks"])
    assert np.mean(1 / ranks) == pytest.approx(opened.case.options["official_metrics"]["Test/mrr"])
    others = answers.astype(bool)
    others[np.arange(len(targets)), targets] = False
    filtered = scores - np.float32(protocol.known_answer_penalty) * others
    np.testing.assert_allclose(filtered, opened.case.outputs["filtered_scores"], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", LP_CASES)
def test_a_checkpoint_of_another_graph_is_refused(name: str, tmp_path: Path) -> None:
    case = FOLDER / name
    fields = dict(np.load(case / "inputs.npz"))
    for change, message in [
        ({"input_ids": fields["input_ids"][:, 0]}, "input_ids is int64"),
        ({"train_triples": np.zeros((1, 3), np.int64)}, "no array 'valid_triples'"),
        ({"attention_mask": fields["attention_mask"][:, :-1]}, "differ in shape"),
    ]:
        np.savez(tmp_path / "inputs.npz", **{**fields, **change})
        with pytest.raises(ExportError, match=message):
            import_checkpoint(
                "mkgformer",
                case / "checkpoint.pt",
                tmp_path / "run",
                inputs=tmp_path / "inputs.npz",
                config=case / "config.json",
            )
    triples = {f"{split}_triples": np.array([[0, 1, 2]]) for split in ("train", "valid", "test")}
    np.savez(tmp_path / "inputs.npz", **fields, **triples)
    run = import_checkpoint(
        "mkgformer",
        case / "checkpoint.pt",
        tmp_path / "run",
        inputs=tmp_path / "inputs.npz",
        config=case / "config.json",
    )
    assert run.graph.triples.tolist() == [[0, 1, 2]] * 3
    assert "tokenizer.json" not in run.data.files


@pytest.fixture(scope="module")
def authors_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy data of the authors' layout, with pictures of four of the nine entities: one, three, seven and nine."""
    images = pytest.importorskip("PIL.Image", reason="pictures need Pillow")
    folder = tmp_path_factory.mktemp("data") / "toy"
    folder.mkdir()
    for name in ("train.tsv", "dev.tsv", "test.tsv", "entity2text.txt", "relation2text.txt", "relations.txt"):
        shutil.copy(FOLDER / "text_prep" / name, folder)
    noise = np.random.default_rng(0)
    for entity, count in (("m.a0", 1), ("m.c2", 3), ("m.f5", 7), ("m.g6", 9)):
        place = folder / "images" / entity
        place.mkdir(parents=True)
        for number in range(count):
            pixels = noise.integers(0, 256, (20, 18 + number, 3), dtype=np.uint8)
            images.fromarray(pixels).save(place / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def toy(authors_folder: Path) -> DataSet:
    return open_dataset(authors_folder)


def random_run(dataset: DataSet, out: Path, **settings: Any) -> Run:
    """A tiny model with fresh weights on a data set."""
    config = link_inputs.config_for(dataset, {**TINY, **settings})
    data = link_inputs.run_data(dataset, config)
    link_inputs.check_data(data, config)
    run = Run.create(out, family="mkgformer", config=config.to_json(), data=data)
    torch.manual_seed(5)
    model = build(run.config, run.inputs)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    run.save_weights(model.state_dict())
    return run


@pytest.fixture(scope="module")
def toy_run(toy: DataSet, tmp_path_factory: pytest.TempPathFactory) -> Run:
    vocabulary = FOLDER / "text_prep" / "vocab.txt"
    return random_run(toy, tmp_path_factory.mktemp("toy") / "run", tokenizer=str(vocabulary))


@pytest.fixture(scope="module")
def toy_bundle(toy_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy") / "bundle"
    report = export_bundle(toy_run, folder)
    assert {check.subject for check in report.checks} == {"table", "image_encoder", "query_encoder"}
    return folder


def torch_model(run: Run) -> Any:
    model = build(run.config, run.inputs)
    model.load_state_dict(run.weights())
    return model.eval()


def test_a_checkpoint_is_imported_with_the_authors_folder(authors_folder: Path, toy_run: Run, tmp_path: Path) -> None:
    torch.save({"state_dict": toy_run.weights(), "epoch": 3}, tmp_path / "epoch.ckpt")
    told = {name: TINY[name] for name in ("num_heads", "aux_image_size", "rcnn_image_size", "fusion_start_layer")}
    told |= {"num_entities": 9, "num_relations": 4, "mask_token_id": 4, "max_length": 24}
    told |= {"tokenizer": str(FOLDER / "text_prep" / "vocab.txt")}

    def imported(**changes: Any) -> Run:
        settings = {name: value for name, value in {**told, **changes}.items() if value is not None}
        arguments = {"data": str(authors_folder), "settings": settings, "overwrite": True}
        return import_checkpoint("mkgformer", tmp_path / "epoch.ckpt", tmp_path / "run", **arguments)

    run = imported()
    assert run.config == toy_run.config
    np.testing.assert_equal(run.inputs, toy_run.inputs)
    queries = Queries.for_triples(run.graph.test, TAIL)
    expected = scorer(torch_model(toy_run), toy_run)(queries)
    np.testing.assert_array_equal(scorer(torch_model(run), run)(queries), expected)
    for changes, error, message in [
        ({"tokenizer": None}, DataError, r"texts need one. Pass --set tokenizer=\.\.\. with the vocab\.txt"),
        (
            {"num_entities": 8, "num_relations": 5},
            ExportError,
            "has 8 entities and 5 relations, the data set toy has 9",
        ),
    ]:
        with pytest.raises(error, match=message):
            imported(**changes)


def pictures(files: list[Path]) -> Images:
    """An entity's pictures by the authors' rule, from the files themselves."""
    groups = ((files[:1], 1, 16), (files[1:4], 3, 8), (files[4:7], 3, 8))
    arrays = [
        np.stack([clip_pixels(path, size) for path in [*paths, *[None] * (count - len(paths))]])
        for paths, count, size in groups
    ]
    main, aux, rcnn = (torch.as_tensor(array)[None] for array in arrays)
    return Images(main[:, 0], aux, rcnn)


def authors_scores(toy: DataSet, run: Run, *, answer_pictured: bool = False) -> list[NDArray[np.float32]]:
    """Of every test question, heads and tails by turns: tokens and whose pictures from the authors' own preparation."""
    model, features = torch_model(run), json.loads((FOLDER / "text_prep" / "lp_expected.json").read_text())
    expected = []
    for question in features["features"]["stage2_bce1_test"]:
        entity = run.graph.entities[question["label"]] if answer_pictured else question["image_entity"]
        texts = Texts(torch.tensor([question["input_ids"]]), torch.tensor([question["attention_mask"]]))
        shown = [*toy.images.get(entity, ())]
        if len(shown) > 7:  # a sample of seven, as Python's generator with seed 1 draws it
            shown = random.Random(1).sample(shown, 7)
        with torch.inference_mode():
            expected.append(model(texts, pictures(shown))[0].numpy())
    return expected


def test_the_answers_pictures_are_shown_if_asked_for(toy: DataSet, toy_run: Run, toy_bundle: Path) -> None:
    """The leak of one published checkpoint, as a switch of the evaluation."""
    triples = toy_run.graph.test
    expected = authors_scores(toy, toy_run, answer_pictured=True)
    assert not np.allclose(expected, authors_scores(toy, toy_run))
    with mmkg_sdk.load(toy_bundle) as model:
        for direction, scores in ((HEAD, expected[::2]), (TAIL, expected[1::2])):
            queries = Queries.for_triples(triples, direction, answer_pictured=True)
            np.testing.assert_allclose(model.score_queries(queries), scores, rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(model.score_queries(queries[1:]), scores[1:], rtol=1e-5, atol=1e-5)
    known, protocol = KnownTriples(toy_run.graph.triples), MKGformerConfig.from_json(toy_run.config).protocol
    ranks = [
        filtered_ranks(
            np.array(expected[column::2]),
            triples[:, answer],
            known.answers_of(Queries.for_triples(triples, direction)),
            protocol,
        ).published
        for column, (direction, answer) in enumerate(((HEAD, 0), (TAIL, 2)))
    ]
    for path in (toy_bundle, toy_run.folder):
        report = evaluate_path(path, "test", answer_pictured=True)
        assert isinstance(report, LinkPredictionReport)
        np.testing.assert_array_equal(report.ranks["published"], np.stack(ranks, axis=1))
    said = CliRunner().invoke(cli, ["evaluate", str(toy_bundle), "--answer-pictured", "--json"])
    assert json.loads(said.stdout)["answer_pictured"] is True


def test_only_questions_with_pictures_can_show_the_answers(golden_bundle: Path) -> None:
    with pytest.raises(DataError, match=r"is mygo's, for link-prediction; only MKGformer's .* Leave --answer-pictured"):
        evaluate_path(golden_bundle, "test", answer_pictured=True)


def test_answers_are_those_of_the_torch_model_on_the_authors_tokens(
    toy: DataSet, toy_run: Run, toy_bundle: Path
) -> None:
    """One question at a time."""
    model, expected = torch_model(toy_run), authors_scores(toy, toy_run)
    triples = toy_run.graph.test
    heads = Queries.for_triples(triples, HEAD), expected[::2]
    tails = Queries.for_triples(triples, TAIL), expected[1::2]
    for backend in ("onnxruntime", "torch"):
        with mmkg_sdk.load(toy_bundle, backend) as opened:
            for queries, scores in (heads, tails):
                np.testing.assert_allclose(opened.score_queries(queries), scores, rtol=1e-5, atol=1e-5)
                np.testing.assert_allclose(scorer(model, toy_run)(queries), scores, rtol=1e-5, atol=1e-5)
                targets = triples[:, 0 if queries is heads[0] else 2]
                nothing = AnswerLists(np.zeros(len(queries) + 1, np.int64), np.empty(0, np.int64))
                ranks = scorer(model, toy_run).rank(queries, targets, nothing, RankingProtocol("optimistic"))
                better = [(row > row[target]).sum() for row, target in zip(scores, targets, strict=True)]
                np.testing.assert_array_equal(ranks.published, 1 + np.array(better))
            found = opened.predict_tails(triples[:, 0], triples[:, 1], k=9, filter_known=False)
            for row, scores in enumerate(tails[1]):
                assert list(found[row].ids) == np.argsort(-scores, kind="stable").tolist()
            known = opened.predict_heads(triples[:, 1], triples[:, 2], k=9)
            assert all(len(answers) < 9 for answers in known)


def test_an_answer_does_not_depend_on_what_else_is_asked(toy_bundle: Path) -> None:
    with mmkg_sdk.load(toy_bundle) as model:
        queries = Queries(np.repeat(np.arange(9), 8), np.tile(np.arange(4), 18), np.tile([HEAD, TAIL], 36))
        texts = link_texts.stored_texts(model.bundle.inputs, model.bundle.config)
        assert len(list(link_texts.queries_by_length(texts, queries, 1))) > 5
        together = model.score_queries(queries)
        for row in range(0, len(queries), 7):
            np.testing.assert_allclose(model.score_queries(queries[row : row + 1])[0], together[row], atol=1e-5)


def test_few_questions_go_together_when_each_has_many_tokens(monkeypatch: pytest.MonkeyPatch, toy_bundle: Path) -> None:
    with mmkg_sdk.load(toy_bundle) as model:
        queries = Queries(np.zeros(5, np.int64), np.zeros(5, np.int64), np.full(5, TAIL))
        together = model.score_queries(queries)
        monkeypatch.setattr(link_texts, "CHUNK_TOKENS", 50)
        batches = list(model._runtime.query_batches(model.bundle, model.table, queries))
        assert [len(rows) for rows, _ in batches] == [1, 1, 1, 1, 1]
        np.testing.assert_allclose(model.score_queries(queries), together, atol=1e-6)


def test_entities_without_pictures_share_one_image_state(toy_bundle: Path) -> None:
    with mmkg_sdk.load(toy_bundle) as model:
        rows, states = model.bundle.inputs["image_rows"], model.bundle.tensors["images"]["states"]
        assert not states.flags.writeable  # a view of a read-only map
        assert len(states) == 5
        shown = [model.entities.find(label) for label in ("/m/a0", "/m/c2", "/m/f5", "/m/g6")]
        assert len(set(rows[shown])) == 4
        assert len(set(np.delete(rows, shown))) == 1


def test_half_precision_bundles_keep_image_states_in_it(toy_run: Run, toy_bundle: Path, tmp_path: Path) -> None:
    export_bundle(toy_run, tmp_path / "half", precision="fp16")
    with mmkg_sdk.load(tmp_path / "half") as half, mmkg_sdk.load(toy_bundle) as full:
        assert half.bundle.tensors["images"]["states"].dtype == np.float16
        found, expected = half.score_tails(np.arange(9), 0), full.score_tails(np.arange(9), 0)
        assert np.abs(found - expected).max() < 0.02 * np.sqrt(np.mean(expected**2))


def test_run_and_bundle_have_the_same_metrics_and_verify(toy_run: Run, toy_bundle: Path) -> None:
    of_run = evaluate_path(toy_run.folder, "test", device="cpu").metrics()
    assert evaluate_path(toy_bundle, "test").metrics() == pytest.approx(of_run)
    assert verify_bundle(toy_bundle)["passed"]


def test_an_opened_bundle_travels_to_another_process(toy_bundle: Path) -> None:
    with mmkg_sdk.load(toy_bundle) as model, pickle.loads(pickle.dumps(model)) as again:
        np.testing.assert_array_equal(again.score_tails("/m/a0", [0, 1]), model.score_tails("/m/a0", [0, 1]))


def test_new_entities_and_explanations_are_declined(toy_bundle: Path) -> None:
    with mmkg_sdk.load(toy_bundle) as model:
        with pytest.raises(QueryError, match="part of its vocabulary; a new one needs training"):
            model.add_entities(["new"], text_tokens=[[1]])
        with pytest.raises(QueryError, match="part of its vocabulary"):
            model.encode_entities(text_tokens=[[1]])
        with pytest.raises(QueryError, match=r"mkgformer reads text and image with each query"):
            model.explain_entity("/m/a0")
        with pytest.raises(QueryError, match="unknown entity"):
            model.predict_tails("/m/zz", "/r/0/x")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("entity_offsets", lambda a: a[::-1], "entity_offsets do not divide"),
        ("relation_offsets", lambda a: a + 1, "relation_offsets do not divide"),
        ("entity_pieces", lambda a: a + 1000, "entity_pieces goes from"),
        ("special_tokens", lambda a: a - 7, "special_tokens goes from"),
        ("image_rows", lambda a: a + 1, "image_rows goes from 1 to 5; expected 0 to 4"),
    ],
)
def test_inputs_out_of_range_are_found(
    name: str, change: Callable[[np.ndarray], np.ndarray], message: str, toy_bundle: Path, tmp_path: Path
) -> None:
    shutil.copytree(toy_bundle, tmp_path / "bundle")
    path = tmp_path / "bundle" / "inputs.safetensors"
    arrays = load_file(path)
    save_file(arrays | {name: np.ascontiguousarray(change(arrays[name]))}, path)
    reseal(tmp_path / "bundle")
    with pytest.raises(BundleError, match=message):
        mmkg_sdk.load(tmp_path / "bundle")


def test_a_text_that_spells_the_mask_is_a_text(toy: DataSet, tmp_path: Path) -> None:
    texts = {**toy.entity_texts, "/m/a0": "a [MASK] too many"}
    run = random_run(replace(toy, entity_texts=texts), tmp_path / "run", learned_vocabulary_size=60)
    answer = scorer(torch_model(run), run)
    spelt, other = answer(Queries(np.array([0, 1]), np.array([0, 0]), np.array([TAIL, TAIL])))
    assert spelt.shape == other.shape == (9,)
    assert np.isfinite(spelt).all()


def test_the_tokenizer_must_be_that_of_the_model(toy: DataSet, tmp_path: Path) -> None:
    config = link_inputs.config_for(toy, {**TINY, "learned_vocabulary_size": 60})
    assert config.base_vocabulary_size <= 60
    assert config.vocabulary_size == config.base_vocabulary_size + 9 + 4
    again = link_inputs.run_data(toy, config).files["tokenizer.json"]
    assert link_inputs.run_data(toy, config).files["tokenizer.json"] == again
    (tmp_path / "tokenizer.json").write_bytes(again)
    for source in (tmp_path, tmp_path / "tokenizer.json"):
        given = link_inputs.config_for(toy, {**TINY, "tokenizer": str(source)})
        assert given.base_vocabulary_size == config.base_vocabulary_size
        assert link_inputs.run_data(toy, given).files["tokenizer.json"] == again
    other = replace(config, tokenizer=str(FOLDER / "text_prep" / "vocab.txt"))
    with pytest.raises(DataError, match=r"has 96 word pieces and \[MASK\] at 4; the model has"):
        link_inputs.run_data(toy, other)
    with pytest.raises(DataError, match="texts need one"):
        link_inputs.run_data(toy, replace(config, tokenizer="none"))
    with pytest.raises(DataError, match="no tokenizer of BERT"):
        link_inputs.config_for(toy, {**TINY, "tokenizer": str(tmp_path / "absent")})


def test_entities_without_a_text_are_told_by_their_description_or_label(toy: DataSet) -> None:
    plain = replace(toy, entity_texts={}, descriptions={"/m/a0": "a river"}, relation_texts={"/r/0/x": "flows"})
    assert link_inputs.entity_texts(plain)[:2] == ["a river", toy.graph.entities[1]]
    assert sorted(link_inputs.relation_texts(plain))[-1] == "flows"
    assert link_inputs.config_for(plain, TINY).num_entities == 9


@pytest.mark.parametrize(
    ("name", "entities", "relations", "seen"), [("FB15k-237", 14_951, 237, 14_541), ("WN18", 40_943, 18, 40_943)]
)
def test_public_graphs_go_the_whole_way(
    name: str, entities: int, relations: int, seen: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (DATA / name).is_dir():
        pytest.skip("the public data sets are not beside the repository")
    dataset = open_dataset(DATA / name)
    vocabulary = str(DATA / "vocab" / "bert-base-uncased-vocab.txt.xz")
    run = random_run(dataset, tmp_path / "run", tokenizer=vocabulary, max_length=32)
    assert run.config["base_vocabulary_size"] == 30522
    assert run.config["mask_token_id"] == 103
    lines = lzma.decompress((DATA / name / "entity2text.txt.xz").read_bytes()).decode().splitlines()
    ids = [line.split("\t")[0] for line in lines]
    # Row = line of the entity text file: a candidate's token is 30522 + line number.
    assert [dataset.source_ids.get(label, label) for label in run.graph.entities] == ids
    assert (len(run.graph.entities), len(run.graph.relations)) == (entities, relations)
    assert len(np.unique(run.graph.triples[:, [0, 2]])) == seen
    triples = run.graph.test[[0, 1000, -1]]
    monkeypatch.setattr("mmkg_sdk.export.link_prediction.MAX_TRIPLES", 4)
    export_bundle(run, tmp_path / "bundle")
    model = torch_model(run)
    with mmkg_sdk.load(tmp_path / "bundle") as opened:
        for head, relation, tail in triples.tolist():
            token = 30522 + entities + relation
            for direction, known in ((TAIL, head), (HEAD, tail)):
                queries = Queries.for_triples(np.array([[head, relation, tail]]), direction)
                ((_, inputs),) = opened._runtime.query_batches(opened.bundle, opened.table, queries)
                assert sorted(inputs["input_ids"][inputs["input_ids"] >= 30522]) == [30522 + known, token]
                np.testing.assert_allclose(
                    opened.score_queries(queries), scorer(model, run)(queries), rtol=1e-5, atol=1e-5
                )
        assert len(opened.predict_tails(int(triples[0, 0]), int(triples[0, 1]))[0]) == 10
