"""Standard output and standard error as a command needs them, also where they are closed, full or nobody reads them.

What cannot be written to standard output is an error, because results would be lost. What cannot be written to standard
error changes nothing: the exit code says how the command ended.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any, TextIO

from etl.errors import OutputError


def guard_standard_streams() -> None:
    """Puts streams over the descriptors 1 and 2 that treat errors so, and has no other file opened at 0, 1 or 2."""
    closed = [number for number in range(3) if not _is_open(number)]
    if _is_at(sys.stdout, 1):
        sys.stdout = _stream(_Results(1 in closed), sys.stdout, "strict")
    if _is_at(sys.stderr, 2):
        sys.stderr = _stream(_Messages(), sys.stderr, "backslashreplace")


def _is_open(number: int) -> bool:
    """Whether a descriptor is open; if it is not, it leads to /dev/null from now on."""
    try:
        os.fstat(number)
    except OSError:
        os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
        return False
    return True


def _is_at(stream: TextIO | None, number: int) -> bool:
    """Whether a stream stands over a descriptor, or is missing because the descriptor was closed."""
    try:
        return stream is None or stream.fileno() == number
    except (OSError, ValueError):
        return False


def _stream(raw: io.FileIO, before: TextIO | None, errors: str) -> Any:
    """Returns a stream of text over a file, with the encoding of the stream before it."""
    if before is None:
        return io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", errors)
    before.flush()
    is_line_buffered = getattr(before, "line_buffering", False)
    return io.TextIOWrapper(io.BufferedWriter(raw), before.encoding, before.errors, line_buffering=is_line_buffered)


class _Results(io.FileIO):
    """Standard output. After an error, what is still buffered is dropped in silence: the error was raised."""

    def __init__(self, is_closed: bool) -> None:
        super().__init__(1, "w", closefd=False)
        self._is_closed, self._has_failed = is_closed, False

    def write(self, data: Any) -> int:
        if self._has_failed:
            return len(data)
        try:
            return os.write(-1 if self._is_closed else 1, data)
        except BrokenPipeError:
            self._has_failed = True
            raise
        except OSError as error:
            self._has_failed = True
            why = "it is closed" if self._is_closed else error.strerror
            problem = f"Standard output cannot be written: {why}."
            raise OutputError(problem, "Redirect it to a file on a disk with space.") from error


class _Messages(io.FileIO):
    """Standard error."""

    def __init__(self) -> None:
        super().__init__(2, "w", closefd=False)

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)
