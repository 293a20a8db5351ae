"""Service: a bundle as a deployment of Ray Serve: JSON over HTTP, queries that meet are answered together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...answering.entity_linking import Linker
from ...answering.ids import checked_k, to_ids
from ...answering.link_prediction import Model
from ...answering.opening import load
from ...bundle import Bundle
from ...data.mentions import Mention
from ...errors import BackendError, BundleError, QueryError, missing_package
from ...files.strict_json import plain_json
from ...registry import ENTITY_LINKING, LINK_PREDICTION

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_MOST_BYTES = 1 << 16  # of a query


@dataclass(frozen=True)
class Limits:
    """How queries are put together, and how many may wait.

    Attributes:
        batch: queries that are answered together, at most.
        wait_ms: how long the first of them waits for others.
        ongoing: queries that a replica has, those of the batch that is answered included; at least `batch`.
        queued: queries that wait for a replica. One more is answered with status 503.
    """

    batch: int = 64
    wait_ms: float = 2.0
    ongoing: int = 128
    queued: int = 128

    def __post_init__(self) -> None:
        if not 1 <= self.batch <= self.ongoing or self.queued < 1 or not 0 <= self.wait_ms <= 60_000:
            raise QueryError(
                f"{self}; expected a batch of 1 to `ongoing`, at least 1 queued query, and 0 to 60,000 ms of waiting."
            )


# What one call of a model answers: queries of one kind, with the same options.
Key = tuple[Any, ...]


class Service:
    """What each replica of the deployment is: a link prediction or entity linking bundle, opened once.

    `POST /` takes one query as a JSON object, and answers with what `Ranking.to_json` or `Link.to_json` gives:

        {"head": "Norway", "relation": "capital", "k": 3}
        {"relation": "capital", "tail": "Oslo", "filter_known": false}
        {"mention": "Jordan", "sentence": "Jordan is a river."}

    Labels or ids. Images of mentions are not taken: a path would be one of the server. A query that is wrong has status
    400 and `{"error": {"type": ..., "message": ...}}`.
    """

    def __init__(self, path: str, limits: Limits, threads: int | None) -> None:
        from ray import serve

        opened = load(path, device="cpu", threads=threads)
        if not isinstance(opened, Model | Linker):
            raise _other_task(opened.bundle)
        self._opened = opened

        async def together(asked: list[tuple[Key, Any]]) -> list[dict[str, Any]]:
            return await asyncio.to_thread(self._answers, asked)

        batched = serve.batch(max_batch_size=limits.batch, batch_wait_timeout_s=limits.wait_ms / 1000)
        self._together: Callable[[tuple[Key, Any]], Any] = batched(together)

    async def __call__(self, request: Request) -> Response:
        """The answer of one query."""
        from starlette.responses import JSONResponse

        if request.url.path != "/":
            return JSONResponse(_error("NotFound", f"{request.url.path:.80}; queries go to /."), 404)
        if request.method != "POST":
            return JSONResponse(_error("MethodNotAllowed", "a query is posted."), 405, {"Allow": "POST"})
        try:
            asked = self._checked(await _body(request))
            return JSONResponse(await self._together(asked))
        except QueryError as err:
            return JSONResponse(_error("QueryError", str(err)), 400)
        except BackendError as err:
            return JSONResponse(_error("BackendError", str(err)), 500)

    def check_health(self) -> None:
        """Ask something; Ray Serve replaces a replica whose answer is an error."""
        if isinstance(self._opened, Model):
            self._opened.predict_tails(0, 0, 1)

    def _checked(self, body: bytes) -> tuple[Key, Any]:
        """A query, and what must be equal in queries that one call answers; nothing of it is asked yet."""
        try:
            given = plain_json(body)
        except (ValueError, RecursionError) as err:
            raise QueryError(f"the body is no JSON ({err}).") from err
        if not isinstance(given, dict):
            raise QueryError(f"the body is {type(given).__name__}; expected a JSON object.")
        linking = isinstance(self._opened, Linker)
        names = {"mention", "sentence", "k"} if linking else {"head", "relation", "tail", "k", "filter_known"}
        if odd := sorted(set(given) - names):
            raise QueryError(f"a query has {odd[0]!r:.60}; expected {', '.join(sorted(names))}.")
        k = checked_k(given.get("k", 5 if linking else 10))
        if isinstance(self._opened, Linker):
            mention, sentence = given.get("mention"), given.get("sentence", "")
            if not isinstance(mention, str) or not isinstance(sentence, str) or not mention:
                raise QueryError("mention and sentence are texts, and a mention is not empty.")
            return (k,), Mention(mention, sentence)
        return self._checked_triple(self._opened, given, k)

    @staticmethod
    def _checked_triple(model: Model, given: dict[str, Any], k: int) -> tuple[Key, Any]:
        known = given.get("filter_known")
        if known is not None and not isinstance(known, bool):
            raise QueryError(f"filter_known is {known!r:.60}; expected true, false or null.")
        head, tail = given.get("head"), given.get("tail")
        if (head is None) == (tail is None) or given.get("relation") is None:
            raise QueryError("expected a relation, and either head or tail.")
        ids = []
        for name, value, labels in (
            ("entity", tail if head is None else head, model.entities),
            ("relation", given["relation"], model.relations),
        ):
            if not isinstance(value, str | int) or isinstance(value, bool):
                raise QueryError(f"{name} is {value!r:.60}; expected a label or an id.")
            ids.append(int(to_ids(value, labels)[0]))
        return (head is None, k, known), ids

    def _answers(self, asked: list[tuple[Key, Any]]) -> list[dict[str, Any]]:
        """The answers of all; one call for each kind of query."""
        found: list[dict[str, Any]] = [{}] * len(asked)
        for key in dict.fromkeys(key for key, _ in asked):
            rows = [row for row, (other, _) in enumerate(asked) if other == key]
            for row, answer in zip(rows, self._answered(key, [asked[row][1] for row in rows]), strict=True):
                found[row] = answer.to_json()
        return found

    def _answered(self, key: Key, queries: list[Any]) -> Any:
        if isinstance(self._opened, Linker):
            return self._opened.link_mentions(queries, *key)
        heads, k, known = key
        entities, relations = np.array(queries, np.int64).T
        if heads:
            return self._opened.predict_heads(relations, entities, k, filter_known=known)
        return self._opened.predict_tails(entities, relations, k, filter_known=known)


def application(
    path: str | Path, *, replicas: int = 1, limits: Limits | None = None, threads: int | None = None
) -> Any:
    """The application of Ray Serve that answers from a bundle: for `ray.serve.run`, or in a Serve config file.

    Args:
        path: of the bundle, on every machine.
        replicas: processes, each with the bundle open; the files are memory maps.
        limits: see Limits; None takes its defaults.
        threads: CPU threads of a replica, for which Ray sets CPUs apart; None: 1.

    Raises:
        BundleError: the bundle is not as it should be, or for another task.
        BackendError: Ray Serve is not installed.
    """
    bundle = Bundle.open(path)
    if bundle.config.task not in (LINK_PREDICTION, ENTITY_LINKING):
        raise _other_task(bundle)
    limits = limits or Limits()
    try:
        from ray import serve
    except ImportError as err:
        raise missing_package("ray", "ray", "serving") from err
    deployment = serve.deployment(
        name="bundle",
        num_replicas=replicas,
        max_ongoing_requests=limits.ongoing,
        max_queued_requests=limits.queued,
        ray_actor_options={"num_cpus": threads or 1},
    )
    return deployment(Service).bind(str(bundle.path.absolute()), limits, threads or 1)


async def _body(request: Request) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MOST_BYTES:
            raise QueryError(f"the body has more than {_MOST_BYTES >> 10} KiB; one query has less.")
    return body


def _error(kind: str, message: str) -> dict[str, Any]:
    return {"error": {"type": kind, "message": message}}


def _other_task(bundle: Bundle) -> BundleError:
    return BundleError(
        f"{bundle.path} is for {bundle.config.task}; what is served is link prediction and entity linking."
    )
