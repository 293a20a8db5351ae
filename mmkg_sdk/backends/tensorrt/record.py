"""What is kept of an engine beside it: for what it was built, how, and the hashes that tell whether it is still that.

The record is a JSON file with the SHA-256 of its own content (`seal`) and of the engine. That finds damage and
accidents; against whoever may write to the folder there is no defence but the folder's permissions (cache.py).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from ...bundle import Bundle
from ...bundle.manifest import sealed
from ...files.strict_json import plain_json
from .bindings import Flavour
from .profiles import Profile, Range

_FORMAT = 1
# What an engine of TensorRT for RTX is for if it was not told: its own list of kinds of GPUs.
ANY = "any"


class Unusable(Exception):
    """An entry of the cache cannot be taken; the message says why."""


@dataclass(frozen=True)
class Target:
    """What an engine must be, to be opened here.

    Attributes:
        graph: its name.
        content: of the graph and its weights; see `graph_content`.
        flavour, version: of the library.
        capability: compute capability of the GPU, like "9.0".
    """

    graph: str
    content: str
    flavour: Flavour
    version: str
    capability: str


@dataclass(frozen=True)
class EngineKey:
    """What an engine was built for, and how: two engines of one key are the same.

    Attributes:
        graph, content, flavour, version: see Target.
        architecture: the compute capability of the GPU that it was built on, or those that it was built for, or ANY.
        options: of BuildOptions, as JSON.
    """

    graph: str
    content: str
    flavour: str
    version: str
    architecture: str
    options: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """Stands for the key in names of files."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:24]

    def differs_from(self, wanted: EngineKey) -> str | None:
        """The first part in which it is another key, in words; None if it is not."""
        for name, value in asdict(wanted).items():
            if (found := getattr(self, name)) != value:
                return f"{name} is {found!r}, wanted {value!r}"
        return None

    def misfit(self, target: Target) -> str | None:
        """The first part that keeps its engine from being opened, in words; None if nothing does."""
        for name in ("graph", "content", "flavour"):
            if (found := getattr(self, name)) != (wanted := getattr(target, name)):
                return f"{name} is {found!r}, wanted {wanted!r}"
        older = _numbers(self.version) <= _numbers(target.version)
        if self.version != target.version and not (older and self.options["version_compatible"]):
            return f"version is {self.version}, this is {target.version}"
        if not self._runs_on(target.capability):
            return f"architecture is {self.architecture}, this GPU is {target.capability}"
        return None

    def _runs_on(self, capability: str) -> bool:
        if self.architecture == ANY or capability in self.architecture.split(","):
            return True
        return self.options["hardware"] == "ampere-plus" and _numbers(capability) >= (8, 0)


@dataclass(frozen=True)
class EngineRecord:
    """A key, and what belongs to the engine that was built for it.

    Attributes:
        size, sha256: of the engine, in bytes and hexadecimal.
        profiles: its optimization profiles, in the engine's order.
        seconds: that the build took.
        built: when, as ISO 8601 in UTC.
    """

    key: EngineKey
    size: int
    sha256: str
    profiles: tuple[Profile, ...]
    seconds: float
    built: str

    def to_bytes(self) -> bytes:
        """The file."""
        content = {
            "format": _FORMAT,
            "key": asdict(self.key),
            "engine": {"bytes": self.size, "sha256": self.sha256},
            "profiles": [{axis: asdict(one) for axis, one in profile.items()} for profile in self.profiles],
            "seconds": self.seconds,
            "built": self.built,
        }
        return json.dumps(sealed(content), indent=1).encode()

    @classmethod
    def of_bytes(cls, data: bytes) -> Self:
        """The record in a file.

        Raises:
            Unusable: it is none, was changed, or another version of the SDK wrote it.
        """
        try:
            content = plain_json(data)
            if sealed(content) != content:
                raise Unusable("its record was changed: the seal is not that of the content")
            if content["format"] != _FORMAT:
                raise Unusable(f"its record has format {content['format']!r:.20}, this mmkg_sdk reads {_FORMAT}")
            profiles = tuple({axis: Range(**one) for axis, one in entry.items()} for entry in content["profiles"])
            engine, key = content["engine"], EngineKey(**content["key"])
            return cls(key, engine["bytes"], engine["sha256"], profiles, content["seconds"], content["built"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as err:
            raise Unusable(f"its record is damaged ({type(err).__name__}: {err})") from err

    def check(self, plan: bytes) -> None:
        """Whether this is the engine.

        Raises:
            Unusable: it is cut off, or was changed.
        """
        if len(plan) != self.size:
            raise Unusable(f"the engine has {len(plan):,} bytes, its record says {self.size:,}")
        found = hashlib.sha256(plan).hexdigest()
        if found != self.sha256:
            raise Unusable(f"the engine was changed: its SHA-256 is {found}, its record says {self.sha256}")


def graph_content(bundle: Bundle, graph: str) -> str:
    """A hash of the graph and of all files that it reads weights from, as the bundle has verified them."""
    names = sorted({f"{graph}.onnx", *bundle.weight_files(graph)})
    hashes = {name: bundle.manifest["files"][name]["sha256"] for name in names}
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()


def _numbers(version: str) -> tuple[int, ...]:
    """ "10.16.1" as numbers that compare; what follows the numbers is left out."""
    return tuple(int(part) for part in version.split(".") if part.isascii() and part.isdecimal())
