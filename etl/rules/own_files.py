"""Reads files of users: rulesets and formats."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

_MOST_BYTES: Final = 16 * 2**20


def read_own_file(path: Path) -> str:
    """Returns the text of a file, which may come through a pipe.

    Raises:
        OSError: It cannot be read, or is larger than any such file.
        UnicodeDecodeError: It is not UTF-8.
    """
    with path.open("rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    return content.decode()
