"""Hostile graphs are refused with an error, and never take the process with them (so they run in a child)."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmkg_sdk import BundleError
from mmkg_sdk.bundle import Bundle
from tests.attacks import onnx_attacks
from tests.attacks.onnx_attacks import spoil
from tests.attacks.reseal import reseal

# Opens each bundle named on the command line and asks it something; one line of JSON for each.
CHILD = """
import json, sys, mmkg_sdk
for path in sys.argv[1:]:
    print(json.dumps([path, "opening"]), flush=True)
    try:
        with mmkg_sdk.load(path, "onnxruntime", "cpu", threads=1) as model:
            model.predict_tails(0, 0, filter_known=False)
        outcome = "answered"
    except mmkg_sdk.MmkgError as err:
        outcome = type(err).__name__
    except BaseException as err:
        outcome = f"{type(err).__name__}: {err}"
    print(json.dumps([path, outcome]), flush=True)
"""


def spoiled_copy(bundle: Path, folder: Path, change: onnx_attacks.Change) -> Path:
    shutil.copytree(bundle, folder)
    (folder.parent / "secret.bin").write_bytes(np.arange(4, dtype=np.float32).tobytes())
    (folder / "unlisted.bin").write_bytes(bytes(16))
    (folder / "link.bin").symlink_to(folder.parent / "secret.bin")
    spoil(folder, change)
    reseal(folder)
    return folder


@pytest.mark.parametrize(
    "change", [change for _, change in onnx_attacks.READS], ids=[name for name, _ in onnx_attacks.READS]
)
def test_a_graph_that_reads_elsewhere_is_refused_before_a_runtime_sees_it(
    change: onnx_attacks.Change, golden_bundle: Path, tmp_path: Path
) -> None:
    folder = spoiled_copy(golden_bundle, tmp_path / "bundle", change)
    with pytest.raises(BundleError, match=r"query_encoder.onnx (reads|is not an ONNX file)"):
        Bundle.open(folder)


def test_a_graph_that_is_none_is_an_error_and_never_a_crash(golden_bundle: Path, tmp_path: Path) -> None:
    for change in onnx_attacks.GRAPHS:
        spoiled_copy(golden_bundle, tmp_path / change.__name__, change)
    outcomes = outcomes_in_a_child([tmp_path / change.__name__ for change in onnx_attacks.GRAPHS])
    assert {name: outcome for name, outcome in outcomes.items() if outcome not in ("BundleError", "BackendError")} == {}


def test_the_child_can_answer_from_a_good_bundle(golden_bundle: Path) -> None:
    assert outcomes_in_a_child([golden_bundle]) == {golden_bundle.name: "answered"}


def outcomes_in_a_child(folders: list[Path]) -> dict[str, str]:
    done = subprocess.run([sys.executable, "-c", CHILD, *map(str, folders)], stdout=subprocess.PIPE, timeout=120)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"the child died with {done.returncode} at {lines[-1:]}"
    return {Path(path).name: outcome for path, outcome in lines if outcome != "opening"}


def test_another_graph_in_the_folder_is_checked_as_well(golden_bundle: Path, tmp_path: Path) -> None:
    import onnx

    folder = tmp_path / "bundle"
    shutil.copytree(golden_bundle, folder)
    for name in ("entity_encoder", "entity_encoder_token_table", "complete"):
        good = (folder / f"{name}.onnx").read_bytes()
        model = onnx.load_from_string(good)
        model.graph.initializer.append(onnx_attacks.external("../secret.bin"))
        (folder / f"{name}.onnx").write_bytes(model.SerializeToString())
        reseal(folder)
        with pytest.raises(BundleError, match=f"{name}.onnx reads its weights from '../secret.bin'"):
            Bundle.open(folder)
        (folder / f"{name}.onnx").write_bytes(good)


def test_a_signature_that_differs_from_the_manifest_names_the_tensor(golden_bundle: Path, tmp_path: Path) -> None:
    folder = spoiled_copy(golden_bundle, tmp_path / "bundle", onnx_attacks.an_output_has_another_name)
    with pytest.raises(BundleError, match=r"query_encoder.onnx has outputs .* first difference: answers"):
        Bundle.open(folder)


def test_a_graph_of_more_than_16_mib_is_refused(golden_bundle: Path, tmp_path: Path) -> None:
    folder = spoiled_copy(golden_bundle, tmp_path / "bundle", lambda model: bytes((16 << 20) + 1))
    with pytest.raises(BundleError, match=r"16,777,217 bytes; a graph keeps its weights outside and is small"):
        Bundle.open(folder)
