"""Features: one vector per entity, read, written, made of tokens, and left out on purpose."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from mmkg_sdk.data import read_dataset, write_dataset
from mmkg_sdk.data.dropped import drop_modalities
from mmkg_sdk.data.graph import DataSet, Features, RawTokens
from mmkg_sdk.data.modalities import modality_features
from mmkg_sdk.errors import BackendError, DataError

from ..folders import small_dataset


def with_features(rows: int | None = None) -> DataSet:
    dataset = small_dataset()
    vectors = np.arange(1, 1 + 3 * (rows or len(dataset.graph.entities)), dtype=np.float32).reshape(-1, 3)
    return dataclasses.replace(dataset, features={"visual": Features(vectors, np.ones(len(vectors), np.bool_))})


def test_written_features_are_read_again_and_a_row_of_zeros_is_missing(tmp_path: Path) -> None:
    dataset = with_features()
    assert "visual" in dataset.features
    dataset.features["visual"].vectors[1] = 0
    write_dataset(dataset, tmp_path / "set")
    read = read_dataset(tmp_path / "set")
    assert "text" not in read.features
    assert "visual" in read.features
    np.testing.assert_array_equal(read.features["visual"].vectors, dataset.features["visual"].vectors)
    assert np.flatnonzero(~read.features["visual"].present).tolist() == [1]


def test_the_official_file_names_are_read(tmp_path: Path) -> None:
    dataset = small_dataset()
    write_dataset(dataset, tmp_path / "set")
    count = len(dataset.graph.entities)
    torch.save(torch.ones(count, 4), tmp_path / "set" / "DB15K-visual.pth")
    torch.save(torch.nn.Parameter(torch.full((count, 2), 3.0)), tmp_path / "set" / "DB15K-textual.pth")
    read = read_dataset(tmp_path / "set")
    assert "visual" in read.features
    assert "text" in read.features
    assert (read.features["visual"].vectors.shape, read.features["text"].vectors.shape) == ((count, 4), (count, 2))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.ones(2, 4), "has 2 rows; expected one for each of 3"),
        (torch.ones(4), "expected float32"),
        (torch.ones(3, 4, dtype=torch.int64), "expected floating point"),
        (torch.full((3, 4), torch.nan), "not finite"),
        ({"a": torch.ones(3, 4), "b": torch.ones(3, 4)}, r"holds 2 arrays \(a, b\); expected one"),
        ({"a": 1}, "holds a dict; expected one tensor"),
    ],
)
def test_feature_files_that_do_not_fit_are_named(tmp_path: Path, content: object, message: str) -> None:
    write_dataset(small_dataset(), tmp_path / "set")
    torch.save(content, tmp_path / "set" / "x-visual.pth")
    with pytest.raises(DataError, match=message):
        read_dataset(tmp_path / "set")


def plain(folder: Path) -> Path:
    """A data set of three entities without features or tokens."""
    write_dataset(dataclasses.replace(small_dataset(), tokens={}), folder)
    return folder


def save(path: Path, values: NDArray[np.floating]) -> None:
    """Write a matrix as what the suffix says."""
    if path.suffix in (".pth", ".pt"):
        torch.save(torch.from_numpy(values), path)
    elif path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".safetensors":
        save_file({"anything": values}, path)
    else:
        with pytest.importorskip("h5py", reason="HDF5 needs h5py").File(path, "w") as file:
            file["group/features"] = values


VALUES = np.array([[1, 2], [0, 0], [3, 4]], np.float32)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".npy", ".h5", ".hdf5", ".safetensors"])
def test_every_kind_of_file_and_every_precision_is_read(tmp_path: Path, suffix: str, dtype: type) -> None:
    folder = plain(tmp_path / "set")
    save(folder / f"X-visual{suffix}", VALUES.astype(dtype))
    features = read_dataset(folder).features["visual"]
    assert features is not None
    assert features.vectors.dtype == np.float32
    assert features.vectors.tolist() == VALUES.tolist()
    assert features.present.tolist() == [True, False, True]


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_bfloat16_is_read(tmp_path: Path, suffix: str) -> None:
    from safetensors.torch import save_file as save_torch

    tensor = torch.tensor([[1.0, -2.5], [0.0, 0.0], [3.0, 0.125]], dtype=torch.bfloat16)
    path = plain(tmp_path / "set") / f"X-textual{suffix}"
    save_torch({"weight": tensor}, path) if suffix == ".safetensors" else torch.save(tensor, path)
    assert read_dataset(path.parent).features["text"].vectors.tolist() == [[1, -2.5], [0, 0], [3, 0.125]]


SPELLINGS = {
    "visual": "X-visual X_visual visual X-Visual image images img X-img-features db_vis_emb image_embeddings",
    "text": "X-textual X_textual textual text X-TEXT txt text_features X-text-vectors",
}


@pytest.mark.parametrize(
    ("modality", "stem"), [(one, stem) for one, stems in SPELLINGS.items() for stem in stems.split()]
)
def test_the_usual_names_are_known(tmp_path: Path, modality: str, stem: str) -> None:
    folder = plain(tmp_path / "set")
    save(folder / f"{stem}.pth", VALUES)
    dataset = read_dataset(folder)
    found, other = dataset.features.get("visual"), dataset.features.get("text")
    if modality == "text":
        found, other = other, found
    assert found is not None
    assert found.vectors.tolist() == VALUES.tolist()
    assert other is None


def test_a_module_saved_as_its_state_is_its_matrix(tmp_path: Path) -> None:
    folder = plain(tmp_path / "set")
    module = torch.nn.Embedding.from_pretrained(torch.from_numpy(VALUES.copy()))
    torch.save(module.state_dict(), folder / "X-visual.pth")
    assert read_dataset(folder).features["visual"].vectors.tolist() == VALUES.tolist()


def test_vectors_by_name_go_to_their_entities_and_others_have_none(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="HDF5 needs h5py")
    folder = plain(tmp_path / "set")
    torch.save({"Fjord with space": torch.tensor([3.0, 4.0]), "Oslo": torch.tensor([1.0, 2.0])}, folder / "visual.pth")
    with h5py.File(folder / "text.h5", "w") as file:
        file["Norway"] = np.array([5.0])
    dataset = read_dataset(folder)
    assert dataset.features["visual"].vectors.tolist() == VALUES.tolist()
    assert dataset.features["visual"].present.tolist() == [True, False, True]
    assert dataset.features["text"].vectors.tolist() == [[0], [5], [0]]


REFUSED = {
    "one row short": (lambda path: save(path, VALUES[:2]), r"has 2 rows; expected one for each of 3 entities"),
    "a row of NaN": (
        lambda path: save(path, np.array([[1], [np.nan], [2]], np.float32)),
        r"not finite, the first in row 1. A row of zeros stands for what is missing",
    ),
    "beyond float32": (lambda path: save(path, np.full((3, 1), 1e300)), r"not finite, the first in row 0"),
    "three images each": (lambda path: save(path, np.ones((3, 3, 2), np.float32)), r"\[3, 3, 2\].* save the mean"),
    "names of others": (
        lambda path: torch.save({"oslo": torch.ones(2), "Rome": torch.ones(2)}, path),
        r"entity 'oslo' \(name 1 of 2\) is not in the data set; near: 'Oslo'",
    ),
    "names, other widths": (
        lambda path: torch.save({"Oslo": torch.ones(2), "Norway": torch.ones(3)}, path),
        r"the vectors have 2, 3 numbers; expected as many each",
    ),
    "a sparse tensor": (
        lambda path: torch.save(torch.ones(3, 2).to_sparse(), path),
        r"is sparse .* Save it in float32",
    ),
    "a tensor without values": (
        lambda path: torch.save(torch.empty(3, 2, device="meta"), path),
        r"is on the device meta, without values",
    ),
    "a view of one value": (
        lambda path: torch.save(torch.zeros(1).expand(10**10, 2), path),
        r"claims 80,000,000,000 bytes, of which the file holds 4; expected an ordinary one",
    ),
    "a numpy array": (lambda path: torch.save(VALUES, path), r"cannot be loaded as a plain tensor: .* numpy.save"),
    "a module with its code": (
        lambda path: torch.save(torch.nn.Embedding(3, 2), path),
        r"cannot be loaded as a plain tensor",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_features_that_cannot_be_right_are_refused(tmp_path: Path, case: str) -> None:
    write, message = REFUSED[case]
    folder = plain(tmp_path / "set")
    write(folder / "X-visual.pth")
    with pytest.raises(DataError, match=message) as caught:
        read_dataset(folder)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("X-visual.npy", "is not a .npy file of numbers"),
        ("X-visual.h5", "is not a whole HDF5 file"),
        ("X-visual.safetensors", "not a valid safetensors file"),
        ("X-visual.pt", "cannot be loaded as a plain tensor"),
        ("img_features.pkl", r"img_features.pkl is not opened: .* save it as .npy"),
        ("image.npz", r"image.npz is not opened"),
        ("X-visual.pth.gz", r"X-visual.pth.gz is not opened: .* Unpack"),
        ("features.safetensors", "not a valid safetensors file"),
    ],
)
def test_a_damaged_or_unreadable_file_is_not_taken_for_none(tmp_path: Path, name: str, message: str) -> None:
    folder = plain(tmp_path / "set")
    (folder / name).write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(50))
    with pytest.raises(DataError, match=message):
        read_dataset(folder)


def test_numpy_objects_are_not_unpickled(tmp_path: Path) -> None:
    folder = plain(tmp_path / "set")
    np.save(folder / "X-visual.npy", np.array([{}, {}, {}]), allow_pickle=True)
    with pytest.raises(DataError, match=r"is not a \.npy file of numbers"):
        read_dataset(folder)


def test_our_own_file_under_other_tensor_names_is_not_taken_for_none(tmp_path: Path) -> None:
    folder = plain(tmp_path / "set")
    save_file({"image": VALUES}, folder / "features.safetensors")
    with pytest.raises(DataError, match=r"a modality cannot be called .image."):
        read_dataset(folder)


def test_features_of_further_modalities_and_other_names_are_said_to_be_left_out(tmp_path: Path) -> None:
    folder = plain(tmp_path / "set")
    for name in ("X-visual.pth", "X-numeric.pth", "X-video.npy", "X-visual-clip.pth", "relation_text.npy"):
        save(folder / name, VALUES)
    message = (
        r"not read: .*X-numeric.pth, .*X-video.npy, .*X-visual-clip.pth, .*relation_text.npy; features are \*visual"
    )
    with pytest.warns(UserWarning, match=message):
        dataset = read_dataset(folder)
    assert "visual" in dataset.features
    assert "text" not in dataset.features


@pytest.mark.parametrize("other", ["x-visual.npy", "images.h5", "features.safetensors", "embeddings/visual.pt"])
def test_two_files_of_one_modality_are_an_error(tmp_path: Path, other: str) -> None:
    folder = plain(tmp_path / "set")
    (folder / "embeddings").mkdir()
    save(folder / "x-visual.pth", VALUES)
    if other == "features.safetensors":
        save_file({"visual": VALUES}, folder / other)
    else:
        save(folder / other, VALUES)
    with pytest.raises(DataError, match=rf"several files hold visual features: .*x-visual.pth.*{other}|{other}.*"):
        read_dataset(folder)


def test_a_codebook_beside_its_tokens_is_no_feature_table(tmp_path: Path) -> None:
    folder = plain(tmp_path / "set")
    (folder / "S-visual.json").write_text('{"Oslo": [1]}')
    save(folder / "visual.pth", np.ones((5, 2), np.float32))
    dataset = read_dataset(folder)
    assert "visual" in dataset.tokens
    assert "visual" not in dataset.features
    (folder / "S-visual.json").unlink()
    with pytest.raises(DataError, match=r"has 5 rows; .* A codebook needs its token file"):
        read_dataset(folder)


@pytest.mark.parametrize(
    ("triples", "elsewhere"),
    [
        ("benchmarks/DB15K", "embeddings"),
        ("DB15K", "embeddings"),
        ("data/DB15K", "features"),
        ("DB15K", "DB15K/embeddings"),
        ("data/DB15K", "data/tokens"),
    ],
)
def test_features_in_the_shared_folder_of_the_authors_are_found(tmp_path: Path, triples: str, elsewhere: str) -> None:
    folder = plain(tmp_path / triples)
    (tmp_path / elsewhere).mkdir(exist_ok=True)
    save(tmp_path / elsewhere / "DB15K-visual.pth", VALUES)
    if elsewhere != "DB15K/embeddings":  # that one holds nothing of others
        save(tmp_path / elsewhere / "MKG-W-textual.pth", VALUES)
    dataset = read_dataset(folder)
    assert dataset.features["visual"].vectors.tolist() == VALUES.tolist()
    assert "text" not in dataset.features


def test_a_data_set_that_is_called_like_a_shared_folder_has_its_files_once(tmp_path: Path) -> None:
    folder = plain(tmp_path / "tokens")
    save(folder / "tokens-visual.pth", VALUES)
    (folder / "tokens").write_bytes(b"")
    assert read_dataset(folder).features["visual"].vectors.tolist() == VALUES.tolist()


def test_tokens_in_the_shared_folder_of_the_authors_are_found(tmp_path: Path) -> None:
    folder, tokens = plain(tmp_path / "data" / "DB15K"), tmp_path / "tokens"
    tokens.mkdir()
    (tokens / "DB15K-visual.json").write_text('{"Oslo": [1]}')
    (tokens / "MKG-W-visual.json").write_text('{"Elsewhere": [1]}')
    save(tokens / "visual.pth", np.ones((5, 2), np.float32))
    dataset = read_dataset(folder)
    assert dataset.tokens["visual"].lists == {"Oslo": [1]}
    assert "visual" not in dataset.features


def test_features_beside_the_triples_are_read_when_tokens_lie_elsewhere(tmp_path: Path) -> None:
    folder = plain(tmp_path / "set")
    save(folder / "X-visual.pth", VALUES)
    (tmp_path / "tokens").mkdir()
    assert read_dataset(folder, tokens=tmp_path / "tokens").features["visual"].vectors.tolist() == VALUES.tolist()
    save(tmp_path / "tokens" / "X-visual.pth", VALUES + 1)
    assert read_dataset(folder, tokens=tmp_path / "tokens").features["visual"].vectors.tolist() == (VALUES + 1).tolist()


def test_without_h5py_the_message_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = plain(tmp_path / "set")
    (folder / "X-visual.h5").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(BackendError, match=r"reading X-visual.h5 needs h5py.* pip install 'mmkg_sdk\[train\]'"):
        read_dataset(folder)


def test_without_feature_files_an_entity_is_the_mean_of_its_tokens() -> None:
    dataset = small_dataset()
    entities = list(dataset.graph.entities)
    codebook = np.array([[1, 0], [0, 1], [5, 5]], np.float32)
    raw = RawTokens({entities[0]: [0, 1, 1, 1], entities[2]: []}, codebook, 3, 2)
    found = modality_features(dataclasses.replace(dataset, tokens={"text": raw}), "text")
    np.testing.assert_allclose(found.vectors[0], [0.25, 0.75])
    assert found.present.tolist() == [row == 0 for row in range(len(entities))]
    assert not found.vectors[1:].any()
    none = modality_features(dataclasses.replace(dataset, tokens={}), "visual")
    assert none.vectors.shape == (len(entities), 1)
    assert not none.present.any()
    beyond = dataclasses.replace(raw, lists={entities[0]: [3]})
    with pytest.raises(DataError, match="token 3 is no row of the unknown codebook"):
        modality_features(dataclasses.replace(dataset, tokens={"text": beyond}), "text")


def test_dropping_leaves_the_stated_share_and_is_the_same_for_the_same_seed() -> None:
    dataset = with_features()
    count = len(dataset.graph.entities)
    for share in (0.0, 0.5, 1.0):
        dropped = drop_modalities(dataset, {"image": share}, seed=3)
        assert "visual" in dropped.features
        assert dropped.features["visual"].present.sum() == count - round(share * count)
        assert not dropped.features["visual"].vectors[~dropped.features["visual"].present].any()
        again = drop_modalities(dataset, {"image": share}, seed=3).features["visual"]
        np.testing.assert_array_equal(dropped.features["visual"].present, again.present)
        assert dropped.tokens["text"] == dataset.tokens["text"]
    without_text = drop_modalities(dataset, {"text": 1}, seed=0)
    assert "text" in without_text.tokens
    assert not without_text.tokens["text"].lists


@pytest.mark.parametrize(
    "shares", [{"sound": 0.5}, {"image": 1.5}, {"image": -0.1}, {"image": "half"}, {"image": True}]
)
def test_what_cannot_be_dropped_is_named(shares: dict[str, float]) -> None:
    with pytest.raises(DataError, match="cannot drop"):
        drop_modalities(small_dataset(), shares, seed=0)
