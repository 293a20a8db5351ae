"""Parts: the answers of some rows each, kept in a folder beside the file that is to be made of them.

The folder is `.NAME.parts`. `work.json` in it says what is being done: a run that was interrupted goes on where it
stopped if it is the same, and is refused if it is not. A part appears whole, so a kill costs the rows of one.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..files.atomic import shortage, sync_folder, write_atomically
from .tables import merged, write_table

_WORK, _SUFFIX = "work.json", ".arrow"
# What the schema of a part says of it.
_SAID = b"mmkg_sdk"


@dataclass(frozen=True)
class Counts:
    """What parts hold: rows of queries, those of them that are bad, and rows of answers."""

    rows: int = 0
    bad: int = 0
    answers: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.rows + other.rows, self.bad + other.bad, self.answers + other.answers)


@dataclass(frozen=True)
class Parts:
    """The folder, for who holds the lock of the file. Use `Parts.open`."""

    folder: Path

    @classmethod
    def open(cls, output: Path, work: Mapping[str, Any], *, overwrite: bool) -> Parts:
        """The parts of this work, or a new folder for them.

        Raises:
            DataError: parts of other work lie there and `overwrite` is false, or there can be no folder.
        """
        parts, work = cls(parts_folder(output)), json.loads(json.dumps(work))
        try:
            begun = parts._begun()
            if begun is not None and begun != work:
                if not overwrite:
                    raise DataError(_other_work(output, begun, work))
                begun = None
            if begun is None:
                shutil.rmtree(parts.folder, ignore_errors=True)
                parts.folder.mkdir()
                write_atomically(parts.folder / _WORK, json.dumps(work, indent=1).encode())
        except OSError as err:
            raise DataError(f"{output} could not be begun ({shortage(err, output.parent, 'some')}).") from err
        return parts

    def _begun(self) -> Any:
        """What the parts are of; None where there is nothing that could go on."""
        try:
            return json.loads((self.folder / _WORK).read_bytes())
        except (FileNotFoundError, ValueError):
            return None

    def add(self, first: int, count: int, table: Any, bad: Mapping[int, str]) -> None:
        """Keep the answers of some rows.

        Args:
            bad: by number of the row in the file the rows without an answer, with the reason.

        Raises:
            DataError: the disk does not take them.
        """
        import pyarrow

        said = {"rows": count, "answers": len(table), "bad": sorted(bad.items())}
        table = table.replace_schema_metadata({_SAID: json.dumps(said).encode()})

        def write(file: Any) -> None:
            with pyarrow.ipc.new_file(file, table.schema) as writer:
                writer.write_table(table)

        write_atomically(self.folder / f"{first:015}{_SUFFIX}", write)

    def done(self) -> Counts:
        """What is there already: the parts from the first row on without a gap."""
        found = Counts()
        for _, said in self._each():
            found += Counts(said["rows"], len(said["bad"]), said["answers"])
        return found

    def bad_rows(self) -> Iterator[tuple[int, str]]:
        """The number and the reason of every bad row, in order."""
        for _, said in self._each():
            yield from ((row, reason) for row, reason in said["bad"])

    def finish(self, output: Path, bad_rows: Path) -> None:
        """Make one file of all parts, and one of the bad rows if there are any; then the parts go.

        Raises:
            DataError: the disk does not take them; the parts stay.
        """

        def write_bad(file: Any) -> None:
            for row, reason in self.bad_rows():
                file.write(json.dumps({"row": row, "reason": reason}).encode() + b"\n")

        # They are written among the parts, so that a kill leaves nothing beside them.
        made, bad = self.folder / "answers", self.folder / "bad"
        write_atomically(made, lambda file: write_table(self._tables(), file, output.suffix))
        has_bad = next(self.bad_rows(), None) is not None
        if has_bad:
            write_atomically(bad, write_bad)
        try:
            if has_bad:
                os.replace(bad, bad_rows)
            else:
                bad_rows.unlink(missing_ok=True)
            os.replace(made, output)
            sync_folder(output.parent)
        except OSError as err:
            raise DataError(
                f"{output} could not be put in its place ({shortage(err, output.parent, 'some')})."
            ) from err
        with suppress(OSError):  # the next run of this name tries again
            shutil.rmtree(self.folder)

    def _tables(self) -> Iterator[Any]:
        """The answers, in the order of the rows, some thousand at a time."""
        return merged(_read(path).read_all().replace_schema_metadata(None) for path, _ in self._each())

    def _each(self) -> Iterator[tuple[Path, Any]]:
        """The parts in order, up to a gap, and what each says of itself."""
        expected = 0
        for path in sorted(self.folder.glob(f"*{_SUFFIX}")):
            if path.stem != f"{expected:015}":
                return
            said = json.loads(_read(path).schema.metadata[_SAID])
            yield path, said
            expected += said["rows"]


def _read(path: Path) -> Any:
    import pyarrow

    try:
        return pyarrow.ipc.open_file(pyarrow.OSFile(str(path)))
    except (pyarrow.ArrowException, OSError) as err:
        raise DataError(f"{path} is damaged ({err!s:.100}). Pass --overwrite to begin anew.") from err


def parts_folder(output: Path) -> Path:
    """Where the parts of a file lie."""
    return output.with_name(f".{output.name}.parts")


def _other_work(output: Path, begun: Any, work: Mapping[str, Any]) -> str:
    was = begun if isinstance(begun, dict) else {}
    name = next((name for name in {**work, **was} if was.get(name) != work.get(name)), "work")
    found, given = (json.dumps(one.get(name))[:100] for one in (was, work))
    return (
        f"{output} was begun with {name} {found} and now it is {given}. Repeat what was begun to go on, or pass "
        "--overwrite (overwrite=True) to begin anew."
    )
