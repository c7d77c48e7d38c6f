"""Published whole or not at all: tables are staged beside their destination and swapped in by one system call.

Beside `DIR` lies `.DIR.staging` while a run works: a lock, staged pieces, and `new`, the folder that becomes `DIR`. A
run that finds one whose lock nobody holds removes it. What is published carries a manifest, by which a later run knows
that the folder is this tool's and may be replaced.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from etl.errors import OutputError, UsageError
from etl.schema import TABLES

MANIFEST: Final = "_postback_etl.json"


class Stage(NamedTuple):
    """Where a run works before it publishes, and what refuses a destination that is not its to replace."""

    out: Path
    folder: Path
    check: Callable[[Path], None]

    @property
    def pieces(self) -> Path:
        """What workers stage."""
        return self.folder / "pieces"

    @property
    def new(self) -> Path:
        """What becomes the destination."""
        return self.folder / "new"

    def publish(self, manifest: dict[str, Any]) -> None:
        """Makes the staged tables durable and puts them in the destination's place in one step."""
        try:
            (self.new / MANIFEST).write_bytes(orjson.dumps(manifest, option=orjson.OPT_INDENT_2) + b"\n")
            for path in [*self.new.rglob("*"), self.new]:
                sync(path)
            self.check(self.out)
            if self.out.exists():
                _exchange(self.new, self.out)
            else:
                self.new.rename(self.out)
            sync(self.out.parent)
        except OSError as error:
            raise OutputError(
                f"{self.out} cannot be published: {error.strerror}", "Make room or name another --out."
            ) from error


def check_destination(out: Path) -> None:
    """Refuses a destination that is no folder, or holds anything that this tool did not write."""
    if not out.exists() and not out.is_symlink():
        return
    hint = "Name a folder that does not exist, is empty, or holds an earlier run's tables."
    if not out.is_dir() or out.is_symlink():
        raise UsageError(f"--out {str(out)!r} is not a folder.", hint)
    entries = sorted(entry.name for entry in out.iterdir())
    if not entries:
        return
    if MANIFEST not in entries:
        raise UsageError(f"--out {str(out)!r} holds {entries[0]!r}, which this tool did not write.", hint)
    tables = {table.name for table in TABLES}
    foreign = [name for name in entries if name not in {MANIFEST, *tables}]
    foreign += [
        str(path.relative_to(out))
        for name in sorted(tables & set(entries))
        for path in sorted((out / name).iterdir())
        if not (path.name.startswith("part-") and path.suffix == ".parquet")
    ]
    if foreign:
        raise UsageError(f"--out {str(out)!r} holds {foreign[0]!r}, which this tool did not write.", hint)


@contextmanager
def staged(out: Path, check: Callable[[Path], None] = check_destination) -> Iterator[Stage]:
    """A staging folder beside the destination, held by this process alone, and removed at the end.

    Args:
        out: The destination.
        check: Refuses one that holds something else, by a UsageError.

    Raises:
        UsageError: The destination holds something that this tool did not write.
        OutputError: Another run holds the staging folder, or it cannot be made.
    """
    check(out)
    stage = Stage(out, out.parent / f".{out.name}.staging", check)
    with held(stage.folder, "--out"):
        for leftover in (stage.pieces, stage.new):
            shutil.rmtree(leftover, ignore_errors=True)
        stage.pieces.mkdir()
        yield stage


@contextmanager
def held(folder: Path, option: str) -> Iterator[None]:
    """A folder to work in, held by this process alone, and removed at the end; a killed process holds nothing.

    Args:
        folder: Made if it is not there.
        option: What names another place, for messages.

    Raises:
        OutputError: Another process holds it, or it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = _locked(folder, option)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror}", f"Name another {option}.") from error
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _locked(folder: Path, option: str) -> int:
    path = folder / "lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_current = path.exists() and os.fstat(descriptor).st_ino == path.stat().st_ino
    except BlockingIOError:
        is_current = False
    if not is_current:
        holder = os.pread(descriptor, 20, 0).decode() or "unknown"
        os.close(descriptor)
        raise OutputError(
            f"{folder} is held by another run (process {holder}).", f"Wait for it to end, or name another {option}."
        )
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor


def sync(path: Path) -> None:
    """Makes a file or a folder's entries durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2
_RENAME_SWAP: Final = 2


def _exchange(left: Path, right: Path) -> None:
    """Swaps two folders in one step, so that no moment sees neither."""
    library = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(left), os.fsencode(right)
    if sys.platform == "darwin":
        failed = library.renamex_np(*names, _RENAME_SWAP)
    else:
        failed = library.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE)
    if failed:
        code = ctypes.get_errno()
        if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
            raise OutputError(
                f"{right} lies on a file system that cannot swap two folders in one step.",
                "Remove the old tables first, or name a new --out.",
            )
        raise OSError(code, os.strerror(code))
