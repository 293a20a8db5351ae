"""From a data set's name to a trained run, and from an interrupted run to a finished one."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..backends.torch import torch_device
from ..bundle import sha256_of
from ..data.dropped import drop_modalities
from ..data.inspection.coverage import absence_remarks, need_modalities
from ..data.inspection.remarks import remarks
from ..data.open import open_data
from ..errors import DataError, ExportError
from ..evaluation.subjects import EVALUATIONS
from ..families import contract
from ..files.folders import folder_lock
from ..registry import family_name
from ..run import RUN, Run, RunData
from .listing import check_names
from .settings import TrainingSettings

# Instead of a preset's name: the settings' own defaults.
NO_PRESET = "none"


def start_training(
    family: str,
    data: str,
    out: str | Path,
    *,
    settings: Mapping[str, Any],
    preset: str | None = None,
    drop_modality: Mapping[str, float] | None = None,
    require: Sequence[str] = (),
    start: str | Path | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> tuple[Run, Any]:
    """Create a run from a data set and train it. A modality that the data lack altogether is said in a warning.

    Args:
        data: "atlas", a fetched name, or a data set folder.
        settings: names of the family's configuration and of TrainingSettings; they win over the preset.
        device: "cpu", "cuda", "cuda:N", or "auto".
        drop_modality: "image", "text" or a further modality -> share of the entities that lose it, chosen by the seed;
            an experiment.
        require: "image", "text" or further ones: refuse to train where the data have none at all.
        preset: a name of the family's presets, or "none" for the settings' own defaults; None takes the one named like
            the data set, or else like the kind of device ("cpu").
        start: a run whose weights the training begins with, as MKGformer's second stage begins with those of its first.

    Returns:
        The run and the TrainingResult.

    Raises:
        DataError: unknown preset or setting, no preset that fits and none named, a data set that cannot be read or
            lacks what is required, or weights of another model or other data, or another process trains or writes the
            run.
        BackendError: the device is not there, lacks the precision, torch.compile or room for the model. Only the last
            is found out after the data were read.
    """
    from .distributed import process_group
    from .steps.compiled import check_compiler
    from .steps.precision import check_precision, settled

    if start is not None and Path(start).resolve() == Path(out).resolve():
        raise DataError(f"{out} is to begin with its own weights and would replace them. Name another folder to write.")
    device = torch_device(device)  # before anything is read: it may not be there
    family = family_name(family)
    preset, chosen = _preset(family, preset, data, device)
    check_names(family, settings)
    chosen |= settings
    training_names = {field.name for field in fields(TrainingSettings)}
    asked = TrainingSettings.from_json({n: v for n, v in chosen.items() if n in training_names})
    training = settled(asked, device)
    check_precision(training.precision, device)
    check_compiler(training.compile, device)
    dropped = dict(drop_modality or {})
    opened = open_data(data)
    inputs = contract.inputs_part(family)
    dataset = drop_modalities(opened, dropped, training.seed) if dropped else opened
    config = inputs.config_for(dataset, {n: v for n, v in chosen.items() if n not in training_names})
    _check_decided(settings, {**config.to_json(), **asked.to_json()}, data)
    coverage = inputs.coverage(opened)
    need_modalities(coverage, require)
    # Locked before it is there: of two trainings with one folder, one goes from its first file to its last weight.
    with process_group(device) as group, folder_lock(Path(out), RUN) if group.is_first else nullcontext():
        if group.is_first:  # under torchrun every process comes here, and all work on the same folder
            if asked.precision == "auto":
                print(f"precision auto: {training.precision} on this {device}", file=sys.stderr)
            # What is worth knowing of the data before time goes into them.
            for remark in [*absence_remarks(coverage, opened), *remarks(opened)]:
                warnings.warn(remark, stacklevel=2)
            contents = inputs.run_data(dataset, config)
            if start is not None:
                _check_start(Run.open(start), family, config.to_json(), contents)
            Run.create(
                out,
                family=family,
                config=config.to_json(),
                data=contents,
                settings=training.to_json(),
                source={
                    "data": data,
                    "preset": preset,
                    "precision": asked.precision,
                    "drop_modality": dropped,
                    **_started(start),
                },
                overwrite=overwrite,
            )
        group.barrier()
        run = Run.open(out)
        given = inputs.initial_weights(dataset, config) if start is None else Run.open(start).weights()
        return run, _train(run, training, device, given)


def resume_training(folder: str | Path, *, device: str = "auto") -> tuple[Run, Any]:
    """Go on with an interrupted run; from the start if that was before its first state.

    On the CPU it is exactly as if there had been no interruption. The device may be another than the one before:
    shuffles are the same on each, but what a GPU computes, dropout among it, is not to the bit that of a CPU, nor that
    of the same GPU another time.

    Raises:
        BackendError: as `start_training`.
        DataError: the run was imported, or it has no state yet and its data, which are then read again, have changed.
    """
    device = torch_device(device)
    run = Run.open(folder)
    if run.settings is None:
        raise DataError(f"{folder} was imported from a checkpoint; there is no training to resume.")
    settings = TrainingSettings.from_json(run.settings)
    given = {} if (run.folder / "resume.pt").is_file() else _given_again(run, settings.seed)
    return run, _train(run, settings, device, given)


def _given_again(run: Run, seed: int) -> Mapping[str, Any]:
    """The initial weights of a run that holds no state yet."""
    source = run.source
    if source.get("start") is not None:
        raise DataError(
            f"{run.folder} was killed before its first state was written. It began with the weights of "
            f"{source['start']}, and does not know where they are: give its command again, with --overwrite."
        )
    dataset = drop_modalities(open_data(source["data"]), source["drop_modality"], seed)
    inputs = contract.inputs_part(run.family)
    config = contract.config_part(run.family).Config.from_json(run.config)
    if inputs.run_data(dataset, config).labels != run.labels:
        raise DataError(
            f"{run.folder} was killed before its first state was written, and {source['data']} has other labels since. "
            "Train anew, with --overwrite."
        )
    return inputs.initial_weights(dataset, config)


def _train(run: Run, settings: TrainingSettings, device: str, given: Mapping[str, Any]) -> Any:
    """Train a run.

    Args:
        given: initial weights by name that do not come from chance.
    """
    import torch

    from .loop import train

    torch.manual_seed(settings.seed)
    model = contract.model_part(run.family).build(run.config, run.inputs)
    model.load_state_dict({name: torch.as_tensor(array) for name, array in given.items()}, strict=False)
    objective = contract.objective_part(run.family).objective_of(run, model)
    evaluation = EVALUATIONS[contract.config_part(run.family).Config.from_json(run.config).task]
    return train(
        objective,
        run,
        settings,
        lambda: evaluation.evaluate_run(run, model, "valid").metrics(),
        device,
        selected=evaluation.SELECTED,
    )


def _started(start: str | Path | None) -> dict[str, str | None]:
    """What a training began with: the name of a run, and the hash of its weights, which may be trained on since."""
    if start is None:
        return {"start": None}
    with Run.open(start).weights_path.open("rb") as file:
        return {"start": Path(start).name, "start_sha256": sha256_of(file)}


def _check_start(start: Run, family: str, config: dict[str, Any], data: RunData) -> None:
    """Whether the weights of another run fit: the same family, names and shapes, labels and tokenizer.

    Raises:
        DataError: they do not.
    """
    if start.family != family:
        raise DataError(f"{start.folder} is a run of {start.family}; expected one of {family}.")
    theirs = start.data
    pairs: list[tuple[str, object, object]] = []
    pairs += [(f"{name}.txt", theirs.labels.get(name), labels) for name, labels in data.labels.items()]
    pairs += [(name, theirs.files.get(name), content) for name, content in data.files.items()]
    for name, found, wanted in pairs:
        if found != wanted:
            raise DataError(
                f"{start.folder} has another {name} than these data make, so its weights stand for other things. "
                "Start from a run of the same data and settings."
            )
    model = contract.model_part(family).build(config, data.tensors.get("inputs", {}))
    try:
        contract.checkpoint_part(family).check_state(start.weights(), model.state_dict())
    except ExportError as err:
        raise DataError(f"{start.folder} does not fit these settings: {err}") from err


def _preset(family: str, name: str | None, data: str, device: str) -> tuple[str | None, dict[str, Any]]:
    """The preset that was asked for, or the one that fits data or device; its name, and a copy of its settings."""
    presets = contract.config_part(family).PRESETS
    if name == NO_PRESET:
        return None, {}
    kind, listed = device.partition(":")[0], ", ".join(presets)
    if name is None:
        name = next((fitting for fitting in (data, kind) if fitting in presets), None)
        if name is None:
            raise DataError(
                f"{family} has no preset named {data!r:.80}, and none for {kind}. Pass --preset with one of {listed}, "
                f"or with {NO_PRESET} for the defaults of all settings (--list-settings), those of published models."
            )
        if name != data:
            warnings.warn(
                f"{family} has no preset named {data!r:.80}: its preset for this device, {name!r}, is taken. Others: "
                f"{listed}, {NO_PRESET}.",
                stacklevel=3,
            )
    if name not in presets:
        raise DataError(f"unknown preset {name!r}; expected one of {listed}, or {NO_PRESET}.")
    return name, dict(presets[name])


def _check_decided(settings: Mapping[str, Any], used: Mapping[str, Any], data: str) -> None:
    """Whether every setting that was passed is the one that is used: the data decide some, and pretrained weights."""
    for name, value in settings.items():
        if not _holds(used.get(name), value):
            raise DataError(
                f"setting {name} is {value!r}, but the data ({data}) or the pretrained weights decide it: it is "
                f"{used.get(name)!r}. Leave it out."
            )


def _holds(used: Any, given: Any) -> bool:
    """Whether what is used is what was given, or, of objects in a list, more than that."""
    if isinstance(given, list) and all(isinstance(one, dict) for one in given):
        return all(any(one.items() <= other.items() for other in used or ()) for one in given)
    return bool(used == given)
