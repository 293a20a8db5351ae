"""Candidates of a Linker come and go: as if the bundle had been exported with those that there are."""

from __future__ import annotations

import pickle
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmkg_sdk import Linker, Mention
from mmkg_sdk.answering.verification import verify_bundle
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.data.mentions import LinkingData
from mmkg_sdk.errors import BackendError, DataError, ExportError, QueryError
from mmkg_sdk.export import export_bundle
from mmkg_sdk.export.parity import ERROR_LIMITS
from mmkg_sdk.files.labels import Labels
from mmkg_sdk.run import Run, RunData
from tests.cli.running import ask
from tests.docs.pages import blocks
from tests.families.mimic.small import LABELS, picture

pytestmark = pytest.mark.filterwarnings("ignore:.*more text than")
MENTIONS = [
    Mention("Georgia", "Old wine."),
    Mention("Jordan", "A river."),
    Mention("Atlanta", "A city of peaches and trains."),
]
HELD_OUT = [1, 4, 6]  # with an image, without, and the last


@pytest.fixture(scope="module")
def less(small_run: Run, small_world: LinkingData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small bundle without some of its entities; the same weights and tokenizer."""
    folder = tmp_path_factory.mktemp("less")
    kept = [row for row in range(len(LABELS)) if row not in HELD_OUT]
    place = {row: kept.index(row) if row in kept else 0 for row in range(len(LABELS))}
    tensors = dict(small_run.data.tensors)
    tensors["entities"] = {name: array[kept] for name, array in tensors["entities"].items()}
    for split in ("train", "valid", "test"):
        own = tensors[f"mentions-{split}"]
        answers = np.array([place[row] for row in own["answers"].tolist()], np.int64)
        tensors[f"mentions-{split}"] = {**own, "answers": answers}
    labels = {"entities": Labels([LABELS[row] for row in kept])}
    data = RunData("less", labels, tensors, small_run.data.files)
    run = Run.create(folder / "run", family="mimic", config=small_run.config, data=data)
    run.save_weights(small_run.weights())
    export_bundle(run, folder / "bundle", precision="fp16")
    return folder / "bundle"


@pytest.fixture(params=["auto", "onnxruntime", "torch"])
def linker(request: pytest.FixtureRequest, less: Path) -> Iterator[Linker]:
    with Linker.load(less, request.param, "cpu", threads=1) as opened:
        yield opened


def opened(folder: Path, backend: str = "auto") -> Linker:
    return Linker.load(folder, backend, "cpu", threads=1)


def of_world(world: LinkingData, rows: list[int]) -> dict[str, Any]:
    """The arguments of add_entities for some entities of the small world."""
    return {
        "labels": [world.entities[row] for row in rows],
        "names": [world.names[row] for row in rows],
        "texts": [world.texts[row] for row in rows],
        "images": [world.images[row] for row in rows],
    }


def test_what_is_added_is_scored_as_if_it_had_been_exported(
    linker: Linker, small_bundle: Path, small_world: LinkingData
) -> None:
    """Within the limit of an export's proof: graphs in half precision encode here, and float32 did there."""
    ids = linker.add_entities(**of_world(small_world, HELD_OUT))
    assert ids.tolist() == [4, 5, 6]
    assert sorted(linker.entities) == sorted(LABELS)
    with opened(small_bundle, linker.backend.name if not linker.has_stand_ins else "auto") as whole:
        order = np.array([whole.entities.find(label) for label in linker.entities])
        expected = whole.score_mentions(MENTIONS)[:, order]
        found = linker.score_mentions(MENTIONS)
        error = np.abs(found - expected).max() / np.sqrt(np.mean(expected**2))
        assert error <= ERROR_LIMITS["fp16"]
        # Those that it had are scored to the bit as before, where kernels score; and every ranking is the same.
        if linker.has_stand_ins:
            np.testing.assert_array_equal(found[:, :4], expected[:, :4])
        best, wanted = linker.link_mentions(MENTIONS, k=7), whole.link_mentions(MENTIONS, k=7)
        assert [link.labels for link in best] == [link.labels for link in wanted]
        for row in HELD_OUT:
            label = LABELS[row]
            here, there = linker.entities.find(label), whole.entities.find(label)
            ranks = linker.rank_mentions(MENTIONS, np.full(3, here))
            assert ranks.tolist() == whole.rank_mentions(MENTIONS, np.full(3, there)).tolist()
            told, also = (one.explain_link(MENTIONS[0], label) for one in (linker, whole))
            assert told.entity == label
            assert told.score == pytest.approx(also.score, abs=1e-2)
            assert told.parts == pytest.approx(also.parts, abs=1e-2)


def test_the_ways_to_give_an_image_are_one(linker: Linker, tmp_path: Path) -> None:
    from PIL import Image

    path = picture(tmp_path / "flag.png", 8)
    ways = [path, str(path), path.read_bytes(), np.asarray(Image.open(path)), Image.open(path), None]
    linker.add_entities([f"way {i}" for i in range(6)], names=["Georgia"] * 6, images=ways)
    scores = linker.score_mentions(MENTIONS)[:, 4:]
    for way in range(1, 5):
        np.testing.assert_allclose(scores[:, way], scores[:, 0], rtol=1e-5, atol=1e-5)
    assert not np.allclose(scores[:, 5], scores[:, 0], atol=1e-3)


def test_what_was_removed_never_answers_and_comes_back(linker: Linker, small_world: LinkingData) -> None:
    before = linker.score_mentions(MENTIONS)
    linker.add_entities(["Georgia (wine)"], names=["Georgia"], texts=["Old wine."])
    grown = linker.score_mentions(MENTIONS)
    linker.remove_entities("Georgia (country)")
    linker.remove_entities(["Jordan"])
    assert list(linker.entities) == ["Georgia (font)", "Tbilisi", "Georgia (wine)"]
    for link in linker.link_mentions(MENTIONS, k=10):
        assert sorted(link.labels) == ["Georgia (font)", "Georgia (wine)", "Tbilisi"]
        assert [linker.entities[i] for i in link.ids.tolist()] == list(link.labels)
    np.testing.assert_allclose(linker.score_mentions(MENTIONS), grown[:, [1, 2, 4]], rtol=1e-5, atol=1e-6)
    some = linker.link_mentions(MENTIONS, candidates=["Georgia (wine)", 0])
    assert {*some[0].labels} == {"Georgia (wine)", "Georgia (font)"}
    with pytest.raises(QueryError, match="unknown entity 'Jordan'"):
        linker.link_mentions(MENTIONS, candidates=["Jordan"])
    linker.remove_entities("Georgia (wine)")
    linker.add_entities(**of_world(small_world, [0, 5]))
    assert list(linker.entities) == ["Georgia (font)", "Tbilisi", "Georgia (country)", "Jordan"]
    found = linker.score_mentions(MENTIONS)
    np.testing.assert_allclose(found[:, :2], before[:, 1:3], rtol=1e-5, atol=1e-6)
    error = np.abs(found[:, 2:] - before[:, [0, 3]]).max() / np.sqrt(np.mean(before**2))
    assert error <= ERROR_LIMITS["fp16"]


def test_any_order_of_coming_and_going_is_the_same_as_a_plain_list(less: Path) -> None:
    """Two hundred random steps against a dictionary of scores by label."""
    random = np.random.default_rng(0)
    with opened(less) as linker:
        kept = dict(zip(linker.entities, linker.score_mentions(MENTIONS).T, strict=True))
        texts = {f"new {i}": f"text of {i}" for i in range(40)}
        with opened(less) as fresh:
            fresh.add_entities(list(texts), texts=list(texts.values()))
            scores = dict(zip(fresh.entities, fresh.score_mentions(MENTIONS).T, strict=True))
        for step in range(200):
            absent = [label for label in texts if label not in kept]
            if absent and (random.random() < 0.5 or len(kept) < 2):
                chosen = [absent[i] for i in random.permutation(len(absent))[:3]]
                linker.add_entities(chosen, texts=[texts[label] for label in chosen])
                kept |= {label: scores[label] for label in chosen}
            else:
                gone = [list(kept)[i] for i in random.permutation(len(kept))[: min(3, len(kept) - 1)]]
                linker.remove_entities(gone)
                for label in gone:
                    del kept[label]
            assert list(linker.entities) == list(kept), step
        found = linker.score_mentions(MENTIONS)
        np.testing.assert_allclose(found, np.array(list(kept.values())).T, rtol=1e-5, atol=1e-5)
        table = linker._entities
        assert 2 * (table.removed >= table.base).sum() <= table.count - table.base, "memory of what went is given back"
        again = pickle.loads(pickle.dumps(linker))
        assert list(again.entities) == list(kept)
        np.testing.assert_array_equal(again.score_mentions(MENTIONS), found)
        again.close()


def test_saved_and_opened_it_answers_the_same(linker: Linker, small_world: LinkingData, tmp_path: Path) -> None:
    linker.add_entities(**of_world(small_world, [1, 6]))
    linker.remove_entities(["Tbilisi", "Jordan (river)"])
    linker.add_entities("Tbilisi", texts=["A capital."])
    linker.save(tmp_path / "saved")
    backend = "auto" if linker.has_stand_ins else linker.backend.name
    with opened(tmp_path / "saved", backend) as saved:
        assert saved.entities == linker.entities
        links = [one.link_mentions(MENTIONS, k=9) for one in (saved, linker)]
        assert [link.labels for link in links[0]] == [link.labels for link in links[1]]
        if linker.has_stand_ins:
            assert links[0].to_json() == links[1].to_json()
        # A graph may round a pair otherwise where others are scored with it.
        exact = 0 if linker.has_stand_ins else 1e-5
        np.testing.assert_allclose(
            saved.score_mentions(MENTIONS), linker.score_mentions(MENTIONS), rtol=exact, atol=exact
        )
        counts = saved.bundle.manifest["provenance"]
        assert [counts[f"{what}_entities"] for what in ("exported", "added", "removed")] == [4, 2, 1]
        saved.remove_entities(0)
        saved.save(tmp_path / "again")
    counts = Bundle.open(tmp_path / "again").manifest["provenance"]
    assert [counts[f"{what}_entities"] for what in ("exported", "added", "removed")] == [4, 2, 2]
    card = (tmp_path / "again" / "MODEL_CARD.md").read_text()
    assert card.count("added and removed later") == 1
    assert verify_bundle(tmp_path / "again")["passed"]


def test_saved_twice_it_has_the_same_bytes_and_saved_as_it_was_those_of_the_bundle(less: Path, tmp_path: Path) -> None:
    with opened(less) as linker:
        linker.save(tmp_path / "same")
        linker.add_entities(["Tiflis"])
        linker.save(tmp_path / "one")
        linker.save(tmp_path / "two")
    assert contents(tmp_path / "same") == contents(less)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    changed = {name for name, content in contents(less).items() if contents(tmp_path / "one")[name] != content}
    assert changed == {
        *("MODEL_CARD.md", "bundle.json", "entities.txt", "parity.json", "probes.safetensors", "table.safetensors")
    }


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_saved_bundle_that_answers_otherwise_is_not_kept(
    less: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mmkg_sdk.answering.linker_saving as saving

    write = saving.write_tensors

    def spoiled(file: Any, arrays: Any) -> None:
        write(file, {name: [part * np.float16(1.001) for part in parts] for name, parts in arrays.items()})

    with opened(less) as linker:
        linker.add_entities(["Tiflis"])
        monkeypatch.setattr(saving, "write_tensors", spoiled)
        with pytest.raises(ExportError, match=r"the saved bundle has other table \(entity_.*so it was not kept"):
            linker.save(tmp_path / "saved")
        assert not (tmp_path / "saved").exists()
        monkeypatch.undo()
        linker.save(tmp_path / "saved")
        with pytest.raises(ExportError, match="holds a bundle already"):
            linker.save(tmp_path / "saved")


def test_threads_link_while_entities_come_and_go(less: Path) -> None:
    """Every answer is that of a table that there was: the scores of a label never change, and ids go with labels."""
    new = [f"new {i}" for i in range(30)]
    with opened(less) as fresh:
        fresh.add_entities(new)
        right = dict(zip(fresh.entities, fresh.score_mentions(MENTIONS[0])[0].tolist(), strict=True))
    with opened(less) as linker, ThreadPoolExecutor(3) as callers:
        stop, sizes = threading.Event(), set[int]()

        def link() -> int:
            asked = 0
            while not stop.is_set() or not asked:
                (found,) = linker.link_mentions(MENTIONS[0], k=40)
                sizes.add(len(found))
                assert len(set(found.labels)) == len(found)
                assert found.scores.tolist() == pytest.approx([right[label] for label in found.labels], rel=1e-5)
                asked += 1
            return asked

        waiting = [callers.submit(link) for _ in range(3)]
        try:
            for label in new:
                linker.add_entities(label)
                if label.endswith("9"):
                    linker.remove_entities([label, "new 5"] if "new 5" in linker.entities else label)
        finally:
            stop.set()
        assert all(caller.result() for caller in waiting)
        assert len(sizes) > 1, "answers while the table changed"
        assert len(linker.entities) == 4 + 30 - 4


def test_many_are_added_without_a_copy_of_what_is_there(less: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand one by one: each row is moved twice at most, and the bundle's own never."""
    copied = 0
    with opened(less) as linker:
        (block,) = linker._entity_pieces([MENTIONS[0]])
        monkeypatch.setattr(linker, "_entity_pieces", lambda asked: [block] * len(asked))
        base, place, kept = linker._entities.segments[0].pieces["entity_text"], None, 0
        linker.remove_entities("Tbilisi")
        for i in range(10_000):
            linker.add_entities([f"new {i}"])
            tail = linker._entities.segments[1].pieces["entity_text"]
            if (start := tail.__array_interface__["data"][0]) != place:
                copied, place, kept = copied + kept, start, len(tail)
            kept = len(tail)
        assert copied <= 2 * 10_000
        assert linker._entities.segments[0].pieces["entity_text"] is base
        assert len(linker.entities) == 10_003
        assert linker.entities[-1] == "new 9999"
        scores = linker.score_mentions(MENTIONS[0])[0]
        assert len(set(scores[3:].tolist())) == 1


def bad_image(tmp_path: Path, kind: str) -> Any:
    if kind == "grey":
        return picture(tmp_path / "grey.png", 2, "L")
    return {
        "absent": tmp_path / "absent.png",
        "text": b"no picture",
        "floats": np.zeros((4, 4, 3)),
        "no pixels": np.zeros((0, 4, 3), np.uint8),
        "number": 3,
        "two": [tmp_path / "a.png", tmp_path / "b.png"],
    }[kind]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("absent", r"entity 'b': .*absent.png cannot be read: .+ Pass another image, or None"),
        ("grey", r"entity 'b': .*grey.png cannot be read: mode L, MIMIC sees images of three channels"),
        ("text", r"entity 'b': its image cannot be read: cannot identify image file"),
        ("floats", r"entity 'b': its image is float64 \[4, 4, 3\]; expected a path, bytes"),
        ("no pixels", r"entity 'b': its image is uint8 \[0, 4, 3\]; expected"),
        ("number", r"entity 'b': its image is 3; expected"),
        ("two", r"entity 'b': 2 images; the model sees one of each entity"),
    ],
)
def test_what_is_no_image_is_refused_and_nothing_is_added(
    kind: str, message: str, linker: Linker, tmp_path: Path
) -> None:
    with pytest.raises(QueryError, match=message):
        linker.add_entities(["a", "b"], images=[None, bad_image(tmp_path, kind)])
    assert len(linker.entities) == 4
    assert linker.add_entities(["a", "b"]).tolist() == [4, 5]


@pytest.mark.parametrize(
    ("labels", "given", "message"),
    [
        (["a", "a"], {}, "entity label 'a' stands at 4 and again at 5; rename one"),
        (["Tbilisi"], {}, "entity 'Tbilisi' exists already"),
        ([""], {}, "entity '': its name is ''"),
        (["a\nb"], {}, "a label is one non-empty line"),
        (["x" * 10_001], {}, "has 10,001 characters; a label has at most 10,000"),
        (["\ud83d"], {}, "half of a surrogate pair"),
        ([3], {}, r"entity label is 3 \(int\)"),
        (["a"], {"texts": []}, "0 texts of 1 labels; expected equally many"),
        (["a"], {"texts": "words"}, "texts is 'words'; expected a list"),
        (["a"], {"texts": [3]}, r"entity 'a': its text is 3 \(int\)"),
        (["a"], {"texts": ["\ud83d"]}, r"entity 'a' holds '\\ud83d' at 0"),
        (["a"], {"texts": ["x" * 1_000_001]}, "has a text of 1,000,001 characters"),
        (["a"], {"names": [" "]}, "entity 'a': its name is ' '"),
        (["a"], {"names": [None]}, "entity 'a': its name is None"),
        (["a"], {"images": "a.png"}, "images is 'a.png'; expected a list"),
        (["a"], {"images": [None, None]}, "2 images of 1 labels"),
    ],
)
def test_entities_that_are_wrong_are_refused(labels: Any, given: dict[str, Any], message: str, less: Path) -> None:
    with opened(less) as linker:
        with pytest.raises(QueryError, match=message):
            linker.add_entities(labels, **given)
        assert len(linker.entities) == 4
        assert len(linker.link_mentions(MENTIONS[0], k=9)[0]) == 4


def test_nothing_added_or_removed_is_nothing_and_one_candidate_stays(less: Path) -> None:
    with opened(less) as linker:
        assert linker.add_entities([]).tolist() == []
        linker.remove_entities([])
        assert linker._entities.is_the_bundles
        with pytest.raises(QueryError, match="all 4 entities were to be removed"):
            linker.remove_entities(list(linker.entities))
        with pytest.raises(QueryError, match="unknown entity 'Tiflis'"):
            linker.remove_entities(["Tbilisi", "Tiflis"])
        assert len(linker.entities) == 4
    with pytest.raises(BackendError, match="closed"):
        linker.add_entities(["late"])


def test_a_text_that_is_cut_is_counted(less: Path) -> None:
    with opened(less) as linker, pytest.warns(UserWarning, match="1 of 2 new entities have more text than the 12"):
        linker.add_entities(["a", "b"], texts=["word " * 30, None])


def test_on_a_device_the_rows_of_all_are_placed_once_and_those_added_again(
    less: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way of a GPU by its graphs, with a CPU for the device: rows that went are scored and left out."""
    with opened(less, "onnxruntime") as linker, opened(less, "onnxruntime") as host:
        linker._kind = "cuda"
        placed: list[int] = []
        place = linker.backend.place

        def counted(array: Any) -> Any:
            placed.append(len(array))
            return place(array)

        for one in (linker, host):
            one.add_entities(["a", "b", "c"], texts=["wine", "a river", None])
            one.remove_entities(["Tbilisi", "b"])
        monkeypatch.setattr(linker.backend, "place", counted)
        for _ in range(2):
            np.testing.assert_allclose(
                linker.score_mentions(MENTIONS), host.score_mentions(MENTIONS), rtol=1e-5, atol=1e-5
            )
        pieces = len(linker.bundle.encoded)
        assert sorted(placed) == sorted([4] * pieces + [3] * pieces)
        assert [link.labels for link in linker.link_mentions(MENTIONS, 5)] == [
            link.labels for link in host.link_mentions(MENTIONS, 5)
        ]


def test_the_command_adds_entities_with_names_texts_and_pictures(
    less: Path, small_world: LinkingData, tmp_path: Path
) -> None:
    table, images = tmp_path / "new.tsv", tmp_path / "images"
    images.mkdir()
    shutil.copy(small_world.images[1] or "", images / "Georgia (state).png")
    table.write_text("label\tname\ttext\nGeorgia (state)\tGeorgia\tA state.\nAtlanta\t\tA city.\n")
    options = ["--entities", table, "--images", images, "--out", tmp_path / "new"]
    done = ask("bundle", "add", less, *options)
    assert done.stdout == f"{tmp_path / 'new'}: 2 entities added, 6 in all.\n"
    with opened(tmp_path / "new") as found, opened(less) as linker:
        linker.add_entities(**of_world(small_world, [1, 4]))
        assert found.entities == linker.entities
        np.testing.assert_allclose(found.score_mentions(MENTIONS), linker.score_mentions(MENTIONS), atol=1e-3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label\tvisual_tokens\na\t1\n", "'visual_tokens' is given; entity linking takes `name`, `text` and pictures"),
        ("label\tgerman_text\na\tx\n", "'german_text' is given"),
    ],
)
def test_the_command_refuses_what_is_of_link_prediction(text: str, message: str, less: Path, tmp_path: Path) -> None:
    (tmp_path / "new.tsv").write_text(text)
    with pytest.raises(DataError, match=message):
        ask("bundle", "add", less, "--entities", tmp_path / "new.tsv", "--out", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_second_picture_is_refused(less: Path, tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / "images" / "a").mkdir(parents=True, exist_ok=True)
        picture(tmp_path / "images" / "a" / f"{number}.png", number)
    (tmp_path / "new.tsv").write_text("label\na\n")
    options = ["--entities", tmp_path / "new.tsv", "--images", tmp_path / "images", "--out", tmp_path / "new"]
    with pytest.raises(DataError, match=r"1.png is a second picture of 'a'; entity linking sees one"):
        ask("bundle", "add", less, *options)


def test_the_snippet_of_the_documents_runs(small_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (snippet,) = [text for _, text in blocks("docs/answering.md", "py") if "remove_entities" in text]
    monkeypatch.chdir(tmp_path)
    picture(Path("vineyard.png"), 3)
    with opened(small_bundle) as linker:
        exec(snippet, {"linker": linker})
        with opened(tmp_path / "newer") as saved:
            assert saved.entities == linker.entities
            assert saved.entities[-1] == "Georgia (wine region)"
            assert "Georgia (font)" not in saved.entities
