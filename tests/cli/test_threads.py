"""--threads, of every command that computes."""

from __future__ import annotations

import os

import click
import pytest
from click.testing import CliRunner

from mmkg_sdk.cli.group import cli
from mmkg_sdk.cli.threads import threads_option
from mmkg_sdk.kernels import default_threads

# They neither answer, evaluate, train, export nor measure.
OTHERS = {
    "build-engine",
    "bundle",
    "compare",
    "data",
    "env",
    "export-triton",
    "fetch",
    "import",
    "inspect",
    "push",
    "shard",
    "sign",
}


def commands(group: click.Group) -> dict[str, click.Command]:
    """Those of a group and of the groups in it, by the words that call them."""
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        if name in OTHERS:
            continue
        inner = commands(command) if isinstance(command, click.Group) else {"": command}
        found |= {f"{name} {rest}".strip(): one for rest, one in inner.items()}
    return found


@pytest.mark.parametrize("name", commands(cli))
def test_every_command_that_computes_has_the_option(name: str) -> None:
    assert "--threads" in {option for parameter in commands(cli)[name].params for option in parameter.opts}


@click.command()
@threads_option
def count() -> None:
    click.echo(default_threads())


@pytest.mark.parametrize("before", [None, "2"])
def test_it_is_the_default_of_all_that_the_command_does_and_no_longer(
    before: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if before is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", before)
    assert CliRunner().invoke(count, ["--threads", "5"]).stdout == "5\n"
    assert os.environ.get("OMP_NUM_THREADS") == before


@pytest.mark.parametrize("threads", ["0", "1025", "many"])
def test_what_is_no_number_of_threads_is_wrong_usage(threads: str) -> None:
    assert CliRunner().invoke(count, ["--threads", threads]).exit_code == 2
