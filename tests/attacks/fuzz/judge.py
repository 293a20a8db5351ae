"""The child that opens changed bundles: a crash, a hang or too much memory is its own, and is reported."""

from __future__ import annotations

import multiprocessing
import resource
import traceback
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from .subjects import WAYS, Answer, ask, same

_MEMORY = 12 << 30  # of addresses; torch alone takes four
_SECONDS = 120.0


class Judge:
    """Judges one bundle at a time; starts another child when one dies."""

    def __init__(self, subjects: dict[str, Path]) -> None:
        self._subjects = subjects
        self._start()

    def outcomes(self, subject: str, folder: Path) -> dict[str, str]:
        """Way -> what came of it; see `_outcome`. A child that dies or hangs is "failed"."""
        self._pipe.send((subject, folder))
        try:
            if self._pipe.poll(_SECONDS):
                answer: dict[str, str] = self._pipe.recv()
                return answer
            reason = f"failed: no answer in {_SECONDS:.0f} s"
        except (EOFError, ConnectionError):
            self._child.join()
            reason = f"failed: the process ended with {self._child.exitcode}"
        self.close()
        self._start()
        return {"all": reason}

    def close(self) -> None:
        self._child.kill()
        self._child.join()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._child = context.Process(target=_judge, args=(other, self._subjects), daemon=True)
        self._child.start()
        other.close()


def _judge(pipe: Connection, subjects: dict[str, Path]) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    warnings.simplefilter("ignore")
    import mmkg_sdk

    expected: dict[tuple[str, str], Answer] = {}
    while True:
        subject, folder = pipe.recv()
        found = {}
        for way in WAYS:
            if (subject, way) not in expected:
                with mmkg_sdk.load(subjects[subject], way, "cpu", threads=1) as opened:
                    expected[subject, way] = ask(opened, subject)
            found[way] = _outcome(subject, folder, way, expected[subject, way])
        pipe.send(found)


def _outcome(subject: str, folder: Path, way: str, expected: Answer) -> str:
    """As "refused: ERROR", "same", "not verified" (another answer; verification says so), "different" or "failed"."""
    import mmkg_sdk
    from mmkg_sdk.answering.probes import LIMITS
    from mmkg_sdk.answering.verification import verify_bundle
    from mmkg_sdk.bundle import read_manifest

    try:
        described: Any = read_manifest(folder)
        str(described).encode()
        with mmkg_sdk.load(folder, way, "cpu", threads=1) as opened:
            precision = opened.bundle.precision
            if same(ask(opened, subject), expected, LIMITS[precision]):
                return "same"
    except mmkg_sdk.QueryError as err:  # a label or an id that is there no more
        answered = f"refused: {type(err).__name__}"
    except mmkg_sdk.MmkgError as err:
        return f"refused: {type(err).__name__}"
    except BaseException as err:
        return "failed: " + "".join(traceback.format_exception(err))[-1500:]
    else:
        answered = "different"
    try:
        if verify_bundle(folder, backend=way, device="cpu")["passed"]:
            return answered
    except mmkg_sdk.MmkgError:
        pass
    except BaseException as err:
        return "failed: verify: " + "".join(traceback.format_exception(err))[-1500:]
    return "not verified"
