"""What disk a run needs, by its inputs, before it begins; and where its temporary files are."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from etl.errors import OutputError, UsageError
from etl.sources.storage.store_paths import Folder
from etl.sources.storage.surveys import Survey

#: Bytes on disk for each byte of postbacks, decompressed: of staged pieces, and of tables. Measured on logs of
#: postbacks alone with random ids: 0.9 and 0.25 for a run, 0.8 and 0.5 for a load, which keeps more.
_PIECES: Final = 0.9
_TABLES: Final = 0.5

#: The share of dumps that counts: names and quotes, which come again in each record, compress well.
_OF_DUMPS: Final = 0.6


Usual = TypeVar("Usual", Path, Folder)


class DiskNeed(NamedTuple):
    """What a run needs on a disk, named by where it is mounted, and what is free there, in bytes."""

    disk: Path
    needed: int
    free: int

    def __str__(self) -> str:
        return f"about {as_size(self.needed)} of disk; {as_size(self.free)} are free on {self.disk}"


def as_size(size: int) -> str:
    """Formats a size in the unit that a person would take.

    Examples:
        >>> as_size(1_600_000), as_size(66_000_000_000), as_size(900)
        ('1.6 MB', '66 GB', '0.9 kB')
    """
    unit, name = next((unit for unit in ((10**9, "GB"), (10**6, "MB")) if size >= unit[0]), (10**3, "kB"))
    return f"{size / unit:,.{0 if size >= 10 * unit else 1}f} {name}"


def postback_bytes(found: Survey, word: bytes) -> float:
    """Returns about how many bytes of an input are postbacks: of a log the share of lines with a word, by its samples.

    Args:
        found: The survey of the input.
        word: The word that each line of a postback holds; empty for dumps, whose records do not tell.
    """
    lines = [line for sample in found.samples for line in sample.split(b"\n")] if word else []
    whole = sum(map(len, lines))
    share = sum(len(line) for line in lines if word in line) / whole if whole else _OF_DUMPS
    return found.plain_bytes * share


def require_disk(surveys: Iterable[tuple[Survey, bytes]], pieces: Folder, tables: Folder) -> list[DiskNeed]:
    """Checks that the disks have what a run needs, and returns what it needs by file system.

    Args:
        surveys: The survey of each input, and the word by which `postback_bytes` tells its postbacks.
        pieces: The folder of staged pieces.
        tables: The folder in which tables are written.

    Raises:
        OutputError: A disk does not have it.
    """
    postbacks = sum(postback_bytes(found, word) for found, word in surveys)
    needed: dict[Path, float] = {}
    for folder, share in ((pieces, _PIECES), (tables, _TABLES)):
        if not isinstance(folder, Path):
            continue  # a store has no end
        disk = next(path for path in folder.resolve().parents if path.is_mount())
        needed[disk] = needed.get(disk, 0) + postbacks * share
    needs = [DiskNeed(disk, int(size), shutil.disk_usage(disk).free) for disk, size in needed.items()]
    for need in needs:
        if need.needed > need.free:
            raise OutputError(f"The work needs {need}.", OutputError.NEEDS_ROOM)
    return needs


@contextmanager
def temporary_files_in(tmp: Path | None) -> Iterator[None]:
    """Has this process keep its temporary files in a folder; None: where the system keeps them.

    Raises:
        UsageError: It is not a folder that can be written.
    """
    if tmp is not None and not (tmp.is_dir() and os.access(tmp, os.W_OK)):
        raise UsageError(f"--tmp {str(tmp)!r} is not a folder that can be written.", "Make the folder first.")
    before = tempfile.tempdir
    tempfile.tempdir = str(tmp) if tmp else before
    try:
        yield
    finally:
        tempfile.tempdir = before


@contextmanager
def pieces_in(tmp: Path | None, usual: Usual, locked: Folder) -> Iterator[Usual | Path]:
    """Yields the folder of the pieces of a run: the usual folder, or one in `tmp` with a name by the locked folder.

    A killed run leaves its pieces there; the next run with the same destination removes them. So no two runs at once
    may have one name: a destination in a store, which has no lock, is named by its run.
    """
    if tmp is None:
        yield usual
        return
    name = str(locked.resolve() if isinstance(locked, Path) else locked)
    folder = tmp / f"postback-etl-{os.getuid()}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
