"""A step of every family works through on a device that gives no value back: nothing on a GPU waits (none was used)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from mmkg_sdk.families.mygo.objective import Objective as MyGOObjective
from mmkg_sdk.families.objective import TrainingObjective
from mmkg_sdk.training.distributed import ProcessGroup
from mmkg_sdk.training.steps.feed import Share
from mmkg_sdk.training.steps.measured import Measured
from mmkg_sdk.training.steps.step import Stepper
from tests.families.adamf_mat.cases import golden as adamf_case
from tests.families.mimic.cases import golden as mimic_case
from tests.families.mkgformer.cases import golden as mkgformer_case
from tests.families.mkgformer.cases import objective as mkgformer_objective
from tests.families.mygo.cases import golden_case as mygo_case
from tests.training.steps.waits import META, NoCopies
from tests.training.tiny import SETTINGS, Objective, new_objective


def mygo() -> TrainingObjective:
    case = mygo_case("db15k_like")
    model = case.model()
    assert model.config.contrastive_weight
    return MyGOObjective(model, torch.as_tensor(case.inputs["train_triples"]))


FAMILIES: dict[str, Callable[[], TrainingObjective]] = {
    "mygo": mygo,
    "adamf_mat": lambda: adamf_case("db15k_like").objective(),
    "mimic": lambda: mimic_case("base").objective(),
    "mimic, images on the device": lambda: placed(mimic_case("base").objective()),
    "links": lambda: mkgformer_objective(mkgformer_case("lp_pretrain_small")),
    "relations, images on the device": lambda: placed(mkgformer_objective(mkgformer_case("mre_small"))),
    "tags": lambda: mkgformer_objective(mkgformer_case("mner_small")),
}


def placed(objective: Any) -> TrainingObjective:
    objective.images.place(torch.device("cpu"), most_bytes=1 << 40)
    return objective  # type: ignore[no-any-return]


def step_on_meta(objective: TrainingObjective) -> dict[str, Tensor]:
    """One step, and what is measured in it, on the device without values."""
    batch = next(objective.batches(4, torch.Generator().manual_seed(0)))
    tensors = tuple(tensor.to(META) for tensor in objective.prepared(*batch))
    objective.train().to(META)
    stepper = Stepper(objective, SETTINGS, ProcessGroup(0, 1, META))
    measured = Measured(1)
    with NoCopies():
        values = stepper.step(Share(tensors, len(batch[0]), 1.0), rate=0.1, seconds=1.0)
        measured.add(values, len(batch[0]), 1)
    return values


@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_reads_nothing_back_and_copies_nothing(family: str) -> None:
    values = step_on_meta(FAMILIES[family]())
    assert {value.device for value in values.values()} == {META}


class Reading(Objective):
    how: Callable[[Tensor], Any]

    def forward(self, triples: Tensor, tails: Tensor) -> dict[str, Tensor]:
        outputs = super().forward(triples, tails)
        type(self).how(outputs["loss"][None])
        return outputs


@pytest.mark.parametrize(
    "how",
    [
        Tensor.item,
        Tensor.tolist,
        Tensor.cpu,
        bool,
        Tensor.unique,
        Tensor.nonzero,
        lambda loss: loss[loss > 0],
        lambda loss: loss + torch.ones(1),
        lambda loss: torch.ones(1).to(loss.device),
    ],
)
def test_what_would_wait_for_a_gpu_is_an_error_here(how: Callable[[Tensor], Any]) -> None:
    objective = new_objective()
    objective.__class__ = type("Reading", (Reading,), {"how": staticmethod(how)})
    with pytest.raises((AssertionError, RuntimeError, NotImplementedError)):
        step_on_meta(objective)


def test_what_stays_on_the_device_is_none_there() -> None:
    """The same objective with a harmless reading, so that the errors above are those of their readings."""
    objective = new_objective()
    objective.__class__ = type("Reading", (Reading,), {"how": staticmethod(lambda loss: loss + 1)})
    step_on_meta(objective)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_itself_sees_no_wait_in_a_step() -> None:
    """What a device without values cannot show: waits inside of CUDA's kernels."""
    objective = mygo()
    device = torch.device("cuda", 0)
    objective.place(device)
    batch = next(objective.batches(64, torch.Generator().manual_seed(0)))
    share = Share(tuple(tensor.to(device) for tensor in objective.prepared(*batch)), len(batch[0]), 1.0)
    stepper = Stepper(objective.train(), SETTINGS, ProcessGroup(0, 1, device))
    stepper.step(share, rate=0.1, seconds=0.0)
    torch.cuda.set_sync_debug_mode("error")
    try:
        stepper.step(share, rate=0.1, seconds=0.0)
    finally:
        torch.cuda.set_sync_debug_mode("default")
