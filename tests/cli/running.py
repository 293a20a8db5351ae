"""The command line, and what it printed."""

from __future__ import annotations

import subprocess
from pathlib import Path

from click.testing import CliRunner, Result

from mmkg_sdk.cli.group import cli

from .walk import call


def mmkg(*arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the whole command line, from `main` to its exit code, as a user's process does; but in this one."""
    done = call(*arguments)
    assert (done.code, done.traceback) == (code, ""), done.err + done.traceback
    return subprocess.CompletedProcess(done.arguments, done.code, done.out, done.err)


def ask(*arguments: str | Path, code: int = 0) -> Result:
    """Run a command without `main` around it: errors of the SDK are raised as they are."""
    done = CliRunner().invoke(cli, [*map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done
