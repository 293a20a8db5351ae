"""RayShards: each shard of a table in an actor, on whatever machine has its folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...backends.segments import Call
from ...bundle import Bundle
from ...bundle.parts import Part
from ...errors import BackendError, missing_package
from ..shards import check_one_cut, open_shard, part_of


class _ShardActor:
    """One shard, as an actor has it."""

    def __init__(self, path: str, number: int, backend: str, threads: int | None) -> None:
        self._shard = open_shard(path, number, backend=backend, threads=threads)

    def part(self) -> Part:
        return self._shard.part

    def ask(self, asked: str, *arguments: Any) -> Any:
        return getattr(self._shard, asked)(*arguments)


class RayShards:
    """All shards of a sharded bundle in actors of Ray; the answers are merged as those of threads are.

        ray.init()
        model = load_sharded("sharded", shards=RayShards)

    Use it where `ray.init` was called.

    Args:
        front: of the sharded bundle, opened; its folder's name is where every actor finds its shard.
        options: from a shard's number to the options of its actor (`ray.remote`), such as `{"num_cpus": 8}` or
            `{"resources": {"shard-3": 1}}`, which leads it to the machine that has the folder.
        backend, threads: see `open_shard`.

    Raises:
        BackendError: Ray is not installed, or an actor could not begin.
        BundleError: a shard is missing, changed, or of another cut.
    """

    def __init__(
        self,
        front: Bundle,
        *,
        options: Callable[[int], Mapping[str, Any]] = lambda number: {},
        backend: str = "auto",
        threads: int | None = None,
    ) -> None:
        try:
            import ray
        except ModuleNotFoundError as err:
            raise missing_package("ray", "ray", "RayShards") from err
        self._ray, self._starts = ray, part_of(front).starts
        path = str(front.path.parent.absolute())
        self._actors = [
            ray.remote(_ShardActor).options(**options(number)).remote(path, number, backend, threads)
            for number in range(len(self._starts) - 1)
        ]
        try:
            check_one_cut(front, self._answers([actor.part.remote() for actor in self._actors]))
        except BaseException:
            self.close()
            raise

    @property
    def starts(self) -> tuple[int, ...]:
        """See Shards."""
        return self._starts

    def ask(self, calls: Sequence[Call]) -> list[Any]:
        """See Shards."""
        if not self._actors:
            raise BackendError("the shards are closed. Open the sharded bundle again.")
        return self._answers([self._actors[number].ask.remote(asked, *given) for number, asked, given in calls])

    def close(self) -> None:
        """End the actors."""
        actors, self._actors = self._actors, []
        for actor in actors:
            self._ray.kill(actor)

    def _answers(self, waiting: list[Any]) -> list[Any]:
        errors = self._ray.exceptions
        try:
            found: list[Any] = self._ray.get(waiting)
        except errors.RayTaskError as err:  # what the shard raised, in the actor
            raise err.cause from err
        except errors.RayActorError as err:
            why = getattr(err, "cause", None) or err
            raise BackendError(f"the actor of a shard has ended ({why}). Open the sharded bundle again.") from err
        return found
