"""What the C++ library links, held to what Python links with its kernels: the same bits; and hostile MIMIC bundles."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

import mmkg_sdk
from mmkg_sdk import BundleError, Linker, Mention
from mmkg_sdk.bundle import Bundle
from tests.attacks.reseal import change_manifest, reseal
from tests.cpp.conftest import Ask
from tests.families.mimic.test_attacks import piece, with_value
from tests.places import ROOT

RELEASED = ROOT / "tests" / "released" / "0.2.0"
MIMIC = RELEASED / "mimic"
PIECES = ("keys", "values", "text", "dual_key", "dual_query", "fused")
Pieces = Mapping[str, NDArray[np.float32]]


@pytest.fixture(params=["released", "fp32", "fp16"])
def bundle(request: pytest.FixtureRequest, golden_bundles: Callable[..., Path]) -> Path:
    """Released, with texts to read; or the golden case, whose mentions are token ids."""
    return MIMIC if request.param == "released" else golden_bundles("base", request.param, "mimic")


def opened(folder: Path) -> Linker:
    linker = mmkg_sdk.load(folder, device="cpu", threads=2)
    assert isinstance(linker, Linker)
    return linker


def bits(numbers: NDArray[np.float32]) -> list[str]:
    return [f"{number:08x}" for number in np.asarray(numbers, np.float32).ravel().view(np.uint32).tolist()]


def random_pieces(linker: Linker, count: int) -> dict[str, NDArray[np.float32]]:
    """Pieces of random tokens and pixels, by the bundle's graphs."""
    random, config = np.random.default_rng(0), linker.bundle.config.to_json()
    shape, size = (count, config["text_length"]), config["image_size"]
    ids = random.integers(1, config["vocabulary_size"] - 1, shape)
    ids[:, -1] = config["vocabulary_size"] - 1
    pixels = random.standard_normal((count, 3, size, size), np.float32)
    pixels[::3] = 0
    return linker.encode_tokens(ids, np.ones(shape, np.int64), pixels)


def line(pieces: Pieces, k: int, candidates: list[int] | None) -> str:
    """What the program is asked."""
    named = "-" if candidates is None else " ".join(map(str, candidates))
    return "\t".join(["link", str(k), named, *(" ".join(bits(pieces[f"mention_{name}"])) or "-" for name in PIECES)])


def linked(linker: Linker, pieces: Pieces, k: int, candidates: list[int] | None) -> str:
    """What Python says to it, as the program prints it; ranked by sorting all."""
    units = np.stack(list(linker.score_pieces(pieces, candidates).values()))
    ids = np.arange(len(linker.entities)) if candidates is None else np.unique(np.array(candidates, np.int64))
    text = ""
    for of_mention in units.transpose(1, 0, 2):
        scores = of_mention.mean(axis=0, dtype=np.float32)
        for place in np.argsort(-scores, kind="stable")[:k].tolist():
            numbers = [scores[place], *of_mention[:, place]]
            text += ":".join([str(ids[place]), *bits(np.array(numbers)), linker.entities[ids[place]]]) + "\t"
        text += ";"
    return text


def test_links_have_the_same_bits_as_pythons(bundle: Path, ask: Ask) -> None:
    with opened(bundle) as linker:
        count = len(linker.entities)
        pieces = random_pieces(linker, 19)  # more than are scored at a time
        nobody = {name: array[:0] for name, array in pieces.items()}
        asked: list[tuple[Pieces, int, list[int] | None]]
        asked = [(pieces, 5, None), (pieces, 3840, None), (pieces, 4, [3, 0, 0, count - 1]), (pieces, 3, [1])]
        asked += [(nobody, 5, None), (pieces, 2, [])]
        expected = [linked(linker, *one) for one in asked]
        for threads in ("1", "2"):
            assert ask(["linker", bundle, threads], [line(*one) for one in asked]) == expected


def test_mentions_with_text_have_the_links_that_python_gives(ask: Ask) -> None:
    mentions = [Mention("Georgia", "Georgia borders Armenia."), Mention("Jordan", "The river Jordan is holy.")]
    with opened(MIMIC) as linker:
        text = ""
        for link in linker.link_mentions(mentions, 6, explain=True):
            assert link.units is not None
            for place, (number, label) in enumerate(zip(link.ids.tolist(), link.labels, strict=True)):
                numbers = [link.scores[place], *(link.units[unit][place] for unit in ("text", "image", "image_text"))]
                text += ":".join([str(number), *bits(np.array(numbers)), label]) + "\t"
            text += ";"
        assert ask(["linker", MIMIC, "2"], [line(linker.encode_mentions(mentions), 6, None)]) == [text]


def test_what_may_not_be_asked_is_an_error_of_the_query(ask: Ask) -> None:
    with opened(MIMIC) as linker:
        pieces, count = random_pieces(linker, 2), len(linker.entities)
    lines = {
        line(pieces, 0, None): "k is 0; expected a whole number from 1 to 3,840",
        line(pieces, 3841, None): "k is 3841",
        line(pieces, 3, [0, count]): f"entity id {count} (number 1 of 2) is out of range",
        line(pieces, 3, [-1]): "entity id -1",
    }
    for name in PIECES:
        array = pieces[f"mention_{name}"]
        lines[line(pieces | {f"mention_{name}": array.ravel()[:-1]}, 3, None)] = " numbers; expected "
        lines[line(pieces | {f"mention_{name}": with_value(np.nan, 1)(array)}, 3, None)] = (
            f"{name} of mention 1 holds NaN"
        )
    found = ask(["linker", MIMIC, "1"], list(lines))
    for answer, message in zip(found, lines.values(), strict=True):
        assert answer.startswith("query\t")
        assert message in answer
    large = pieces | {"mention_text": np.full_like(pieces["mention_text"], 3e38)}
    (answer,) = ask(["linker", MIMIC, "1"], [line(large, 3, None)])
    assert answer.startswith("backend\tinteraction gave NaN or infinity")


def weight(name: str, change: Callable[[NDArray[Any]], Any]) -> Callable[[Path], Any]:
    """Replace a weight; None removes it. The file stays as long as graphs read of it."""

    def spoil(folder: Path) -> None:
        path = folder / "weights.safetensors"
        tensors, padding = load_file(path), {"padding": np.zeros(path.stat().st_size, np.uint8)}
        changed = change(tensors.pop(name))
        save_file(tensors | padding | ({} if changed is None else {name: changed}), path)

    return spoil


def setting(name: str, value: object) -> Callable[[Path], Any]:
    return lambda folder: change_manifest(folder, lambda manifest: manifest["config"].update({name: value}))


HOSTILE: dict[str, Callable[[Path], Any]] = {
    "fewer rows": piece("entity_text", lambda array: array[:-1]),
    "no piece": piece("entity_cls", lambda array: None),
    "another width": piece("entity_fused", lambda array: array[:, :-1]),
    "another dtype": piece("entity_dual_key", lambda array: array.astype(np.float64)),
    "float32 in half": piece("entity_queries", lambda array: array.astype(np.float32)),
    "nan": piece("entity_dual_query", with_value(np.nan, 3)),
    "infinity": piece("entity_cls", with_value(np.inf, 0)),
    "another vocabulary": weight("text_encoder.multiplied_tokens", lambda array: array[:-1]),
    "fewer units": weight("mention_side.keys.bias", lambda array: array[:-1]),
    "a larger text": setting("text_length", 4096),
    "no multiple": setting("num_text_heads", 5),
    "no dtype": setting("entity_dtype", "float64"),
    "no place": setting("tokenizer", 3),
    "an unknown setting": setting("depth", 3),
    "a size of 0": setting("text_unit_dim", 0),
    "more entities": lambda folder: (folder / "entities.txt").write_bytes(b"one\ntwo\n"),
}


def test_what_python_refuses_is_refused(ask: Ask, tmp_path: Path) -> None:
    folders = {name: tmp_path / name.replace(" ", "-") for name in HOSTILE}
    for name, spoil in HOSTILE.items():
        shutil.copytree(MIMIC, folders[name])
        spoil(folders[name])
        reseal(folders[name])
        with pytest.raises(BundleError):
            Bundle.open(folders[name])
    found = ask(["open"], [str(MIMIC), *map(str, folders.values())])
    assert found[0] == "accepted mimic fp16"
    for name, answer in zip(folders, found[1:], strict=True):
        assert answer.startswith("bundle\t"), f"{name}: {answer}"


def test_half_precision_pieces_are_finite(ask: Ask, golden_bundles: Callable[..., Path], tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(golden_bundles("base", "fp16", "mimic"), folder)
    assert ask(["open"], [str(folder)]) == ["accepted mimic fp16"]
    piece("entity_text", with_value(np.inf, 2))(folder)
    reseal(folder)
    (answer,) = ask(["open"], [str(folder)])
    assert "entity_text holds NaN or infinity in row 2" in answer


@pytest.mark.parametrize("name", ["by_entity.of_key", "context_norm.bias", "by_mention.gate_offset"])
def test_weights_of_the_interaction_are_looked_at(name: str, ask: Ask, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(MIMIC, folder)
    weight(f"interaction.{name}", lambda array: None)(folder)
    reseal(folder)
    (answer,) = ask(["linker", folder, "1"], [])
    assert answer == f"backend\tweights of another graph: {name} is missing. Export the bundle again."


def test_linking_on_a_gpu_is_refused(ask: Ask) -> None:
    (answer,) = ask(["linker", MIMIC, "1", "", "cuda"], [])
    assert answer == "query\tdevice is 'cuda'; a Linker runs on the CPU. Leave it at cpu."


def test_a_bundle_of_another_task_is_refused_with_what_to_open_it_as(ask: Ask) -> None:
    (answer,) = ask(["model", MIMIC, "1"], [])
    assert answer == "bundle\ta bundle of mimic links mentions to entities. Open it as mmkg::Linker."
    (answer,) = ask(["linker", RELEASED / "mygo", "1"], [])
    assert answer == "bundle\ta bundle of mygo predicts links. Open it as mmkg::Model."
