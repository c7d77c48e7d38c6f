"""The parts of regular access-log lines that may hold personal values, all lines of a batch at once.

`columnar.access_log_parser` says which lines are regular, and where their parts stand. Other lines are redacted one
at a time; both ways give the same text (`tests/test_redaction.py`).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from etl.columnar import access_log_parser
from etl.columnar.access_log_parser import CLOCK_TO_METHOD
from etl.columnar.string_buffers import Bytes, Positions, texts_of

#: Text before the time that makes the redactor of single records see JSON or a parameter.
_ODD: Final = r"^[ {\[]|[\](=]"


class RawLines(NamedTuple):
    """The regular lines of a batch: which they are, and where their parts begin.

    Attributes:
        numbers: Which lines of the batch.
        starts: The line.
        clocks: The bracket before its time.
        targets: The method, behind the quote that opens the request.
        path_ends: Where the path ends.
        queries: Behind the question mark; where the target ends, if there is none.
        target_ends: The blank before the protocol.
        ends: Where the line ends.
    """

    numbers: Positions
    starts: Positions
    clocks: Positions
    targets: Positions
    path_ends: Positions
    queries: Positions
    target_ends: Positions
    ends: Positions


def regular_lines(buffer: Bytes, starts: Positions, ends: Positions) -> RawLines:
    """The regular lines of a batch.

    Args:
        buffer: Lines with one byte between them that belongs to none.
        starts: First byte of each.
        ends: One past the last byte of each.

    Examples:
        >>> line = b'192.0.2.7 - - [01/May/2024:12:00:00 +0000] "GET /a?b=c HTTP/1.1" 200 2'
        >>> [first] = zip(*regular_lines(np.frombuffer(line, np.uint8), np.array([0]), np.array([len(line)])))
        >>> first[1:] == (0, 14, 44, 50, 51, 54, 70), line[51:54]
        (True, b'b=c')
    """
    found = np.zeros((len(access_log_parser.FOUND), len(starts)), np.int64)
    kinds = np.empty(len(starts), np.uint8)
    access_log_parser.read_lines(buffer.data, starts, ends, b"", found, kinds)
    numbers = np.flatnonzero(kinds != access_log_parser.IRREGULAR)
    is_odd = texts_of(buffer, starts[numbers], found[0, numbers] - CLOCK_TO_METHOD).str.contains(_ODD)
    numbers = numbers[~is_odd.to_numpy()]
    targets, _, path_ends, target_ends = found[:4, numbers]
    queries = np.minimum(path_ends + 1, target_ends)
    clocks = targets - CLOCK_TO_METHOD
    return RawLines(numbers, starts[numbers], clocks, targets, path_ends, queries, target_ends, ends[numbers])
