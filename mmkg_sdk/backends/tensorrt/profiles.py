"""Optimization profiles: the ranges of sizes that an engine is tuned for, and which of them an input falls into.

An engine runs the shapes of its profiles and no others, and is tuned for one shape in each. By default each bucket of
the batch has a profile: one row, up to the typical number, up to the largest; the axes and their sizes are those of the
graph's spec.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from ...bundle.graph_specs import Axis, GraphSpec, TensorSpec
from ...errors import BackendError

_BUCKET = re.compile(r"[0-9]{1,10}(:[0-9]{1,10}:[0-9]{1,10})?", re.ASCII)
# Each one is tuned for by itself, and adds its kernels to the engine.
_MOST_PROFILES = 16


@dataclass(frozen=True)
class Range:
    """Sizes of one axis: from `least` to `most`, tuned for `tuned`."""

    least: int
    tuned: int
    most: int

    def __str__(self) -> str:
        return f"{self.least}:{self.tuned}:{self.most}"

    def __contains__(self, size: int) -> bool:
        return self.least <= size <= self.most


# Axis -> its sizes.
Profile = Mapping[str, Range]
Buckets = Mapping[str, tuple[Range, ...]]


def parse_buckets(texts: Iterable[str]) -> Buckets:
    """What `--profile AXIS=BUCKET[,BUCKET...]` says.

    A bucket is LEAST:TUNED:MOST, or MOST alone, which begins behind the bucket before it and is tuned for MOST.

    Raises:
        BackendError: it is something else, or buckets overlap.
    """
    found: dict[str, tuple[Range, ...]] = {}
    for text in texts:
        axis, equals, listed = text.partition("=")
        if not axis or not equals or axis in found:
            raise BackendError(f"profile {text!r:.80}: expected AXIS=BUCKET[,BUCKET...], each axis once.")
        buckets: list[Range] = []
        for part in listed.split(","):
            start = buckets[-1].most + 1 if buckets else 1
            buckets.append(_bucket(text, part, start))
        found[axis] = tuple(buckets)
    return found


def _bucket(text: str, part: str, start: int) -> Range:
    if not _BUCKET.fullmatch(part):
        raise BackendError(f"profile {text!r:.80}: {part!r:.40} is no bucket; expected MOST or LEAST:TUNED:MOST.")
    numbers = [int(number) for number in part.split(":")]
    bucket = Range(start, *numbers * 2) if len(numbers) == 1 else Range(*numbers)
    if not start <= bucket.least <= bucket.tuned <= bucket.most:
        raise BackendError(
            f"profile {text!r:.80}: bucket {bucket} is not in order; expected {start} <= least <= tuned <= most."
        )
    return bucket


def profiles_for(spec: GraphSpec, buckets: Buckets) -> tuple[Profile, ...]:
    """One profile for each combination of buckets, those with small sizes first.

    Args:
        buckets: of some axes; axes that the graph does not have are left out. Of the others, the first axis along which
            a batch can be cut gets the default buckets, and the rest one that holds all their sizes.

    Raises:
        BackendError: a bucket lies outside the sizes of the graph's spec, or there are too many.
    """
    axes = spec.axes()
    batch = next(iter(spec.batch_axes()), None)
    chosen = []
    for name, axis in axes.items():
        default = _default_buckets(axis) if name == batch else (Range(axis.min, axis.typical, axis.max),)
        ranges = buckets.get(name, default)
        for one in ranges:
            if one.least < axis.min or one.most > axis.max:
                raise BackendError(
                    f"profile {name}={one}: graph {spec.name} takes {axis.min} to {axis.max:,} along {name}."
                )
        chosen.append(ranges)
    found = tuple(dict(zip(axes, ranges, strict=True)) for ranges in product(*chosen))
    if len(found) > _MOST_PROFILES:
        raise BackendError(
            f"graph {spec.name} would have {len(found)} optimization profiles, at most {_MOST_PROFILES} are built. "
            "Give fewer buckets."
        )
    return found


def _default_buckets(axis: Axis) -> tuple[Range, ...]:
    ends = sorted({axis.min, axis.typical, axis.max})
    starts = [axis.min, *(end + 1 for end in ends)]
    return tuple(Range(start, end, end) for start, end in zip(starts, ends, strict=False))


def profile_shapes(profile: Profile, tensor: TensorSpec) -> tuple[tuple[int, ...], ...]:
    """The least, the tuned and the largest shape of an input."""
    ranges = [Range(size, size, size) if isinstance(size, int) else profile[size.name] for size in tensor.shape]
    return tuple(zip(*((one.least, one.tuned, one.most) for one in ranges), strict=True)) or ((), (), ())


def profile_of(profiles: Sequence[Profile], sizes: Mapping[str, int]) -> int | None:
    """The first profile that holds these sizes."""
    for index, profile in enumerate(profiles):
        if all(size in profile[name] for name, size in sizes.items()):
            return index
    return None


def limits(profiles: Sequence[Profile]) -> str:
    """The sizes that some profile takes, for messages."""
    names = profiles[0]
    spans = {name: [(one[name].least, one[name].most) for one in profiles] for name in names}
    return ", ".join(
        f"{name} {min(least for least, _ in span):,} to {max(most for _, most in span):,}"
        for name, span in spans.items()
    )
