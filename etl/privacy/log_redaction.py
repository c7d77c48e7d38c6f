"""Finds the parts of all regular access-log lines of a batch that may hold personal values.

`columnar.access_log_parser` decides which lines are regular and where their parts are. Other lines are redacted one at
a time; both ways give the same text (`tests/test_redaction.py`).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from etl.columnar import access_log_parser
from etl.columnar.access_log_parser import CLOCK_TO_METHOD
from etl.columnar.string_buffers import Bytes, Positions, Truths, texts_of

#: A line whose text before the time matches is not regular here: the redactor of single records would find JSON or a
#: parameter in it.
_ODD: Final = r"^[ {\[]|[\](=]"


class LineParts(NamedTuple):
    """The positions of the parts of regular lines, one element for each line.

    Attributes:
        numbers: Index of the line in the batch.
        starts: First byte of the line.
        clocks: The bracket before the time.
        targets: First byte of the method, after the quote that opens the request.
        path_ends: End of the path.
        queries: First byte of the query, after the question mark; the end of the target if there is no query.
        target_ends: The blank before the protocol.
        ends: End of the line.
    """

    numbers: Positions
    starts: Positions
    clocks: Positions
    targets: Positions
    path_ends: Positions
    queries: Positions
    target_ends: Positions
    ends: Positions


def regular_lines(buffer: Bytes, starts: Positions, ends: Positions, is_wanted: Truths | None = None) -> LineParts:
    """Returns the positions of the parts of the regular lines of a batch.

    Args:
        buffer: Bytes of the lines, with one byte between two lines.
        starts: First byte of each line.
        ends: One past the last byte of each line.
        is_wanted: Which lines are looked for; by default all.

    Examples:
        >>> line = b'192.0.2.7 - - [01/May/2024:12:00:00 +0000] "GET /a?b=c HTTP/1.1" 200 2'
        >>> [first] = zip(*regular_lines(np.frombuffer(line, np.uint8), np.array([0]), np.array([len(line)])))
        >>> first[1:] == (0, 14, 44, 50, 51, 54, 70), line[51:54]
        (True, b'b=c')
    """
    found = np.zeros((len(access_log_parser.FOUND), len(starts)), np.int64)
    kinds = np.empty(len(starts), np.uint8)
    access_log_parser.read_lines(buffer.data, starts, ends, b"", found, kinds)
    is_regular = kinds != access_log_parser.IRREGULAR
    numbers = np.flatnonzero(is_regular if is_wanted is None else is_regular & is_wanted)
    is_odd = texts_of(buffer, starts[numbers], found[0, numbers] - CLOCK_TO_METHOD).str.contains(_ODD)
    numbers = numbers[~is_odd.to_numpy()]
    targets, _, path_ends, target_ends = found[:4, numbers]
    queries = np.minimum(path_ends + 1, target_ends)
    clocks = targets - CLOCK_TO_METHOD
    return LineParts(numbers, starts[numbers], clocks, targets, path_ends, queries, target_ends, ends[numbers])
