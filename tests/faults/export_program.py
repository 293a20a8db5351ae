"""Exports that are struck down: python -m tests.faults.export_program RUN TARGET FAULT...

Each FAULT runs in a forked child, so that torch is imported once:
  kill:NAME    SIGKILL when the export begins to write the file NAME; "kill:rename" when it renames
  disk:BYTES   no file may grow beyond BYTES (RLIMIT_FSIZE: what a full disk or a quota looks like)
  none         nothing happens
Prints one line of JSON per fault: what happened and what stands at the target and beside it.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from pathlib import Path

import onnxscript  # noqa: F401  imported before the forks, for speed
import torch

from mmkg_sdk import ExportError
from mmkg_sdk.export import export_bundle
from mmkg_sdk.run import Run
from tests.traces import traced_once


def strike(fault: str, folder: Path) -> None:
    kind, _, argument = fault.partition(":")
    if kind == "disk":
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(argument), int(argument)))
    if kind == "kill":

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            path = Path(str(arguments[0])) if event in ("open", "os.rename") else None
            if path is None or folder not in path.parents:
                return
            writes = event == "open" and path.name == argument and int(str(arguments[2])) & os.O_WRONLY
            if writes or (argument == "rename" and event == "os.rename"):
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)


def export_under(fault: str, run: Run, target: Path) -> dict[str, object]:
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        strike(fault, target.parent)
        try:
            with traced_once():
                export_bundle(run, target, overwrite=True)
            message = "exported"
        except ExportError as err:
            message = f"ExportError: {err}"
        except BaseException as err:
            message = f"{type(err).__name__}: {err}"
        os.write(writer, message.encode()[:60_000])
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        message = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    beside = sorted(os.listdir(target.parent))
    inside = sorted(os.listdir(target)) if target.exists() else []
    marker = (target / "MODEL_CARD.md").read_text() if "MODEL_CARD.md" in inside else ""
    return {"fault": fault, "status": status, "message": message, "beside": beside, "inside": inside, "card": marker}


if __name__ == "__main__":
    torch.set_num_threads(1)  # a pool of threads would not survive the forks
    opened = Run.open(sys.argv[1])
    for fault in sys.argv[3:]:
        print(json.dumps(export_under(fault, opened, Path(sys.argv[2]))), flush=True)
