"""Finds the inputs that arguments name: files, folders, globs, archive members, stored objects, standard input."""

from __future__ import annotations

import io
import os
import select
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, NamedTuple

from etl.errors import InputError, MissingInputError, UsageError
from etl.sources.storage.archives import members_of
from etl.sources.storage.folders import (
    FILE,
    FOLDER,
    PIPE,
    PassedOver,
    display_name,
    files_below,
    files_matching,
    named_kind,
    unreadable,
)
from etl.sources.storage.locations import Identity, Location, Slice, TarMember, ZipMember, size_of
from etl.sources.storage.object_stores import find_objects
from etl.sources.storage.store_paths import Folder
from etl.sources.storage.unnamed_files import UnnamedFiles, path_of

STANDARD_INPUT = "-"

#: Paths that begin so lead to another file in each process.
_OF_THE_PROCESS: Final = ("/dev/stdin", "/dev/fd/", "/proc/")


_PIPE_BYTES: Final = 1 << 20
_PIPE_MILLISECONDS: Final = 200


class Input(NamedTuple):
    """One input.

    Attributes:
        source: Its name as the tables show it.
        path: The location of its bytes.
        is_found: Whether it was found in a folder or an archive, under a prefix or by a pattern, and not named.
        is_spooled: Whether it is a copy of what came through a pipe.
        archive: The identity of the archive that holds it, from before its members were listed.
    """

    source: str
    path: Location
    is_found: bool = False
    is_spooled: bool = False
    archive: Identity | None = None


class FoundInputs(NamedTuple):
    """The inputs that arguments name, and what was found beside them and is not read."""

    inputs: list[Input]
    passed_over: list[PassedOver]


@contextmanager
def found_inputs(arguments: list[str], out: Folder) -> Iterator[FoundInputs]:
    """Finds the inputs that arguments name. Each file appears once; the order is that of arguments, then of names.

    Standard input, pipes and compressed tar archives are copied to unnamed temporary files for the duration of the
    context, so a killed run leaves no files behind.

    Args:
        arguments: Files, folders (searched recursively, without hidden files), globs, object-store addresses, or `-`.
        out: The output folder. Files in it are not inputs of a folder argument.

    Raises:
        InputError: An argument names nothing that can be read.
        UsageError: An object-store address cannot be used, or a pipe is named twice.
    """
    with UnnamedFiles() as files:
        finder = _Finder(files, out.resolve() if isinstance(out, Path) else Path(os.devnull))
        found: dict[Location, Input] = {}
        for argument in arguments:
            for item in finder.find(argument):
                for member in finder.expand(item):
                    known = found.setdefault(_identity(member), member)
                    found[_identity(member)] = known._replace(is_found=known.is_found and member.is_found)
        yield FoundInputs(list(found.values()), list(dict.fromkeys(finder.passed_over)))


def is_missing(argument: str) -> bool:
    """Returns whether an argument is plainly the name of a file that does not exist: no glob, address or `-`."""
    is_name = argument != STANDARD_INPUT and "://" not in argument and not set("*?[") & set(argument)
    return is_name and not os.path.lexists(argument)


def is_shared(location: Location) -> bool:
    """Whether another machine that sees the same storage can open a location: no pipe or temporary file holds it."""
    while isinstance(location, (Slice, TarMember, ZipMember)):
        location = location.whole if isinstance(location, Slice) else location.archive
    return not (isinstance(location, Path) and str(location).startswith(_OF_THE_PROCESS))


def stored_bytes(inputs: list[Input]) -> int:
    """Returns the size of inputs as they are stored.

    Raises:
        InputError: An input is not there any more.
    """
    total = 0
    for item in inputs:
        try:
            total += size_of(item.path)
        except OSError as error:
            raise unreadable(Path(item.source), error) from error
    return total


class _Finder:
    """Finds what arguments name.

    Attributes:
        passed_over: What was found and is not read.
    """

    def __init__(self, files: UnnamedFiles, out: Path) -> None:
        self.passed_over: list[PassedOver] = []
        self._files, self._out = files, out
        self._pipes: set[tuple[int, int]] = set()

    def find(self, argument: str) -> list[Input]:
        """Finds the inputs that one argument names; archives are not opened yet."""
        if argument == STANDARD_INPUT:
            if sys.stdin is None:
                raise InputError("Standard input is closed.", "Write the input to a file and name the file.")
            self._claim(argument, os.fstat(0))
            return [Input(argument, self._spool(sys.stdin.buffer, _copy_pipe), is_spooled=True)]
        if "://" in argument:
            objects = [Input(f"{item.store}/{item.path}", item) for item in find_objects(argument)]
            return [item._replace(is_found=item.source != argument) for item in objects]
        path = Path(argument)
        kind = named_kind(path)
        if kind == PIPE or (kind == FILE and str(path.absolute()).startswith(_OF_THE_PROCESS)):
            return [self._read_pipe(path)]
        if kind == FOLDER:
            files, passed_over = files_below(path, self._out)
        elif kind is None:
            files, passed_over = files_matching(argument)
        else:
            files, passed_over = [path], []
        if kind not in (FILE, FOLDER, None):
            raise InputError(f"{display_name(path)} is {kind}.", "Name a file or a folder; - is standard input.")
        self.passed_over += passed_over
        if not files:
            raise MissingInputError(
                f"{argument} does not exist.", "Check the name; quote a glob so that the shell keeps it."
            )
        return [Input(display_name(file), file.absolute(), is_found=file != path) for file in files]

    def expand(self, item: Input) -> list[Input]:
        """Returns the members of an archive as inputs, or the input itself if it is not an archive."""
        archive = members_of(item.path, item.source, self._spool)
        if archive is None:
            return [item]
        self.passed_over += archive.passed_over
        return [
            Input(f"{item.source}/{name}", place, is_found=True, archive=archive.identity)
            for name, place in archive.members
        ]

    def _read_pipe(self, path: Path) -> Input:
        """Copies what comes through a pipe that has a path. Waits for whoever writes, until a signal comes."""
        try:
            self._claim(display_name(path), path.stat())
            with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as stream:
                return Input(display_name(path), self._spool(stream, _copy_pipe), is_spooled=True)
        except OSError as error:
            raise unreadable(path, error) from error

    def _claim(self, source: str, pipe: os.stat_result) -> None:
        """Notes that a pipe is read.

        Raises:
            UsageError: The pipe is named twice.
        """
        if (pipe.st_dev, pipe.st_ino) in self._pipes:
            raise UsageError(f"{source} is named twice, but a pipe can be read once.", "Name it once.")
        self._pipes.add((pipe.st_dev, pipe.st_ino))

    def _spool(self, stream: IO[bytes], copy: Callable[[IO[bytes], IO[bytes]], None] = shutil.copyfileobj) -> Path:
        """Copies a stream to an unnamed temporary file, and returns a path by which other processes can open it.

        The file lives until `files` is closed.
        """
        spool = self._files.make()
        copy(stream, spool)
        spool.flush()
        return path_of(spool)


def _copy_pipe(pipe: IO[bytes], spool: IO[bytes]) -> None:
    """Copies what comes through a pipe. Waits in short turns, because a signal is handled between two of them."""
    try:
        descriptor = pipe.fileno()
    except io.UnsupportedOperation:  # a caller's own standard input, in memory
        shutil.copyfileobj(pipe, spool)
        return
    ready = select.poll()
    ready.register(descriptor, select.POLLIN)
    while True:
        block = os.read(descriptor, _PIPE_BYTES) if ready.poll(_PIPE_MILLISECONDS) else None
        if block == b"":
            return
        spool.write(block or b"")


def _identity(item: Input) -> Location:
    """Returns the same value for inputs that are the same file: the resolved path, or the location."""
    is_file = isinstance(item.path, Path) and not item.is_spooled
    return item.path.resolve() if is_file else item.path  # type: ignore[union-attr]
