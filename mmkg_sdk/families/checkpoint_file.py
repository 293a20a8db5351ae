"""A checkpoint file as tensors by name, whatever it is wrapped in; what is no checkpoint is said to be what it is.

Read are torch's files and safetensors. Loading is tensor-only: classes of other packages that stand beside the weights
(argparse.Namespace, numpy's numbers, OmegaConf's settings) are neither imported nor called; inert objects take their
place.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ExportError

# Where trainers keep the state dict of the model in their files.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "net", "weights")
# What DataParallel and torch.compile put into names; no family has a part of this name.
_ADDED_PARTS = {"module", "_orig_mod"}
# Nothing that a file names is called. What names these was made to run code all the same, so none of it is believed.
# Python 2, whose names a pickle keeps, called subprocess "commands".
_RUNS_CODE = re.compile(
    r"(subprocess|commands|shutil|importlib|runpy|pty|ctypes|socket)\.|builtins\.(eval|exec|compile|open)$"
)
_ARCHIVES = {b"\x1f\x8b": "gzip", b"\xfd7zXZ": "xz", b"BZh": "bzip2", b"7z\xbc\xaf": "7z", b"Rar!": "rar"}


class ForeignObject:
    """Stands for every class that a checkpoint names and torch does not know. It takes anything and does nothing."""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


def read_state(path: Path) -> dict[str, Any]:
    """The state dict in a checkpoint, by the names of the model; whether the values are good tensors is not looked at.

    It may be bare or in a wrapper such as {"state_dict": ...}, and its names may have parts that DataParallel and
    torch.compile add, which are taken out. What is no tensor beside a bare state dict ("epoch") is left out.

    Raises:
        ExportError: the file is missing, damaged or of another kind, carries code, or holds several models or none.
    """
    if path.is_dir():
        raise ExportError(f"{path} is a folder; expected the checkpoint file that the authors' training wrote.")
    if not path.is_file():
        raise ExportError(f"{path}: no such file. Pass the checkpoint file that the authors' training wrote.")
    _check_kind(path)
    content = _load_safetensors(path) if path.suffix == ".safetensors" else _load_torch(path)
    return _plain_names(_unwrapped(content, path), path)


def _check_kind(path: Path) -> None:
    """Refuse what only bears the name of a checkpoint.

    Raises:
        ExportError: with what it is.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(512)
    if not start:
        raise ExportError(f"{path} is empty: the download or the copy did not finish. Fetch it again.")
    if start.startswith(b"version https://git-lfs"):
        raise ExportError(f"{path} is a pointer of Git LFS, not the file itself. Run `git lfs pull` where it lies.")
    if re.match(rb"\s*<(!doctype|html|\?xml)", start, re.IGNORECASE):
        raise ExportError(f"{path} is a web page, not a checkpoint. Open it in a browser to see why; then fetch anew.")
    for mark, name in _ARCHIVES.items():
        if start.startswith(mark):
            raise ExportError(f"{path} is an archive ({name}). Unpack it and pass the checkpoint inside.")
    if start.startswith(b"PK\x03\x04"):
        _check_zip(path, size)


def _check_zip(path: Path, size: int) -> None:
    """Whether a zip is whole, torch's, and no larger than it looks: nothing of it is unpacked before."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as err:
        raise ExportError(
            f"{path} is cut off or damaged: it has {size:,} bytes, and the table at its end is missing ({err}). "
            "Fetch it again."
        ) from err
    names = {entry.filename.rpartition("/")[2] for entry in entries}
    if "data.pkl" not in names:
        listed = ", ".join(sorted(names)[:3])
        raise ExportError(f"{path} is a zip archive of other files ({listed}). Unpack it and pass the checkpoint.")
    if "constants.pkl" in names:
        raise ExportError(f"{path} is a TorchScript program, which is never loaded. Save model.state_dict() instead.")
    if (claimed := sum(entry.file_size for entry in entries)) > size:
        raise ExportError(
            f"{path} has {size:,} bytes and claims to unpack to {claimed:,}; torch does not compress what it saves. "
            "Pass the file as training wrote it."
        )


def _load_safetensors(path: Path) -> Any:
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except Exception as err:  # SafetensorError, and KeyError for a dtype that torch does not have
        raise ExportError(f"{path} is no safetensors file, or is cut off ({err}). Fetch it again.") from err


def _load_torch(path: Path) -> Any:
    import torch
    from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

    try:
        names = get_unsafe_globals_in_checkpoint(path)
    except Exception:  # damaged, which load says, or older than torch's zip format
        names = []
    if code := next(filter(_RUNS_CODE.match, names), None):
        raise ExportError(f"{path} names {code}, which runs code, so it is not loaded. Fetch it from its authors.")
    try:
        # A class for each, called as the one it stands for, so that messages can say what was found.
        with safe_globals([(type(name.rpartition(".")[2], (ForeignObject,), {}), name) for name in names]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as err:  # torch raises a different type for each way a file can be broken
        raise ExportError(
            f"{path}: not a tensor-only torch checkpoint ({_reason(err)}). The file is damaged, or it holds Python "
            "objects, which are never loaded. Fetch it again, or save model.state_dict() anew."
        ) from err


def _reason(err: Exception) -> str:
    """What torch found, without its advice to load the file all the same."""
    found = str(err).partition("WeightsUnpickler error:")[2] or str(err)
    first = next((line.strip() for line in found.splitlines() if line.strip()), "")
    return f"{type(err).__name__}: {first.partition(' Please use ')[0]:.200}"


def _unwrapped(content: Any, path: Path) -> Mapping[Any, Any]:
    """The state dict itself."""
    import torch

    wrapped = False
    while isinstance(content, Mapping):
        inside = [name for name in _WRAPPERS if isinstance(content.get(name), Mapping)]
        if len(inside) > 1:
            raise ExportError(f"{path} holds several models: {', '.join(inside)}. Save the one that is meant alone.")
        if not inside:
            break
        content, wrapped = content[inside[0]], True
    if not isinstance(content, Mapping):
        raise ExportError(
            f"{path}: expected a dict of tensors by name, found {type(content).__name__}. Save model.state_dict()."
        )
    if wrapped:
        return content
    return {
        name: value
        for name, value in content.items()
        if isinstance(value, torch.Tensor) or not isinstance(name, str) or "." in name
    }


def _plain_names(state: Mapping[Any, Any], path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in state.items():
        if not isinstance(name, str):
            raise ExportError(
                f"{path}: expected a dict of tensors by name, found one under {name!r:.80} ({type(name).__name__}). "
                "Save model.state_dict()."
            )
        plain = ".".join(part for part in name.split(".") if part not in _ADDED_PARTS)
        if plain in found:
            raise ExportError(f"{path} holds {plain} several times, once as {name}. Save one model alone.")
        found[plain] = value
    if not found:
        raise ExportError(f"{path} holds no tensors. Pass the checkpoint file that the authors' training wrote.")
    return found
