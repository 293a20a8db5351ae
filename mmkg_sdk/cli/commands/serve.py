"""mmkg-sdk serve."""

from __future__ import annotations

from pathlib import Path

import click

from ..options import bundle_argument, say


@click.command()
@bundle_argument
@click.option("--host", default="127.0.0.1", help="Where to listen; 0.0.0.0 is everywhere.")
@click.option("--port", type=click.IntRange(1, 65535), default=8000, help="Where to listen.")
@click.option("--replicas", type=click.IntRange(1, 4096), default=1, help="Processes that answer.")
@click.option("--threads", type=click.IntRange(1, 1024), default=1, help="CPU threads of each of them.")
@click.option("--batch", type=click.IntRange(1, 4096), default=64, help="Most queries that are answered together.")
@click.option("--wait-ms", type=click.FloatRange(0, 60_000), default=2.0, help="How long a query waits for others.")
@click.option("--ongoing", type=click.IntRange(1), default=128, help="Most queries that a replica has.")
@click.option("--queued", type=click.IntRange(1), default=128, help="Most queries that wait; one more gets status 503.")
@click.option("--address", help="Of a Ray cluster, or auto. Default: a Ray of this machine's, which ends with this.")
def serve(
    bundle: Path,
    host: str,
    port: int,
    replicas: int,
    threads: int,
    batch: int,
    wait_ms: float,
    ongoing: int,
    queued: int,
    address: str | None,
) -> None:
    """Answer queries over HTTP on Ray Serve, until Ctrl-C. POST / takes one query as JSON; /-/healthz is the health."""
    from ...serving.ray.run import serve_bundle
    from ...serving.ray.service import Limits

    serve_bundle(
        bundle,
        host=host,
        port=port,
        replicas=replicas,
        limits=Limits(batch, wait_ms, ongoing, queued),
        threads=threads,
        address=address,
        ready=say,
    )
