"""Where the parts of access-log lines stand, all lines of a batch at once.

A regular line is `client ident user [time] "METHOD /path?query HTTP/…" status size`, and anything after it, in
printable ASCII without a backslash. Others are left to those who read one line at a time.
"""

from __future__ import annotations

from string import ascii_letters, digits
from typing import Final, NamedTuple

import numpy as np

from etl.columnar.string_buffers import Bytes, Positions, Truths, texts_of

#: What may stand where a model of a text has this character; any other stands for itself.
_CLASSES: Final = {"0": digits, "A": ascii_letters, "+": "+-", "-": digits + "-"}

_CLOCK: Final = '[00/AAA/0000:00:00:00 +0000] "'
_ENDS_OF_REQUEST: Final = (' HTTP/0.0" 000 -', ' HTTP/0" 000 -')

#: What stands before the time of a line that may be JSON, or be divided otherwise.
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
    is_regular = np.ones(len(starts), np.bool_)
    unusual = np.flatnonzero((buffer - np.uint8(ord(" ")) > ord("~") - ord(" ")) | (buffer == ord("\\")))
    is_regular[np.searchsorted(starts, unusual, side="right") - 1] = False
    quotes = np.append(np.flatnonzero(buffer == ord('"')), [len(buffer)] * 2)
    first = np.searchsorted(quotes, starts)
    opened, closed = quotes[first], quotes[first + 1]
    clocks = opened - len(_CLOCK) + 1
    is_regular &= (clocks > starts) & (closed + 6 < ends) & _fits(buffer, clocks, _CLOCK)
    long, short = (_fits(buffer, closed - model.index('"'), model) for model in _ENDS_OF_REQUEST)
    target_ends = closed - np.where(long, *(model.index('"') for model in _ENDS_OF_REQUEST))
    numbers = np.flatnonzero(is_regular & (long | short) & (target_ends > opened))
    is_odd = texts_of(buffer, starts[numbers], clocks[numbers]).str.contains(_ODD)
    numbers = numbers[~is_odd.to_numpy()]
    targets, target_ends = opened[numbers] + 1, target_ends[numbers]
    marks = np.append(np.flatnonzero(buffer == ord("?")), np.iinfo(np.int64).max)
    path_ends = np.minimum(marks[np.searchsorted(marks, targets)], target_ends)
    queries = np.minimum(path_ends + 1, target_ends)
    return RawLines(numbers, starts[numbers], clocks[numbers], targets, path_ends, queries, target_ends, ends[numbers])


def _fits(buffer: Bytes, places: Positions, model: str) -> Truths:
    """Whether what stands at each place is like a model."""
    allowed = np.zeros((len(model), 256), np.bool_)
    for i, mark in enumerate(model):
        allowed[i, list(_CLASSES.get(mark, mark).encode())] = True
    if len(buffer) < len(model):
        return np.zeros(len(places), np.bool_)
    first = np.clip(places, 0, len(buffer) - len(model))
    fits: Truths = allowed[np.arange(len(model)), buffer[first[:, None] + np.arange(len(model))]].all(axis=1)
    fits &= first == places
    return fits
