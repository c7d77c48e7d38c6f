"""Finds the inputs that arguments name: files, folders, globs, archive members, stored objects, standard input."""

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
from etl.sources.storage.locations import Location
from etl.sources.storage.object_stores import find_objects

STANDARD_INPUT = "-"


class Input(NamedTuple):
    """One input.

    Attributes:
        source: Its name as the tables show it.
        path: The location of its bytes.
        is_found: Whether it was found in a folder or an archive, under a prefix or by a pattern, and not named.
    """

    source: str
    path: Location
    is_found: bool = False


@contextmanager
def found_inputs(arguments: list[str], out: Path) -> Iterator[list[Input]]:
    """Finds the inputs that arguments name. Each file appears once; the order is that of arguments, then of names.

    Standard input and compressed tar archives are copied to unnamed temporary files for the duration of the context,
    so a killed run leaves no files behind.

    Args:
        arguments: Files, folders (searched recursively, without hidden files), globs, object-store addresses, or `-`.
        out: The output folder. Files in it are not inputs of a folder argument.

    Raises:
        InputError: An argument names nothing that can be read.
        UsageError: An object-store address cannot be used, or standard input is named twice.
    """
    if arguments.count(STANDARD_INPUT) > 1:
        raise UsageError("Standard input ('-') is named twice.", "Name it once.")
    with ExitStack() as files:
        spool = partial(_spool, files)
        found: dict[Location, Input] = {}
        for argument in arguments:
            for item in _find_named(argument, out.resolve(), spool):
                for member in _expand_archive(item, spool):
                    known = found.setdefault(_identity(member), member)
                    found[_identity(member)] = known._replace(is_found=known.is_found and member.is_found)
        yield list(found.values())


def _find_named(argument: str, out: Path, spool: Callable[[IO[bytes]], Path]) -> list[Input]:
    """Finds the inputs that one argument names; archives are not opened yet."""
    if argument == STANDARD_INPUT:
        return [Input(STANDARD_INPUT, spool(sys.stdin.buffer))]
    if "://" in argument:
        objects = [Input(f"{item.store}/{item.path}", item) for item in find_objects(argument)]
        return [item._replace(is_found=item.source != argument) for item in objects]
    return _find_files(argument, out)


def _expand_archive(item: Input, spool: Callable[[IO[bytes]], Path]) -> list[Input]:
    """Returns the members of an archive as inputs, or the input itself if it is not an archive."""
    members = members_of(item.path, item.source, spool)
    return (
        [item] if members is None else [Input(f"{item.source}/{name}", place, is_found=True) for name, place in members]
    )


def _identity(item: Input) -> Location:
    """Returns the same value for inputs that are the same file: the resolved path, or the location."""
    is_file = isinstance(item.path, Path) and item.source != STANDARD_INPUT
    return item.path.resolve() if is_file else item.path  # type: ignore[union-attr]


def _find_files(argument: str, out: Path) -> list[Input]:
    """Finds the files that a file name, a folder or a glob names, sorted by path."""
    path = Path(argument)
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file() and not _is_hidden(file, path))
        files = [file for file in files if out not in file.resolve().parents]
        if not files:
            raise InputError(f"{argument} is a folder without files.", "Name another folder.")
    elif path.exists():
        files = [path]
    else:
        files = sorted(Path(name) for name in glob.iglob(argument, recursive=True) if Path(name).is_file())  # noqa: PTH207
        if not files:
            raise InputError(f"{argument} does not exist.", "Check the name; quote a glob so that the shell keeps it.")
    return [Input(_display_name(file), file, is_found=file != path) for file in files]


def _display_name(file: Path) -> str:
    """Returns a file's path as text, with escapes for bytes that are not valid UTF-8."""
    return os.fsencode(file).decode(errors="backslashreplace")


def _is_hidden(file: Path, folder: Path) -> bool:
    """Whether a file, or a folder above it within `folder`, has a name that begins with a dot."""
    return any(part.startswith(".") for part in file.relative_to(folder).parts)


def _spool(files: ExitStack, stream: IO[bytes]) -> Path:
    """Copies a stream to an unnamed temporary file, and returns a path by which other processes can open it.

    The file lives until `files` is closed.
    """
    spool = files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
    shutil.copyfileobj(stream, spool)
    spool.flush()
    for place in (Path(f"/proc/{os.getpid()}/fd/{spool.fileno()}"), Path(f"/dev/fd/{spool.fileno()}")):
        if place.exists():
            return place
    raise InputError("This system cannot read a stream twice.", "Write the stream to a file and name the file.")
