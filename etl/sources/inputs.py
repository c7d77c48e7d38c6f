"""What the arguments of a run name: files, the files of folders and globs, standard input."""

from __future__ import annotations

import glob
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from etl.errors import InputError, UsageError

STANDARD_INPUT = "-"


class Input(NamedTuple):
    """One input: its name as the tables show it, and where its bytes lie."""

    source: str
    path: Path


@contextmanager
def found_inputs(arguments: list[str], out: Path) -> Iterator[list[Input]]:
    """The inputs that the arguments name, each file once, in the order of the arguments, then of names.

    Standard input is kept in a nameless temporary file while the run lasts, so that a killed run leaves nothing.

    Args:
        arguments: Files, folders (read whole, but hidden files), globs, or `-`.
        out: The destination, whose files are no inputs.

    Raises:
        InputError: An argument names nothing that can be read.
        UsageError: An argument is of a kind that is not read, or standard input is named twice.
    """
    if arguments.count(STANDARD_INPUT) > 1:
        raise UsageError("Standard input ('-') is named twice.", "Name it once.")
    with tempfile.TemporaryFile() as spool:
        found: dict[Path, Input] = {}
        for argument in arguments:
            if argument == STANDARD_INPUT:
                inputs = [Input(STANDARD_INPUT, _spooled(spool))]
            else:
                inputs = _files(argument, out.resolve())
            for item in inputs:
                found.setdefault(item.path.resolve() if item.source != STANDARD_INPUT else item.path, item)
        yield list(found.values())


def _files(argument: str, out: Path) -> list[Input]:
    if "://" in argument:
        raise UsageError(
            f"{argument} is an object-store address, which is not read.", "Copy it here and name the file."
        )
    path = Path(argument)
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file() and not _is_hidden(file, path))
        files = [file for file in files if out not in file.resolve().parents]
        if not files:
            raise InputError(f"{argument} is a folder without files.", "Name another one.")
    elif path.exists():
        files = [path]
    else:
        files = sorted(Path(name) for name in glob.iglob(argument, recursive=True) if Path(name).is_file())  # noqa: PTH207
        if not files:
            raise InputError(f"{argument} does not exist.", "Check the name; quote a glob so that it arrives as it is.")
    return [Input(str(file), file) for file in files]


def _is_hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(folder).parts)


def _spooled(spool: IO[bytes]) -> Path:
    shutil.copyfileobj(sys.stdin.buffer, spool)
    spool.flush()
    for place in (Path(f"/proc/{os.getpid()}/fd/{spool.fileno()}"), Path(f"/dev/fd/{spool.fileno()}")):
        if place.exists():
            return place
    raise InputError("Standard input cannot be read twice on this system.", "Write it to a file and name the file.")
