"""The model of a run, with its weights; what run.json says is held against them before memory is taken for it."""

from __future__ import annotations

from collections.abc import Iterator
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
    for name, size in _sizes(config.to_json()):
        if size > most:
            raise DataError(f"{run.folder}: {name} is {size:,} by run.json, and its weights have {most:,} numbers.")
    try:
        model = contract.model_part(run.family).build(config.to_json(), run.inputs)
    except (RuntimeError, MemoryError, ValueError, KeyError) as err:
        raise DataError(f"{run.folder}: its run.json and inputs make no model ({err}). Copy the run again.") from err
    contract.checkpoint_part(run.family).check_state(weights, model.state_dict())
    model.load_state_dict(weights)
    return model


def _sizes(values: Any, name: str = "") -> Iterator[tuple[str, int]]:
    """The whole numbers of a configuration with their names, those of the objects in its lists, too."""
    if isinstance(values, dict):
        for own, value in values.items():
            yield from _sizes(value, own)
    elif isinstance(values, list):
        for value in values:
            yield from _sizes(value, name)
    elif isinstance(values, int):
        yield name, values
