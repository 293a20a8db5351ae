"""The model of a run, with its weights; what run.json says is held against them before memory is taken for it."""

from __future__ import annotations

from typing import Any

from ..bundle.config import FamilyConfig
from ..errors import DataError
from ..run import Run
from . import contract

# Numbers of a configuration up to here need be no size of a weight.
_ANY_SIZE = 1 << 20


def built_model(run: Run, config: FamilyConfig) -> Any:
    """The model of a run as it was trained or imported.

    Args:
        config: that of the run, or one that builds the same model.

    Raises:
        DataError: sizes that no weight has, or inputs that go with no such model.
        ExportError: the weights are those of another model.
    """
    weights = run.weights()
    most = max(_ANY_SIZE, sum(weight.numel() for weight in weights.values()))
    for name, size in config.to_json().items():
        if isinstance(size, int) and size > most:
            raise DataError(f"{run.folder}: {name} is {size:,} by run.json, and its weights have {most:,} numbers.")
    try:
        model = contract.model_part(run.family).build(config.to_json(), run.inputs)
    except (RuntimeError, MemoryError, ValueError, KeyError) as err:
        raise DataError(f"{run.folder}: its run.json and inputs make no model ({err}). Copy the run again.") from err
    contract.checkpoint_part(run.family).check_state(weights, model.state_dict())
    model.load_state_dict(weights)
    return model
