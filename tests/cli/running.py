"""The command line in its own process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner, Result

from mmkg_sdk.cli.group import cli


def mmkg(*arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the command line in its own process, as a user does."""
    command = [sys.executable, "-m", "mmkg_sdk.cli.main", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, done.stderr
    return done


def ask(*arguments: str | Path, code: int = 0) -> Result:
    """Run the command line in this process, which is faster; errors of the SDK are raised as they are."""
    done = CliRunner().invoke(cli, [*map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done
