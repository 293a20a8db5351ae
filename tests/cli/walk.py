"""Every command line that the click tree has, with everything wrong that a place can be.

Nothing here knows a command by name: a new command or option is walked by being registered. Run as a program it walks
without the test tools, so also without the extras: python -m tests.cli.walk PLACE...
"""

from __future__ import annotations

import io
import json
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from mmkg_sdk.cli.asking import OneQuery
from mmkg_sdk.cli.group import cli
from mmkg_sdk.cli.main import main

# Texts that name a data set, a folder or a file, although click does not know.
PLACES = {"source", "data"}
# Enough for a command to begin. The others take what click says of them: a choice, the least of a range, a text.
SMALL = {"seconds": "0.01", "rows": "10", "batches": "1", "token_counts": "4", "limit_s": "0.01", "text_tokens": "4"}
# Commands that need nothing and then work for a minute: only what is said of a wrong option is walked.
ALONE = {"quickstart", "bench race", "bench study actors", "bench study serving", "serve"}
TEXT = "Łódź, a “name”"


@dataclass(frozen=True)
class Outcome:
    """What a command did: exit code, what it printed, and the error that nobody foresaw."""

    arguments: list[str]
    code: int
    out: str
    err: str
    traceback: str

    def wrong(self) -> str:
        """What is wrong with it, or nothing."""
        if self.traceback or "Traceback" in self.err:
            return self.traceback or self.err
        if self.code not in (0, 1, 2):
            return f"exit code {self.code}"
        if "--json" in self.arguments:
            return self._wrong_json()
        return "" if self.code == 0 or "rror: " in self.err else f"exit code {self.code} without a word"

    def _wrong_json(self) -> str:
        try:
            if self.code == 0:
                json.loads(self.out)
                return ""
            error = json.loads(self.err.splitlines()[-1])["error"]
            return "" if error["type"] and error["message"] else f"an empty error {error}"
        except (ValueError, LookupError, TypeError) as err:
            return f"not JSON ({err}): {self.out[-200:]!r}, {self.err[-200:]!r}"


def call(*arguments: str | Path, encoding: str = "utf-8") -> Outcome:
    """Run the command line in this process, with streams of an encoding."""
    words = [str(argument) for argument in arguments]
    with _streams(words, encoding) as (out, err):
        code, found = 0, ""
        try:
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        except BaseException:
            found = traceback.format_exc()
        sys.stdout.flush()
        sys.stderr.flush()
    # Whatever the encoding, click writes UTF-8 where it is ASCII.
    decoded = [stream.getvalue().decode("utf-8" if encoding == "ascii" else encoding) for stream in (out, err)]
    if "Interrupted" in decoded[1]:
        raise KeyboardInterrupt  # of who walks
    return Outcome(words, code, *decoded, traceback=found)


@contextmanager
def _streams(words: list[str], encoding: str) -> Iterator[tuple[io.BytesIO, io.BytesIO]]:
    before = sys.argv, sys.stdout, sys.stderr, warnings.showwarning
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    out, err = io.BytesIO(), io.BytesIO()
    sys.argv = ["mmkg-sdk", *words]
    sys.stdout = io.TextIOWrapper(out, encoding=encoding)
    sys.stderr = io.TextIOWrapper(err, encoding=encoding, errors="backslashreplace")
    try:
        with warnings.catch_warnings():
            yield out, err
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.detach()
        sys.argv, sys.stdout, sys.stderr, warnings.showwarning = before
        for number, handler in handlers.items():
            signal.signal(number, handler)


def commands(group: click.Group = cli, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that is no group, with the words that call it."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))
        else:
            yield (*words, name), command


def is_place(parameter: click.Parameter) -> bool:
    return isinstance(parameter.type, click.Path) or parameter.name in PLACES


def invocations(command: click.Command, place: Path) -> Iterator[list[str]]:
    """Arguments of a command that is to work on a place: what it needs, then every option of it in turn.

    What it writes goes below the place, or below a file where that is none.
    """
    needed: list[str] = []
    without_query: list[str] = []
    for parameter in command.params:
        small = parameter.name in SMALL and parameter.name != "text_tokens"
        if isinstance(parameter, click.Argument) or parameter.required or small or parameter.name in ("out", "rounds"):
            needed += given(parameter, place)
            without_query += given(parameter, place)
        elif isinstance(parameter, OneQuery) and parameter.needed:
            needed += given(parameter, place)
    yield needed
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name not in ("json", "as_json", "out"):
            yield [*needed, *given(parameter, place)]
        if parameter.name == "queries":  # a file of them
            yield [*without_query, *given(parameter, place), "--output", str(Path(__file__) / "below-a-file.csv")]
            yield [*without_query, *given(parameter, place), "--output", str(place)]


def given(parameter: click.Parameter, place: Path) -> list[str]:
    """A parameter with a value; the name first if it has one."""
    name = [parameter.opts[-1]] if isinstance(parameter, click.Option) else []
    if isinstance(parameter, click.Option) and parameter.is_flag:
        return name
    if parameter.name == "out":
        return [*name, str(Path(__file__) / "below-a-file")]
    if is_place(parameter):
        return [*name, str(place)]
    return [*name, SMALL.get(parameter.name or "", _value(parameter.type))]


def _value(kind: click.ParamType) -> str:
    if isinstance(kind, click.Choice):
        return str(kind.choices[0])
    if isinstance(kind, (click.IntRange, click.FloatRange)):
        return str(kind.min or 1)
    return "1" if kind in (click.INT, click.FLOAT) else TEXT


def walk(place: Path) -> Iterator[Outcome]:
    """Every command on a place; with --json where it is all that it needs."""
    for words, command in commands():
        yield call(*words, "--no-such-option", "--json")
        if " ".join(words) in ALONE:
            continue
        for number, arguments in enumerate(invocations(command, place)):
            yield call(*words, *arguments)
            if not number:
                yield call(*words, *arguments, "--json")


if __name__ == "__main__":
    print(json.dumps([outcome.__dict__ for place in sys.argv[1:] for outcome in walk(Path(place))]))
