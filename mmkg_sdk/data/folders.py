"""What the folder of a data set is to `files.folders`."""

from __future__ import annotations

from ..errors import DataError
from ..files.folders import FolderKind

# It has no file that every one has and nothing else has, so none is ever overwritten.
DATA_SET = FolderKind("data set", DataError, "Name a new folder, or remove this one first.")
