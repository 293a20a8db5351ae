"""Trainings by torch.compile: the same numbers, few graphs, the same state; or a refusal at the door.

One training goes through the compiler for the CPU. Elsewhere "aot_eager" stands in for it: it takes the same graphs
apart and runs them by torch's own kernels, without a C++ compiler's time; and "eager" for the models with towers, whose
gradients' graphs alone would take a minute.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch._dynamo.utils import counters

from mmkg_sdk.errors import BackendError, DataError
from mmkg_sdk.families.mygo.objective import Objective as MyGOObjective
from mmkg_sdk.families.objective import TrainingObjective
from mmkg_sdk.run import Run
from mmkg_sdk.training import TrainingSettings, train
from mmkg_sdk.training.session import start_training
from mmkg_sdk.training.steps import compiled as module
from mmkg_sdk.training.steps.compiled import check_compiler, compiled
from tests.families.adamf_mat import cases as adamf_mat
from tests.families.mimic import cases as mimic
from tests.families.mkgformer import cases as mkgformer
from tests.families.mygo import cases as mygo
from tests.training.tiny import SETTINGS, new_objective, new_run, validation

# Batches of 12, 12, 12 and 4.
UNEVEN = replace(SETTINGS, batch_size=12, epochs=2)


@pytest.fixture
def without_inductor(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(module, "BACKEND", "aot_eager")
    torch.compiler.reset()
    counters.clear()
    yield
    torch.compiler.reset()


def trained(folder: Path, settings: TrainingSettings, dropout: float = 0.3) -> Run:
    objective = new_objective(dropout=dropout)
    run = Run.open(folder) if folder.exists() else new_run(folder)
    train(objective, run, settings, validation(objective))
    return run


def objective_of(family: str, name: str) -> TrainingObjective:
    if family == "mygo":
        case = mygo.golden_case(name)
        return MyGOObjective(case.model(), torch.as_tensor(case.inputs["train_triples"]))
    if family == "mkgformer":
        return mkgformer.objective(mkgformer.golden(name))
    if family == "adamf_mat":
        name, _, kept = name.partition(", ")
        return adamf_mat.golden(name).objective(train_features=not kept)
    return mimic.golden(name).objective()


@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("mygo", "db15k_like"),
        ("adamf_mat", "db15k_like"),
        ("adamf_mat", "db15k_like, features as made"),
        ("mimic", "base"),
        ("mkgformer", "lp_official12"),
        ("mkgformer", "mre_small"),
        ("mkgformer", "mner_small"),
    ],
)
@pytest.mark.usefixtures("without_inductor")
def test_losses_and_gradients_of_every_family_are_those_of_one_graph(
    family: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if family in ("mimic", "mkgformer"):
        monkeypatch.setattr(module, "BACKEND", "eager")
    objective = objective_of(family, name)
    objective.train()
    (batch, *_) = objective.batches(4, torch.Generator().manual_seed(0))
    prepared = objective.prepared(*batch)
    found = []
    for losses in (objective.forward, compiled(objective.forward)):
        objective.zero_grad()
        torch.manual_seed(3)  # of dropout and samples
        outputs = losses(*prepared)
        outputs["loss"].backward()
        gradients = [parameter.grad for parameter in objective.model.parameters() if parameter.grad is not None]
        found.append((outputs, torch.cat([gradient.flatten() for gradient in gradients])))
    (expected, gradients), (outputs, others) = found
    assert outputs.keys() == expected.keys()
    for output, other in zip(expected.values(), outputs.values(), strict=True):
        torch.testing.assert_close(other, output, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(others, gradients, rtol=0, atol=1e-5 * float(gradients.abs().max()))
    assert counters["stats"]["unique_graphs"] == 1


@pytest.mark.usefixtures("without_inductor")
def test_a_training_begun_without_goes_on_compiled_in_two_graphs(tmp_path: Path) -> None:
    eager = trained(tmp_path / "eager", replace(UNEVEN, epochs=4))
    trained(tmp_path / "resumed", UNEVEN)
    resumed = trained(tmp_path / "resumed", replace(UNEVEN, epochs=4, compile=True))
    assert counters["stats"]["unique_graphs"] == 3  # one of the door's, one of full batches, one of any size
    for name, tensor in eager.weights().items():
        torch.testing.assert_close(resumed.weights()[name], tensor, rtol=0, atol=1e-5)
    states = [torch.load(run.folder / "resume.pt", weights_only=True) for run in (eager, resumed)]
    assert states[0]["objective"].keys() == states[1]["objective"].keys()
    # And back: the state is that of a training without.
    trained(tmp_path / "resumed", replace(UNEVEN, epochs=5))


def test_the_compiler_for_the_cpu_trains_the_same_weights(tmp_path: Path) -> None:
    try:
        check_compiler(True, "cpu")
    except BackendError as err:
        pytest.skip(str(err))
    eager = trained(tmp_path / "eager", UNEVEN, dropout=0.0)
    found = trained(tmp_path / "compiled", replace(UNEVEN, compile=True), dropout=0.0)
    for name, tensor in eager.weights().items():
        torch.testing.assert_close(found.weights()[name], tensor, rtol=0, atol=1e-5)


def test_without_a_compiler_nothing_is_read_and_nothing_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    torch.compiler.reset()
    refused = pytest.raises(BackendError, match=r"torch.compile does not work for cpu.*Install a C\+\+ compiler")
    with torch._inductor.config.patch({"cpp.cxx": ("/no/such/compiler",)}), refused:
        start_training("mygo", str(tmp_path / "no data"), tmp_path / "run", settings={"compile": True}, preset="cpu")
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("without_inductor")
def test_a_loss_that_is_no_whole_graph_is_refused() -> None:
    def reads_back(values: torch.Tensor) -> torch.Tensor:
        torch._dynamo.graph_break()
        return values.sum()

    with pytest.raises(BackendError, match=r"could not compile this training: Unsupported.*Leave the setting compile"):
        compiled(reads_back)(torch.ones(3))


def test_compile_is_true_or_false() -> None:
    with pytest.raises(DataError, match="training setting compile is 1; expected true or false"):
        TrainingSettings(compile=1)  # type: ignore[arg-type]
