"""What the arguments of a run name: files, folders, globs, members of archives, stored objects, standard input."""

from __future__ import annotations

import glob
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

from etl.errors import InputError, UsageError
from etl.sources.storage.archives import members_of
from etl.sources.storage.locations import Location, find_objects

STANDARD_INPUT = "-"


class Input(NamedTuple):
    """One input: its name as the tables show it, and where its bytes lie."""

    source: str
    path: Location


@contextmanager
def found_inputs(arguments: list[str], out: Path) -> Iterator[list[Input]]:
    """The inputs that the arguments name, each file once, in the order of the arguments, then of names.

    Standard input and compressed tar archives are kept in nameless temporary files while the run lasts, so that a
    killed run leaves nothing.

    Args:
        arguments: Files, folders (read whole, but hidden files), globs, addresses of object stores, or `-`.
        out: The destination, whose files are no inputs.

    Raises:
        InputError: An argument names nothing that can be read.
        UsageError: An argument is of a kind that is not read, or standard input is named twice.
    """
    if arguments.count(STANDARD_INPUT) > 1:
        raise UsageError("Standard input ('-') is named twice.", "Name it once.")
    with ExitStack() as files:
        spool = partial(_spooled, files)
        found: dict[Location, Input] = {}
        for argument in arguments:
            for item in _named(argument, out.resolve(), spool):
                for member in _opened(item, spool):
                    found.setdefault(_identity(member), member)
        yield list(found.values())


def _named(argument: str, out: Path, spool: Callable[[IO[bytes]], Path]) -> list[Input]:
    if argument == STANDARD_INPUT:
        return [Input(STANDARD_INPUT, spool(sys.stdin.buffer))]
    if "://" in argument:
        return [Input(f"{item.store}/{item.path}", item) for item in find_objects(argument)]
    return _files(argument, out)


def _opened(item: Input, spool: Callable[[IO[bytes]], Path]) -> list[Input]:
    """An archive's members, or the input itself."""
    members = members_of(item.path, item.source, spool)
    return [item] if members is None else [Input(f"{item.source}/{name}", place) for name, place in members]


def _identity(item: Input) -> Location:
    is_file = isinstance(item.path, Path) and item.source != STANDARD_INPUT
    return item.path.resolve() if is_file else item.path  # type: ignore[union-attr]


def _files(argument: str, out: Path) -> list[Input]:
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
    return [Input(_shown(file), file) for file in files]


def _shown(file: Path) -> str:
    """A file's name as text, also where its bytes are none."""
    return os.fsencode(file).decode(errors="backslashreplace")


def _is_hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(folder).parts)


def _spooled(files: ExitStack, stream: IO[bytes]) -> Path:
    """A stream kept in a nameless file, which another process can open, until the files are closed."""
    spool = files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
    shutil.copyfileobj(stream, spool)
    spool.flush()
    for place in (Path(f"/proc/{os.getpid()}/fd/{spool.fileno()}"), Path(f"/dev/fd/{spool.fileno()}")):
        if place.exists():
            return place
    raise InputError("A stream cannot be read twice on this system.", "Write it to a file and name the file.")
