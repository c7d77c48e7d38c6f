"""Replaces spans of a byte buffer by other texts."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
import polars as pl

from etl.columnar.string_buffers import Bytes, Positions, texts_of, utf8_bytes


class Splices(NamedTuple):
    """Replacements in a buffer: spans that do not overlap, and the new text of each span."""

    starts: Positions
    ends: Positions
    texts: pl.Series

    @classmethod
    def merged(cls, parts: list[Self]) -> Self:
        """Returns the replacements of all parts in ascending order of their spans."""
        starts, ends = (np.concatenate([part[i] for part in parts]) for i in range(2))
        order = np.argsort(starts, kind="stable")
        return cls(starts[order], ends[order], pl.concat([part.texts for part in parts]).gather(order))


def spliced(buffer: Bytes, starts: Positions, ends: Positions, splices: Splices) -> pl.Series:
    """Returns the text of each span of a buffer after replacements.

    Args:
        buffer: Bytes that hold all texts; valid UTF-8 outside the replaced spans.
        starts: First byte of each span.
        ends: One past the last byte of each span.
        splices: Replacements in ascending order, each within one span; spans with replacements are at least one byte
            apart.

    Examples:
        >>> buffer = np.frombuffer(b"one two, three", np.uint8)
        >>> splices = Splices(np.array([4, 9]), np.array([7, 11]), pl.Series(["2", "ThThTh"]))
        >>> spliced(buffer, np.array([0, 9]), np.array([7, 14]), splices).to_list()
        ['one 2', 'ThThThree']
    """
    count = len(splices.starts)
    kept = texts_of(buffer, np.append(0, splices.ends), np.append(splices.starts, len(buffer)))
    order = np.arange(2 * count + 1) // 2
    order[1::2] += count + 1
    joined, places = utf8_bytes(pl.concat([kept, splices.texts]).gather(order))
    shifts = np.append(0, places[2::2] - splices.ends)

    def moved(bounds: Positions, side: str) -> Positions:
        """Returns positions of the old buffer as positions of the new buffer."""
        return bounds + shifts[np.searchsorted(splices.ends, bounds, side=side)]  # type: ignore[call-overload]

    return texts_of(joined, moved(starts, "left"), moved(ends, "right"))
