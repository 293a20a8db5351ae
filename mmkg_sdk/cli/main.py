"""The command line: one click group; every command calls one library function and prints.

Answers go to stdout, talk to stderr. Exit codes: 0 ok, 1 failed or interrupted, 2 wrong usage, 3 answered but for some
rows of a file.

With --json stdout holds one JSON value or nothing, so that a pipe never takes an error for an answer. An error is then
the last line of stderr: {"error": {"type": "QueryError", "message": "..."}}. A warning is a line "Warning: ...".

Everything but the standard library is imported inside `main`, where Ctrl-C is no traceback.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import warnings
from types import FrameType
from typing import Any


def main() -> None:
    """Run the command line and exit; errors of the SDK, of the system and of use become one message."""
    # Spinning OpenMP threads (torch) made training about three times slower beside other busy processes. It must be set
    # before torch is loaded; a value that the user has set wins.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a label that the encoding lacks is escaped
            stream.reconfigure(errors="backslashreplace")
    try:
        _stop_on_signals()
        _show_warnings_as_lines()
        from .group import cli

        code = cli.main(prog_name="mmkg-sdk", standalone_mode=False)
        if sys.stdout is not None:  # it was closed before we began: `>&-`
            sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output has gone (`| head`). Python would complain once more while it flushes at exit.
        for descriptor in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
        sys.exit(1)
    except BaseException as err:
        sys.exit(_report(err))
    if code:  # of a command that has more to say than that it failed
        sys.exit(code)


def _stop_on_signals() -> None:
    """Ctrl-C and a polite `kill` raise KeyboardInterrupt: what is half written is cleaned up."""

    # A class of its own: Python ends by the signal, and not by `sys.exit`, once KeyboardInterrupt itself has left an
    # `exec`, as those of the dataclasses that are being imported.
    class Stopped(KeyboardInterrupt):
        pass

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, stop)


def _show_warnings_as_lines() -> None:
    """Each distinct warning once, as a line without a place in the source."""
    shown: set[str] = set()

    def show(
        message: Warning | str, category: Any, filename: str, lineno: int, file: Any = None, line: str | None = None
    ) -> None:
        text = " ".join(str(message).split("\n"))
        if text not in shown:
            shown.add(text)
            print(f"Warning: {text}", file=sys.stderr)

    warnings.showwarning = show
    if not sys.warnoptions:
        warnings.simplefilter("always", UserWarning)


def _report(err: BaseException) -> int:
    """Say what went wrong and return the exit code; what nobody foresaw is raised again."""
    import click

    from ..errors import MmkgError, unimportable

    code = 1
    if isinstance(err, (KeyboardInterrupt, click.Abort)):
        kind = message = "Interrupted"
    elif isinstance(err, click.ClickException):
        kind, message, code = "UsageError", err.format_message(), err.exit_code
    elif isinstance(err, MmkgError):
        kind, message = type(err).__name__, str(err)
    elif isinstance(err, ImportError) and (missing := unimportable(err, "this command")):
        kind, message = type(missing).__name__, str(missing)
    elif isinstance(err, OSError):  # a folder without permission, a full disk behind stdout
        kind, message = "OSError", f"{err.filename}: {err.strerror}" if err.filename else str(err)
    else:
        raise err
    if "--json" in sys.argv[1:]:
        print(json.dumps({"error": {"type": kind, "message": message}}), file=sys.stderr)
    elif isinstance(err, click.ClickException):
        err.show()
    else:
        print("Interrupted." if kind == message else f"Error: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
