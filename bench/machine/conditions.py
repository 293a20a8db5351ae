"""Watch: the conditions of a measurement from its start to its end, and what a reader must know of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmkg_sdk.kernels.threads import usable_cores

from .environment import Moment, environment, is_loaded, load_average, moment, other_load


@dataclass
class Watch:
    """Attributes:
    found: `environment`, with load_average_before; after the end with load_average_after, other_load and
        loaded_machine, too.
    """

    found: dict[str, Any]
    began: Moment | None

    @classmethod
    def start(
        cls, threads: int, bundle: Path | None = None, packages: Sequence[str] = (), device: str = "cpu"
    ) -> Watch:
        """Begin to watch; see `environment`."""
        found = environment(bundle, threads, packages, device)
        found["load_average_before"] = found.pop("load_average")
        return cls(found, moment())

    def finish(self) -> None:
        """Add what was seen until now."""
        load = other_load(self.began, moment())
        self.found |= {"load_average_after": load_average(), "other_load": load}
        self.found["loaded_machine"] = is_loaded(load, usable_cores())


def load_remark(found: Mapping[str, Any]) -> list[str]:
    """What a reader must know of other work meanwhile, if anything."""
    if not found.get("loaded_machine"):
        return []
    return [
        f"Other work took about {found['other_load']} of {found['usable_cores']} cores meanwhile: compare these "
        "numbers with each other, not with those of other runs."
    ]
