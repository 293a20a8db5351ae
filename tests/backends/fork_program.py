"""python -m tests.backends.fork_program BUNDLE BACKEND: asks, forks, and prints what became of the child's questions.

The child asks the model of its parent, closes it, and does what the error says: it loads the bundle itself, or starts
a process with the 'spawn' method. Whoever runs this program limits its time.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

import mmkg_sdk
from mmkg_sdk import BackendError, Linker, Model
from mmkg_sdk.data.mentions import Mention


def answer(model: Any) -> str:
    if isinstance(model, Linker):
        return repr(model.link_mentions(Mention("Georgia", "Georgia has old wine."), 3))
    assert isinstance(model, Model)
    return repr(model.predict_tails([0, 1, 2], 0, 3, filter_known=False))


def loaded(path: str, backend: str, threads: int | None) -> str:
    with mmkg_sdk.load(path, backend, "cpu", threads=threads) as model:
        return answer(model)


def said(question: Callable[[], str]) -> str:
    try:
        return question()
    except BackendError as err:
        return str(err)


def child(model: Any, path: str, backend: str) -> dict[str, Any]:
    found = {"used": said(lambda: answer(model))}
    model.close()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found["loaded"] = said(lambda: loaded(path, backend, None))
    found["warnings"] = " ".join(str(w.message) for w in caught)
    found["loaded with 2 threads"] = said(lambda: loaded(path, backend, 2))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found["spawned"] = pool.apply(loaded, (path, backend, 2))
    return found


def main() -> None:
    path, backend = sys.argv[1:]
    os.environ["OMP_NUM_THREADS"] = "3"  # before torch is loaded, whatever the machine has
    model = mmkg_sdk.load(path, backend, "cpu")
    expected = answer(model)
    if backend == "torch":
        import torch

        torch.ones(1 << 22).exp()  # large enough that torch starts its threads
    sys.stdout.flush()
    process = os.fork()
    if not process:
        print(json.dumps(child(model, path, backend) | {"parent": expected}), flush=True)
        os._exit(0)
    assert os.waitpid(process, 0)[1] == 0
    assert answer(model) == expected  # the parent goes on


if __name__ == "__main__":
    main()
