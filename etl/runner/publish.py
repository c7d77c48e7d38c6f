"""Publishes a folder whole or not at all: one system call swaps the finished folder with its destination.

While a run works, `.DIR.staging` lies beside `DIR`. It holds a lock, and a folder that no other run has: there lie the
staged pieces, and `new`, the folder that becomes `DIR`. So a task that outlives its run disturbs no later run. A run
removes what a killed run has left in a staging folder. A published folder holds a manifest, by
which a later run knows that this tool wrote the folder and may replace it.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import uuid4

import orjson

from etl.errors import OutputError, UsageError
from etl.runner.partitions import foreign_files
from etl.schema import TABLES

MANIFEST: Final = "_postback_etl.json"

#: What file systems say that cannot swap folders, or cannot lock files.
_UNSUPPORTED: Final = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)


class Stage(NamedTuple):
    """The staging folder of a run.

    Attributes:
        out: The destination.
        folder: The staging folder of this run.
        check: Raises a UsageError if the destination holds files that this tool did not write.
    """

    out: Path
    folder: Path
    check: Callable[[Path], None]

    @property
    def pieces(self) -> Path:
        """The folder in which workers stage tables."""
        return self.folder / "pieces"

    @property
    def new(self) -> Path:
        """The folder that becomes the destination."""
        return self.folder / "new"

    def publish(self, manifest: dict[str, Any]) -> None:
        """Syncs the finished tables to disk and swaps them with the destination in one step.

        Args:
            manifest: The content of the manifest file.

        Raises:
            UsageError: The destination meanwhile holds files that this tool did not write.
            OutputError: The tables cannot be written.
        """
        try:
            (self.new / MANIFEST).write_bytes(orjson.dumps(manifest, option=orjson.OPT_INDENT_2) + b"\n")
            for path in [*self.new.rglob("*"), self.new]:
                sync(path)
            self.check(self.out)
            if _is_swapped(self.out):
                _swap_folders(self.new, self.out)
            else:
                self.new.rename(self.out)
            sync(self.out.parent)
        except OSError as error:
            raise OutputError(
                f"{self.out} cannot be published: {error.strerror}",
                "Free some disk space, or name another --out.",
            ) from error


def check_destination(out: Path) -> None:
    """Refuses a destination that is not a folder, or holds files that this tool did not write.

    Raises:
        UsageError: The destination is refused.
    """
    if not out.exists() and not out.is_symlink():
        return
    hint = "Name a folder that does not exist, is empty, or holds an earlier run's tables."
    if not out.is_dir() or out.is_symlink():
        raise UsageError(f"--out {str(out)!r} is not a folder.", hint)
    if out.is_mount():
        raise UsageError(
            f"--out {str(out)!r} is where a disk is mounted, and cannot be replaced.", "Name a folder in it."
        )
    entries = sorted(entry.name for entry in out.iterdir())
    if not entries:
        return
    if MANIFEST not in entries:
        raise UsageError(f"--out {str(out)!r} holds {entries[0]!r}, which this tool did not write.", hint)
    tables = {table.name for table in TABLES}
    foreign = [name for name in entries if name not in {MANIFEST, *tables}]
    foreign += [
        str(path.relative_to(out)) for name in sorted(tables & set(entries)) for path in foreign_files(out / name)
    ]
    if foreign:
        raise UsageError(f"--out {str(out)!r} holds {foreign[0]!r}, which this tool did not write.", hint)


def staging_of(out: Path) -> Path:
    """Returns the staging folder of a destination."""
    return out.parent / f".{out.name}.staging"


@contextmanager
def staged(out: Path, check: Callable[[Path], None] = check_destination) -> Iterator[Stage]:
    """Opens a staging folder beside the destination, locked by this process, and removes it at the end.

    Args:
        out: The destination.
        check: Raises a UsageError if the destination may not be replaced.

    Raises:
        UsageError: The destination holds files that this tool did not write.
        OutputError: Another run holds the lock, the folder cannot be created, or the tables that lie there cannot be
            replaced.
    """
    check(out)
    folder = staging_of(out)
    stage = Stage(out, folder / uuid4().hex, check)
    with lock_folder(folder, "--out"):
        for leftover in folder.iterdir():
            shutil.rmtree(leftover, ignore_errors=True)  # the lock is no folder and stays
        stage.pieces.mkdir(parents=True)
        if _is_swapped(out):
            _check_swap(stage.folder, out)
        yield stage


def _is_swapped(out: Path) -> bool:
    """Whether a destination is swapped. Else a rename puts the tables where nothing is, or an empty folder."""
    return out.exists() and any(out.iterdir())


def _check_swap(folder: Path, out: Path) -> None:
    """Checks before the work that the destination can be replaced after it.

    Raises:
        OutputError: It is on a file system that cannot swap folders.
    """
    probes = folder / "left", folder / "right"
    for probe in probes:
        probe.mkdir()
    _exchange(*probes, out)
    for probe in probes:
        probe.rmdir()


@contextmanager
def lock_folder(folder: Path, option: str) -> Iterator[None]:
    """Creates a working folder, locks it for this process, and removes it at the end.

    The lock ends with the process, even if the process is killed.

    Args:
        folder: The folder; it may exist already.
        option: The option or thing that names another place, for messages.

    Raises:
        OutputError: Another process holds the lock, or the folder cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = _acquire_lock(folder, option)
    except OSError as error:
        raise OutputError(f"{folder} cannot be created: {error.strerror}", f"Name another {option}.") from error
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def check_lock(folder: Path, option: str) -> None:
    """Checks, without any change, that `lock_folder` could create or lock a folder.

    Raises:
        OutputError: Another process holds the lock, or the folder cannot be created.
    """
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        reason = os.strerror(errno.EACCES if there.is_dir() else errno.ENOTDIR)
        raise OutputError(f"{folder} cannot be created: {reason}", f"Name another {option}.")
    if (folder / "lock").exists():
        os.close(_acquire_lock(folder, option, is_kept=False))


def _acquire_lock(folder: Path, option: str, *, is_kept: bool = True) -> int:
    """Locks the file `lock` in a folder, writes this process's id into it if kept, and returns its descriptor."""
    path = folder / "lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_current = path.exists() and os.fstat(descriptor).st_ino == path.stat().st_ino
    except BlockingIOError:
        is_current = False
    except OSError as error:
        os.close(descriptor)
        if error.errno not in _UNSUPPORTED:
            raise
        with suppress(OSError):
            path.unlink()
            folder.rmdir()
        raise OutputError(
            f"{folder.parent} is on a file system that cannot lock files.", f"Name another {option}, on a disk."
        ) from error
    if not is_current:
        holder = os.pread(descriptor, 20, 0).decode() or "unknown"
        os.close(descriptor)
        raise OutputError(
            f"{folder} is locked by another run (process {holder}).", f"Wait until it ends, or name another {option}."
        )
    if is_kept:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor


def sync(path: Path) -> None:
    """Syncs a file, or the entries of a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2
_RENAME_SWAP: Final = 2


def _swap_folders(left: Path, right: Path) -> None:
    """Swaps two folders in one system call, so that readers see one of them at any moment."""
    _exchange(left, right, right)


def _exchange(left: Path, right: Path, out: Path) -> None:
    """Swaps two folders by one call of the system.

    Raises:
        OSError: The folders cannot be swapped.
        OutputError: The file system of the destination cannot swap folders.
    """
    library = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(left), os.fsencode(right)
    if sys.platform == "darwin":
        failed = library.renamex_np(*names, _RENAME_SWAP)
    else:
        failed = library.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE)
    if failed:
        code = ctypes.get_errno()
        if code in _UNSUPPORTED:
            raise OutputError(
                f"{out} is on a file system that cannot swap two folders in one step.",
                "Remove the old tables first, or name a new --out.",
            )
        raise OSError(code, os.strerror(code))
