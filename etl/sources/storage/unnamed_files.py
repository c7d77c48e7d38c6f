"""Makes temporary files without a name, so that a killed run leaves none behind."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO, NamedTuple

from etl.errors import InputError


class UnnamedFiles(ExitStack):
    """A context whose files exist until it is left.

    Args:
        folder: The files take space on its disk; by default on that of temporary files.
    """

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__()
        self._folder = folder

    def make(self) -> IO[bytes]:
        """Makes an empty file.

        Raises:
            OSError: The folder takes no file.
        """
        return self.enter_context(tempfile.TemporaryFile(dir=self._folder))


class CopiesElsewhere:
    """Stands for files on other machines: those who read an input there copy it themselves."""

    def make(self) -> None:
        """Makes no file here."""


class Copies(NamedTuple):
    """Where the decompressed bytes of inputs are kept, but not of those whose names are known already."""

    files: UnnamedFiles
    known: frozenset[str] = frozenset()

    def of(self, source: str) -> UnnamedFiles | None:
        """Returns where the decompressed bytes of an input are kept."""
        return None if source in self.known else self.files


def path_of(file: IO[bytes]) -> Path:
    """Returns a path by which other processes of this machine can open an unnamed file.

    Raises:
        InputError: The system has no such paths.
    """
    for place in (Path(f"/proc/{os.getpid()}/fd/{file.fileno()}"), Path(f"/dev/fd/{file.fileno()}")):
        if place.exists():
            return place
    raise InputError("This system cannot read a stream twice.", "Write the stream to a file and name the file.")
