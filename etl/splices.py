"""Texts with some of their spans replaced, a whole column at once, without looking at each text."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
import polars as pl

from etl.spans import Bytes, Positions, texts_of


class Splices(NamedTuple):
    """Spans of a buffer, no two of which overlap, and the text that takes the place of each."""

    starts: Positions
    ends: Positions
    texts: pl.Series

    @classmethod
    def merged(cls, parts: list[Self]) -> Self:
        """Those of all parts, ascending."""
        starts, ends = (np.concatenate([part[i] for part in parts]) for i in range(2))
        order = np.argsort(starts, kind="stable")
        return cls(starts[order], ends[order], pl.concat([part.texts for part in parts]).gather(order))


def spliced(buffer: Bytes, starts: Positions, ends: Positions, splices: Splices) -> pl.Series:
    """The text of each span of a buffer, once splices are made.

    Args:
        buffer: Bytes that hold all texts; UTF-8 where nothing is replaced.
        starts: First byte of each span.
        ends: One past the last byte of each span.
        splices: Ascending, each within a span; spans that hold one have a byte between them.

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
    parts = pl.concat([kept, splices.texts]).gather(order).to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, data = parts.buffers()
    places = np.frombuffer(offsets, np.int64)[parts.offset :][: len(parts) + 1]
    shifts = np.append(0, places[2::2] - splices.ends)

    def moved(bounds: Positions, side: str) -> Positions:
        return bounds + shifts[np.searchsorted(splices.ends, bounds, side=side)]  # type: ignore[call-overload]

    glued = np.frombuffer(data or b"", np.uint8)
    return texts_of(glued, moved(starts, "left"), moved(ends, "right"))
