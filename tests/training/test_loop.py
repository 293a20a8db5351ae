"""The training loop on a small model: what it keeps, when it stops, what it refuses."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmkg_sdk.errors import BackendError, DataError, MmkgError
from mmkg_sdk.training import loop, train
from mmkg_sdk.training.metrics import append_metrics, read_metrics
from tests.training.tiny import SETTINGS, Objective, new_objective, new_run, validation, without_times


def scripted(mrrs: list[float], seen: list[dict[str, Tensor]], objective: Objective) -> Callable[[], dict[str, float]]:
    """A validation that returns the given MRRs in turn and notes the weights that it was asked about."""
    remaining = iter(mrrs)

    def validate() -> dict[str, float]:
        assert not objective.training
        assert not torch.is_grad_enabled()
        seen.append({name: tensor.clone() for name, tensor in objective.model.state_dict().items()})
        return {"mrr": next(remaining)}

    return validate


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_first_epoch_equals_adam_written_out(tmp_path: Path) -> None:
    objective, reference = new_objective(dropout=0.0), new_objective(dropout=0.0)
    settings = replace(SETTINGS, epochs=1, batch_size=1000, weight_decay=0.1, schedule="constant", clip_norm=0.1)
    train(objective, new_run(tmp_path / "run"), settings, validation(objective))

    triples = reference.triples
    F.cross_entropy(reference.model.scores(triples), triples[:, 2]).backward()
    gradients = {name: parameter.grad for name, parameter in reference.model.named_parameters()}
    norm = math.sqrt(sum(float(gradient.square().sum()) for gradient in gradients.values() if gradient is not None))
    assert norm > 0.1
    for name, parameter in reference.model.named_parameters():
        gradient = gradients[name]
        expected = parameter.detach()
        if gradient is not None:  # the first Adam step moves by the rate, whatever the size of the gradient
            slope = gradient * 0.1 / norm + 0.1 * expected
            expected = expected - 0.05 * slope / (slope.abs() + 1e-8)
        assert torch.allclose(objective.model.state_dict()[name], expected, atol=1e-5), name


def test_training_is_the_same_to_the_bit_when_repeated(tmp_path: Path) -> None:
    weights, metrics = [], []
    for name in ("first", "second"):
        torch.rand(3)  # whatever came before must not matter
        objective = new_objective()
        torch.rand(5)
        run = new_run(tmp_path / name)
        train(objective, run, SETTINGS, validation(objective))
        weights.append(run.weights())
        metrics.append(without_times(read_metrics(run.folder / "metrics.jsonl")))
    assert same(*weights)
    assert metrics[0] == metrics[1]


def test_the_run_and_the_model_end_with_the_best_weights_not_the_last(tmp_path: Path) -> None:
    objective, seen = new_objective(), list[dict[str, Tensor]]()
    run = new_run(tmp_path / "run")
    result = train(objective, run, SETTINGS, scripted([0.2, 0.5, 0.5], seen, objective))
    assert (result.best_epoch, result.best_metrics, result.epochs) == (4, {"mrr": 0.5}, 6)
    assert result.stopped_by == "epochs"
    assert same(run.weights(), seen[1])
    assert same(objective.model.state_dict(), seen[1])
    assert not same(seen[1], seen[2])


def test_early_stopping_counts_validations_since_the_best(tmp_path: Path) -> None:
    objective, seen = new_objective(), list[dict[str, Tensor]]()
    settings = replace(SETTINGS, epochs=100, patience=2)
    mrrs = [0.1, 0.05, 0.3, 0.3, 0.2, 0.9]
    result = train(objective, new_run(tmp_path / "run"), settings, scripted(mrrs, seen, objective))
    assert result.stopped_by == "patience"
    assert (result.epochs, result.best_epoch, len(seen)) == (10, 6, 5)


def test_the_last_epoch_is_validated_although_it_is_not_due(tmp_path: Path) -> None:
    objective, seen = new_objective(), list[dict[str, Tensor]]()
    settings = replace(SETTINGS, epochs=3, validate_every=50)
    train(objective, new_run(tmp_path / "run"), settings, scripted([0.4], seen, objective))
    assert len(seen) == 1


def test_metrics_hold_one_object_for_each_epoch(tmp_path: Path) -> None:
    objective, run = new_objective(), new_run(tmp_path / "run")
    train(objective, run, SETTINGS, validation(objective))
    rows = read_metrics(run.folder / "metrics.jsonl")
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert ["valid" in row for row in rows] == [False, True] * 3
    assert rows[0].keys() == {"epoch", "learning_rate", "loss", "perplexity", "seconds", "triples_per_second"}
    # The cosine of two epochs, then of four: the values of the formula.
    assert [row["learning_rate"] for row in rows[:3]] == pytest.approx([0.05, 0.025, 0.05])


def test_a_finished_training_is_not_trained_again_but_can_be_extended(tmp_path: Path) -> None:
    objective, run = new_objective(), new_run(tmp_path / "run")
    train(objective, run, SETTINGS, validation(objective))
    before = run.weights()
    again = new_objective()
    assert train(again, run, SETTINGS, validation(again)).epochs == 6
    assert same(run.weights(), before)
    longer = new_objective()
    assert train(longer, run, replace(SETTINGS, epochs=8), validation(longer)).epochs == 8
    straight = new_objective()
    straight_run = new_run(tmp_path / "straight")
    train(straight, straight_run, replace(SETTINGS, epochs=8), validation(straight))
    rows = [without_times(read_metrics(folder / "metrics.jsonl")) for folder in (run.folder, straight_run.folder)]
    assert rows[0] == rows[1]


def test_resuming_with_other_settings_is_refused_by_name(tmp_path: Path) -> None:
    objective, run = new_objective(), new_run(tmp_path / "run")
    train(objective, run, SETTINGS, validation(objective))
    with pytest.raises(DataError, match="batch_size 8, now it is 16"):
        train(objective, run, replace(SETTINGS, batch_size=16), validation(objective))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 truncated", b"\x80\x02."])
def test_a_damaged_resume_file_is_an_error_that_says_what_to_do(tmp_path: Path, content: bytes) -> None:
    objective, run = new_objective(), new_run(tmp_path / "run")
    (run.folder / "resume.pt").write_bytes(content)
    with pytest.raises(DataError, match=r"resume\.pt cannot be read .* Delete it"):
        train(objective, run, SETTINGS, validation(objective))


def test_a_resume_file_with_code_in_it_is_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "sprung",))  # type: ignore[return-value]

    objective, run = new_objective(), new_run(tmp_path / "run")
    torch.save({"position": Trap()}, run.folder / "resume.pt")
    with pytest.raises(DataError, match="cannot be read"):
        train(objective, run, SETTINGS, validation(objective))
    assert not (tmp_path / "sprung").exists()


def test_ctrl_c_leaves_a_run_that_resumes_to_the_same_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    straight, straight_run = new_objective(), new_run(tmp_path / "straight")
    train(straight, straight_run, SETTINGS, validation(straight))

    class Interrupted(Objective):
        def forward(self, triples: Tensor, tails: Tensor) -> dict[str, Tensor]:
            self.calls = getattr(self, "calls", 0) + 1
            if self.calls == 18:
                raise KeyboardInterrupt
            return super().forward(triples, tails)

    stopped, run = new_objective(), new_run(tmp_path / "run")
    stopped.__class__ = Interrupted
    with pytest.raises(KeyboardInterrupt):
        train(stopped, run, SETTINGS, validation(stopped))
    assert f"To go on: mmkg-sdk train --resume {run.folder}" in capsys.readouterr().err
    resumed = new_objective()
    train(resumed, run, SETTINGS, validation(resumed))
    assert same(run.weights(), straight_run.weights())


def test_a_loss_that_is_not_finite_names_epoch_and_batch(tmp_path: Path) -> None:
    class Diverging(Objective):
        def forward(self, triples: Tensor, tails: Tensor) -> dict[str, Tensor]:
            self.calls = getattr(self, "calls", 0) + 1
            outputs = super().forward(triples, tails)
            return outputs | {"loss": outputs["loss"] * (math.nan if self.calls == 7 else 1)}

    objective = new_objective()
    objective.__class__ = Diverging
    with pytest.raises(MmkgError, match="loss is nan in epoch 2, batch 2"):
        train(objective, new_run(tmp_path / "run"), SETTINGS, validation(objective))


class Rarely(loop._Training):
    """Looks at its measurements as seldom as on a GPU."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.read_every = loop.READ_EVERY


def test_measurements_that_are_read_seldom_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = []
    for name in ("each step", "seldom"):
        objective, run = new_objective(), new_run(tmp_path / name)
        train(objective, run, SETTINGS, validation(objective))
        rows.append(without_times(read_metrics(run.folder / "metrics.jsonl")))
        monkeypatch.setattr(loop, "_Training", Rarely)
    assert rows[0] == rows[1]


def test_a_loss_that_is_not_finite_is_named_although_it_is_read_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Diverging(Objective):
        calls = 0

        def forward(self, triples: Tensor, tails: Tensor) -> dict[str, Tensor]:
            Diverging.calls += 1
            outputs = super().forward(triples, tails)
            return outputs | {"loss": outputs["loss"] * (math.nan if Diverging.calls == 7 else 1)}

    monkeypatch.setattr(loop, "_Training", Rarely)
    objective, run = new_objective(), new_run(tmp_path / "run")
    objective.__class__ = Diverging
    with pytest.raises(MmkgError, match="loss is nan in epoch 2, batch 2"):
        train(objective, run, SETTINGS, validation(objective))
    assert Diverging.calls == 10, "the epoch was gone through"
    assert [row["epoch"] for row in read_metrics(run.folder / "metrics.jsonl")] == [1]


def test_gradients_that_are_not_finite_name_epoch_and_batch(tmp_path: Path) -> None:
    class Steep(Objective):
        def forward(self, triples: Tensor, tails: Tensor) -> dict[str, Tensor]:
            outputs = super().forward(triples, tails)
            return outputs | {"loss": outputs["loss"] + (self.model.relations * 0).abs().sum().sqrt()}

    objective = new_objective()
    objective.__class__ = Steep
    with pytest.raises(MmkgError, match="gradient norm is nan in epoch 1, batch 1"):
        train(objective, new_run(tmp_path / "run"), SETTINGS, validation(objective))


@pytest.mark.parametrize("metrics", [{}, {"hits_at_10": 0.5}, {"mrr": math.nan}, {"mrr": 0.5, "mr": math.inf}])
def test_validation_without_a_finite_mrr_is_refused(tmp_path: Path, metrics: dict[str, float]) -> None:
    objective = new_objective()
    with pytest.raises(MmkgError, match="validation after epoch 2 gave"):
        train(objective, new_run(tmp_path / "run"), SETTINGS, lambda: metrics)


def test_no_batches_are_refused(tmp_path: Path) -> None:
    class Empty(Objective):
        def batches(self, batch_size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, ...]]:
            return iter(())

    objective = new_objective()
    objective.__class__ = Empty
    with pytest.raises(MmkgError, match="no batch"):
        train(objective, new_run(tmp_path / "run"), SETTINGS, validation(objective))


def test_time_budget_ends_the_training_with_a_rate_near_zero_and_a_validation(tmp_path: Path) -> None:
    class Slow(Objective):
        def forward(self, triples: Tensor, tails: Tensor) -> dict[str, Tensor]:
            time.sleep(0.002)
            return super().forward(triples, tails)

    objective, run = new_objective(), new_run(tmp_path / "run")
    objective.__class__ = Slow
    settings = replace(SETTINGS, epochs=10_000, schedule="one-cycle", max_minutes=0.6 / 60, validate_every=10_000)
    result = train(objective, run, settings, validation(objective))
    rows = read_metrics(run.folder / "metrics.jsonl")
    assert result.stopped_by == "time"
    assert 0.6 <= result.seconds < 3
    assert result.best_epoch == result.epochs == len(rows)
    assert max(row["learning_rate"] for row in rows) > 0.04
    assert rows[-1]["learning_rate"] < 0.002


def test_a_time_that_ends_while_the_epoch_is_written_down_still_gets_its_validation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(path: Path, row: dict[str, object]) -> None:
        time.sleep(0.1)
        append_metrics(path, row)

    monkeypatch.setattr("mmkg_sdk.training.loop.append_metrics", slowly)
    objective, run = new_objective(), new_run(tmp_path / "run")
    result = train(
        objective,
        run,
        replace(SETTINGS, epochs=10_000, max_minutes=0.3 / 60, validate_every=10_000),
        validation(objective),
    )
    assert (result.stopped_by, result.best_epoch) == ("time", result.epochs)


def test_bf16_trains_on_the_cpu_and_keeps_float32_weights(tmp_path: Path) -> None:
    objective, run = new_objective(dropout=0.0), new_run(tmp_path / "run")
    train(objective, run, replace(SETTINGS, precision="bf16", epochs=20), validation(objective))
    rows = read_metrics(run.folder / "metrics.jsonl")
    assert rows[-1]["loss"] < 0.7 * rows[0]["loss"]
    assert {tensor.dtype for tensor in run.weights().values()} == {torch.float32}
    exact, exact_run = new_objective(dropout=0.0), new_run(tmp_path / "exact")
    train(exact, exact_run, replace(SETTINGS, epochs=20), validation(exact))
    exact_rows = read_metrics(exact_run.folder / "metrics.jsonl")
    assert rows[0]["loss"] != exact_rows[0]["loss"]
    assert rows[-1]["loss"] == pytest.approx(exact_rows[-1]["loss"], rel=0.05)


def test_fp16_and_absent_devices_are_refused_without_falling_back(tmp_path: Path) -> None:
    objective, run = new_objective(), new_run(tmp_path / "run")
    with pytest.raises(BackendError, match=r"fp16.*needs a CUDA device"):
        train(objective, run, replace(SETTINGS, precision="fp16"), validation(objective))
    with pytest.raises(BackendError, match="cuda:99"):
        train(objective, run, SETTINGS, validation(objective), device="cuda:99")
    with pytest.raises(BackendError, match="expected 'cpu' or 'cuda'"):
        train(objective, run, SETTINGS, validation(objective), device="meta")


def test_settings_of_torch_are_put_back(tmp_path: Path) -> None:
    before = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    objective = new_objective()
    train(objective, new_run(tmp_path / "run"), replace(SETTINGS, epochs=1, threads=3), validation(objective))
    assert (torch.get_num_threads(), torch.get_deterministic_debug_mode()) == before


def test_the_progress_line_shows_epoch_loss_mrr_and_speed_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    objective = new_objective()
    train(objective, new_run(tmp_path / "run"), SETTINGS, validation(objective))
    captured = capsys.readouterr()
    assert captured.out == ""
    for part in ("epoch 6/6", "loss ", "mrr 0.", "triples/s", "ETA"):
        assert part in captured.err


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_every_precision_trains_on_cuda(tmp_path: Path, precision: str) -> None:
    objective, run = new_objective(dropout=0.0), new_run(tmp_path / "run")
    settings = replace(SETTINGS, precision=precision, epochs=20)
    train(objective, run, settings, validation(objective), device="cuda")
    rows = read_metrics(run.folder / "metrics.jsonl")
    assert rows[-1]["loss"] < 0.7 * rows[0]["loss"]
