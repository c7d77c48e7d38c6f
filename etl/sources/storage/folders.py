"""Finds the files below folders and those that match patterns, and says what was found and is not read.

No error of the system is passed over in silence: what was named cannot be read ends the command, what was found cannot
be read is listed.
"""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from etl.errors import InputError


class PassedOver(NamedTuple):
    """Something that was found in a folder or an archive, or by a pattern, and is not read.

    Attributes:
        path: Its name.
        why: The reason, in a few words.
    """

    path: str
    why: str


class FoundFiles(NamedTuple):
    """The files that an argument names, by name, and what it names besides."""

    files: list[Path]
    passed_over: list[PassedOver]


_KINDS: Final = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
FILE, FOLDER, PIPE = "a file", "a folder", "a pipe"
_PATTERN: Final = re.compile(r"[*?\[]")


def kind_of(path: Path) -> str:
    """Returns what a path leads to: `a file`, `a folder`, `a pipe`, `a socket` or `a device`.

    Raises:
        OSError: It leads to nothing, or nobody may look there.
    """
    return _KINDS[stat.S_IFMT(path.stat().st_mode)]


def named_kind(path: Path) -> str | None:
    """Returns what the path of an argument leads to; None if it does not exist.

    Raises:
        InputError: Nobody may look there.
    """
    try:
        return kind_of(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError as error:
        raise unreadable(path, error) from error


def display_name(path: Path) -> str:
    """Returns a path as text, with escapes for bytes that are not valid UTF-8."""
    return os.fsencode(path).decode(errors="backslashreplace")


class _Walk:
    """A walk through folders.

    Attributes:
        files: The files that were found.
        passed_over: What was found and is not read.
    """

    def __init__(self, out: Path) -> None:
        self.files: list[Path] = []
        self.passed_over: list[PassedOver] = []
        self._out = out

    def skip(self, path: Path, why: str) -> None:
        """Notes what is not read."""
        self.passed_over.append(PassedOver(display_name(path), why))

    def entries(self, folder: Path, *, is_named: bool) -> list[os.DirEntry[str]]:
        """Returns the entries of a folder by name; none if a folder that was found cannot be read.

        Raises:
            InputError: The folder was named, and cannot be read.
        """
        try:
            with os.scandir(folder) as entries:
                return sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            if is_named:
                raise unreadable(folder, error) from error
            self.skip(folder, reason_of(error))
            return []

    def kind(self, path: Path) -> str | None:
        """Returns what a path that was found leads to; None, and a note, if that cannot be read."""
        try:
            return kind_of(path)
        except FileNotFoundError:
            self.skip(path, "a link that leads nowhere")
        except OSError as error:
            self.skip(path, reason_of(error))
        return None

    def take(self, path: Path, kind: str | None) -> None:
        """Takes a file, unless the run writes it; notes what is no file."""
        if kind == FILE and self._out not in _real(path).parents:
            self.files.append(path)
        elif kind not in (FILE, None):
            self.skip(path, f"{kind}")


def files_below(folder: Path, out: Path) -> FoundFiles:
    """Finds the files below a folder without hidden ones, sorted by path. Each folder is read once, links or not.

    Args:
        folder: The folder.
        out: The folder that the run writes, which is not read.

    Raises:
        InputError: The folder cannot be read, or holds no files.
    """
    walk = _Walk(out)
    above = _real(folder).parents
    seen: set[Path] = set()
    waiting, linked = [folder], list[Path]()
    while waiting or linked:
        here = waiting.pop() if waiting else linked.pop(0)
        if _real(here) == out or _real(here) in seen:
            continue
        seen.add(_real(here))
        for entry in walk.entries(here, is_named=here == folder):
            path = here / entry.name
            if entry.name.startswith("."):
                continue
            kind = walk.kind(path)
            if kind != FOLDER:
                walk.take(path, kind)
            elif not entry.is_symlink():
                waiting.append(path)
            elif _real(path) in above:
                walk.skip(path, "a link to a folder above")
            else:
                linked.append(path)
    if not walk.files:
        notes = "".join(f" {path}: {why}." for path, why in walk.passed_over[:1])
        raise InputError(f"{display_name(folder)} is a folder without files.{notes}", "Name another folder.")
    return FoundFiles(sorted(walk.files), walk.passed_over)


def files_matching(pattern: str) -> FoundFiles:
    """Finds the files that match a pattern of the shell, sorted by path; `**` matches any folders.

    Raises:
        InputError: The folder in which the pattern begins cannot be read.
    """
    walk = _Walk(Path("/nonexistent"))
    parts = Path(pattern).parts
    first = next((i for i, part in enumerate(parts) if _PATTERN.search(part)), len(parts))
    base = Path(*parts[:first])
    if first < len(parts) and named_kind(base) == FOLDER:
        for path in dict.fromkeys(_matches(walk, base, parts[first:], is_named=True)):
            kind = walk.kind(path)
            if kind != FOLDER or parts[-1] != "**":
                walk.take(path, kind)
    return FoundFiles(sorted(walk.files), list(dict.fromkeys(walk.passed_over)))


def _matches(walk: _Walk, folder: Path, parts: tuple[str, ...], *, is_named: bool = False) -> Iterator[Path]:
    """Yields what matches the parts of a pattern below a folder."""
    part, rest = parts[0], parts[1:]
    if part == "**":
        for inner in _folders_below(walk, folder, is_named=is_named):
            yield from _matches(walk, inner, rest or ("*",))
        return
    names = [entry.name for entry in walk.entries(folder, is_named=is_named)] if _PATTERN.search(part) else [part]
    for name in fnmatch.filter(names, part) if _PATTERN.search(part) else names:
        path = folder / name
        if name.startswith(".") and not part.startswith("."):
            continue
        if not rest:
            if os.path.lexists(path):
                yield path
        elif os.path.lexists(path) and walk.kind(path) == FOLDER:
            yield from _matches(walk, path, rest)


def _folders_below(walk: _Walk, folder: Path, *, is_named: bool) -> Iterator[Path]:
    """Yields a folder and the folders below it without hidden ones, each once."""
    seen: set[Path] = set()
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        if _real(here) in seen:
            continue
        seen.add(_real(here))
        yield here
        for entry in walk.entries(here, is_named=is_named and here == folder):
            path = here / entry.name
            if not entry.name.startswith(".") and walk.kind(path) == FOLDER:
                waiting.append(path)


def _real(path: Path) -> Path:
    """Returns the path that a path leads to, without links. Never raises."""
    return Path(os.path.realpath(path))


def reason_of(error: OSError) -> str:
    """Returns the system's reason."""
    return error.strerror or str(error) or type(error).__name__


def unreadable(path: Path, error: OSError) -> InputError:
    """Returns the error for a path that was named and cannot be read."""
    return InputError(
        f"{display_name(path)} cannot be read: {reason_of(error)}.",
        "Check its name and its permissions, and run again.",
    )
