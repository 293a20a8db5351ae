"""The click group of all commands. Each of them has a file in commands/ or bench/."""

from __future__ import annotations

import click

from ..version import __version__
from .bench.run import bench
from .commands.build_engine import build_engine
from .commands.bundle import bundle
from .commands.data import data
from .commands.env import env
from .commands.evaluate import evaluate
from .commands.explain import explain
from .commands.export import export
from .commands.export_triton import export_triton
from .commands.extract import extract
from .commands.fetch import fetch
from .commands.import_ import import_
from .commands.inspect import inspect
from .commands.link import link
from .commands.predict import predict
from .commands.push import push
from .commands.quickstart import quickstart
from .commands.serve import serve
from .commands.sign import sign
from .commands.tag import tag
from .commands.train import train
from .commands.verify import verify


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(__version__, prog_name="mmkg-sdk")
def cli() -> None:
    """Train or import multi-modal knowledge graph models, export them, and answer in labels."""


for command in (
    quickstart,
    data,
    train,
    import_,
    evaluate,
    export,
    predict,
    explain,
    link,
    extract,
    tag,
    serve,
    bench,
    bundle,
    build_engine,
    inspect,
    verify,
    export_triton,
    sign,
    fetch,
    push,
    env,
):
    cli.add_command(command)
