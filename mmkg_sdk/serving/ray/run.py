"""serve_bundle: the deployment on a Ray of its own, or on a cluster, until somebody stops it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

from ...errors import BackendError, missing_package
from .service import Limits, application

# Seconds in which Serve's proxy must be up, or Serve kills it and at last gives up. Its own 5 are too few where the
# processors are busy.
_PROXY_READY = ("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", "120")


def serve_bundle(
    path: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    replicas: int = 1,
    limits: Limits | None = None,
    threads: int | None = None,
    address: str | None = None,
    ready: Callable[[str], None] = lambda message: None,
) -> None:
    """Answer queries over HTTP until the process is interrupted; then the deployment is taken down.

    Args:
        path, replicas, limits, threads: see `application`.
        host, port: where Ray Serve's proxy listens.
        address: of a Ray cluster; None starts a Ray on this machine, which ends with the call.
        ready: is told when it answers.

    Raises:
        BundleError: see `application`.
        BackendError: Ray Serve is not installed, or did not start.
    """
    served = application(path, replicas=replicas, limits=limits, threads=threads)
    try:
        import ray
        from ray import serve
    except ImportError as err:
        raise missing_package("ray", "ray", "serving") from err
    stops = signal.getsignal(signal.SIGTERM)
    cpus = None if address else replicas * (threads or 1) + 1  # the proxy's, and Serve's own
    if address is None:
        os.environ.setdefault(*_PROXY_READY)  # its processes inherit it
    ray.init(address, num_cpus=cpus, include_dashboard=None if address else False, log_to_driver=False)
    try:
        serve.start(http_options={"host": host, "port": port})
        serve.run(served, name="mmkg-sdk")
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, stops)  # Ray has put its own there, which ends the process at once
        ready(f"{path} answers at http://{host}:{port}/ (health: /-/healthz). Ctrl-C ends it.")
        threading.Event().wait()
    except RuntimeError as err:
        raise BackendError(f"Ray Serve did not start ({err}).") from err
    finally:
        serve.shutdown()
        ray.shutdown()
