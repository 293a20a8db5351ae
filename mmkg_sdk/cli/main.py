"""The command line: one click group; every command calls one library function and prints.

Answers go to stdout, talk to stderr. Exit codes: 0 ok, 1 failed, 2 wrong usage.
"""

from __future__ import annotations

import os
import sys

import click

from .. import __version__
from ..errors import MmkgError
from .bench.run import bench
from .commands.data import data
from .commands.env import env
from .commands.evaluate import evaluate
from .commands.export import export
from .commands.extract import extract
from .commands.import_ import import_
from .commands.inspect import inspect
from .commands.link import link
from .commands.predict import predict
from .commands.quickstart import quickstart
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
    link,
    extract,
    tag,
    bench,
    inspect,
    verify,
    env,
):
    cli.add_command(command)


def main() -> None:
    """Run the command line; errors of the SDK become one message and exit code 1."""
    # Spinning OpenMP threads (torch) made training about three times slower beside other busy processes. It must be set
    # before torch is loaded; a value that the user has set wins.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        cli.main(standalone_mode=False)
    except MmkgError as err:
        click.echo(f"Error: {err}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our stdout has gone (`| head`). Python would complain once more while it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as err:  # a full disk, a folder without permission
        click.echo(f"Error: {err.filename or 'a file'}: {err.strerror or err}", err=True)
        sys.exit(1)
    except click.ClickException as err:
        err.show()
        sys.exit(err.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
