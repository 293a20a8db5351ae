"""A real Triton server, of the package nvidia-pytriton: its core and its Python backend, without those of runtimes.

The package pins numpy below 2, so it lives in a virtual environment of its own, with `mmkg_sdk[cpu]`; its Python is
named by $MMKG_TRITON_PYTHON. .ci/run makes one.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "MMKG_TRITON_PYTHON"
ABSENT = f"no Triton server: ${VARIABLE} names no Python that has nvidia-pytriton and mmkg_sdk[cpu]"
_PLACES = "import pytriton, sys; print(list(pytriton.__path__)[0]); print('{}.{}'.format(*sys.version_info))"


def has_server() -> bool:
    return VARIABLE in os.environ


@contextmanager
def running_server(repository: Path, folder: Path) -> Iterator[str]:
    """Address of gRPC of a server of some models.

    Args:
        folder: where it finds its backends, and writes `log`.
    """
    python = Path(os.environ[VARIABLE])
    done = subprocess.run([python, "-c", _PLACES], capture_output=True, text=True, check=True)
    package, version = done.stdout.split()
    server = Path(package) / "tritonserver"
    backends = folder / "backends"
    shutil.copytree(server / "backends" / "python", backends / "python")
    shutil.copy2(server / "python_backend_stubs" / version / "triton_python_backend_stub", backends / "python")
    ports = [free_port() for _ in range(2)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | {
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        "LD_LIBRARY_PATH": str(Path(package).parent / "nvidia_pytriton.libs"),
        "VIRTUAL_ENV": str(python.parent.parent),
    }
    command = [server / "bin" / "tritonserver", f"--model-repository={repository}", f"--backend-directory={backends}"]
    command += [f"--http-port={ports[0]}", f"--grpc-port={ports[1]}", "--allow-metrics=false", "--exit-timeout-secs=5"]
    command += ["--http-address=127.0.0.1", "--grpc-address=127.0.0.1", "--exit-on-error=false"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*map(str, command)], env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait(process, ports[1], folder / "log")
        yield f"127.0.0.1:{ports[1]}"
    finally:
        process.terminate()
        process.wait(30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    for _ in range(600):
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise AssertionError(log.read_text(errors="replace")[-6000:])
