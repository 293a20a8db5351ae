"""What every registered family must be: the same files, and the whole path on a miniature official checkpoint.

Whoever knows one family folder should know them all; whoever adds one finds here what it owes.
"""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import mmkg_sdk
from mmkg_sdk.answering.opening import answerer_class
from mmkg_sdk.answering.verification import verify_bundle
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.bundle.config import FamilyConfig
from mmkg_sdk.bundle.graph_specs import GraphSpec
from mmkg_sdk.bundle.manifest import manifest_contents
from mmkg_sdk.errors import BundleError, DataError, ExportError
from mmkg_sdk.families import contract
from mmkg_sdk.families.runtimes import Runtime
from mmkg_sdk.registry import FAMILIES, TASKS, family_part
from mmkg_sdk.run import Run
from mmkg_sdk.training import TrainingSettings
from tests.conftest import import_golden
from tests.places import GOLDEN

# What every family owes, by file of its folder; mypy checks the rest (families/fulfilled.py).
PARTS = {
    "config": contract.ConfigPart,
    "model": contract.ModelPart,
    "objective": contract.ObjectivePart,
    "checkpoint": contract.CheckpointPart,
    "inputs": contract.InputsPart,
    "graphs": contract.GraphsPart,
    "runtime": Runtime,
}
# One small golden case per family and task.
CASES = [
    ("mygo", "db15k_like"),
    ("adamf_mat", "db15k_like"),
    ("mimic", "base"),
    ("mkgformer", "lp_pretrain_small"),
    ("mkgformer", "mre_small"),
    ("mkgformer", "mner_small"),
]
case = pytest.mark.parametrize(("family", "name"), CASES, ids=["-".join(pair) for pair in CASES])
every_family = pytest.mark.parametrize("family", FAMILIES)


@every_family
def test_a_family_is_a_folder_with_these_files_and_names(family: str) -> None:
    folder = Path(family_part(family, "config").__file__).parent
    assert {path.stem for path in folder.glob("*.py")} >= {*PARTS, "__init__"}
    for part, owed in PARTS.items():
        module = family_part(family, part)
        assert module.__doc__, f"{family}/{part}.py says what it is"
        for name in [name for name in vars(owed) if not name.startswith("_")]:
            assert hasattr(module, name), f"{family}/{part}.py has no {name}"


@every_family
def test_every_preset_is_made_of_settings_that_exist(family: str) -> None:
    parts = family_part(family, "config")
    training = set(TrainingSettings().to_json())
    assert issubclass(parts.Config, FamilyConfig)
    for name, preset in parts.PRESETS.items():
        TrainingSettings.from_json({n: v for n, v in preset.items() if n in training})
        known = set(parts.Config.__dataclass_fields__)
        assert set(preset) <= training | known, name


@every_family
def test_the_quickstart_knows_data_for_it(family: str) -> None:
    assert family_part(family, "config").EMBEDDED_DATA
    assert any(preset.startswith("atlas") for preset in family_part(family, "config").PRESETS)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Run]:
    made: dict[tuple[str, str], Run] = {}

    def run(family: str, name: str) -> Run:
        if (family, name) not in made:
            made[family, name] = import_golden(name, tmp_path_factory.mktemp("run") / "run", family)
        return made[family, name]

    return run


@case
def test_a_configuration_survives_json_and_refuses_what_it_does_not_know(
    family: str, name: str, runs: Callable[[str, str], Run]
) -> None:
    config = family_part(family, "config").Config.from_json(runs(family, name).config)
    again = family_part(family, "config").Config.from_json(json.loads(json.dumps(config.to_json())))
    assert again == config
    assert config.task in TASKS
    with pytest.raises(DataError, match=r"unknown .* setting '__class__'"):
        family_part(family, "config").Config.from_json({**config.to_json(), "__class__": 1})


@case
def test_an_imported_run_is_opened_again_with_all_its_data(
    family: str, name: str, runs: Callable[[str, str], Run]
) -> None:
    run = runs(family, name)
    again = Run.open(run.folder)
    assert again.data.labels == run.data.labels
    for file, arrays in run.data.tensors.items():
        for key, array in arrays.items():
            np.testing.assert_array_equal(again.data.tensors[file][key], array)
    state = again.weights()
    model = family_part(family, "model").build(again.config, again.inputs)
    family_part(family, "checkpoint").check_state(state, model.state_dict())


@case
def test_graphs_and_contents_say_the_same(family: str, name: str, runs: Callable[[str, str], Run]) -> None:
    config = family_part(family, "config").Config.from_json(runs(family, name).config)
    specs = family_part(family, "graphs").graph_specs(config)
    assert all(isinstance(spec, GraphSpec) and spec.name == key for key, spec in specs.items())
    for graph, spec in specs.items():
        assert GraphSpec.from_json(graph, json.loads(json.dumps(spec.to_json()))).to_json() == spec.to_json()
    assert set(specs) == set(family_part(family, "runtime").contents(config).graphs)


@case
def test_a_bundle_holds_the_closed_list_and_nothing_of_this_machine(
    family: str, name: str, golden_bundles: Callable[..., Path]
) -> None:
    folder = golden_bundles(name, "fp32", family)
    manifest = json.loads((folder / "bundle.json").read_text())
    contents = manifest_contents(manifest)  # golden cases come as tokens, so there is nothing that made them
    assert {path.name for path in folder.iterdir()} == {*contents.files, "bundle.json"} - {*contents.optional}
    for path in folder.iterdir():
        assert str(folder.parent).encode() not in path.read_bytes(), path.name
        assert str(Path(mmkg_sdk.__file__).parent).encode() not in path.read_bytes(), path.name
    assert json.loads((folder / "parity.json").read_text())["passed"] is True
    assert family in (folder / "MODEL_CARD.md").read_text()


@case
@pytest.mark.parametrize("backend", ["onnxruntime", "torch"])
def test_a_bundle_is_verified_on_every_backend(
    family: str, name: str, backend: str, golden_bundles: Callable[..., Path]
) -> None:
    report = verify_bundle(golden_bundles(name, "fp32", family), backend=backend, device="cpu")
    assert report["passed"], report
    assert len([key for key in report if key.endswith("difference")]) >= 2


@case
def test_what_a_bundle_opens_to_closes_and_travels(family: str, name: str, golden_bundles: Callable[..., Path]) -> None:
    folder = golden_bundles(name, "fp32", family)
    with mmkg_sdk.load(folder, "onnxruntime", "cpu", threads=1) as opened:
        assert type(opened) is answerer_class(opened.bundle)
        assert family in repr(opened)
        again = pickle.loads(pickle.dumps(opened))
        assert again.bundle.manifest == opened.bundle.manifest
        again.close()


@case
def test_every_changed_file_is_noticed(
    family: str, name: str, golden_bundles: Callable[..., Path], tmp_path: Path
) -> None:
    folder = golden_bundles(name, "fp32", family)
    for path in sorted(folder.iterdir()):
        if path.name == "bundle.json":
            continue
        copy = shutil.copytree(folder, tmp_path / "copy")
        data = bytearray((copy / path.name).read_bytes())
        data[len(data) // 2] ^= 1
        (copy / path.name).write_bytes(data)
        with pytest.raises(BundleError, match=f"{path.name} was changed"):
            Bundle.open(copy)
        shutil.rmtree(copy)


@case
def test_a_checkpoint_of_another_family_is_refused(family: str, name: str, tmp_path: Path) -> None:
    golden = GOLDEN
    other, other_name = next(pair for pair in CASES if pair[0] != family)
    with pytest.raises(ExportError):
        mmkg_sdk.export.import_checkpoint(  # type: ignore[attr-defined]
            family,
            golden / other / other_name / "checkpoint.pt",
            tmp_path / "run",
            inputs=golden / family / name / "inputs.npz",
            config=golden / family / name / "config.json",
        )
    assert not (tmp_path / "run").exists()
