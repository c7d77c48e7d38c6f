"""Work on distinct values: what a column says again and again is looked at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from polars._typing import PolarsDataType

from etl.columnar import byte_loops


def numbered(texts: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The distinct texts, and the number of each text among them; null for null.

    Examples:
        >>> distinct, numbers = numbered(pl.Series(["b", None, "a", "b"]))
        >>> distinct.to_list(), numbers.to_list()
        (['b', 'a'], [0, None, 1, 0])
    """
    present = texts.drop_nulls()
    firsts, numbers = _numbered(present)
    if texts.null_count():
        is_present = texts.is_not_null().to_numpy()
        spread = np.zeros(len(texts), np.int32)
        spread[is_present] = numbers
        return present.gather(firsts), pl.Series(spread).set(pl.Series(~is_present), None)
    return present.gather(firsts), pl.Series(numbers)


def _numbered(texts: pl.Series) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Where each distinct text stands first, and the number of each text; nothing null."""
    height = len(texts)
    if not height:
        return np.empty(0, np.int64), np.empty(0, np.int32)
    array = texts.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, data = array.buffers()
    places = np.frombuffer(offsets, np.int64)[array.offset :]
    return numbered_spans(np.frombuffer(data or b"", np.uint8), places[:height], places[1 : height + 1])


def numbered_spans(
    buffer: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Which spans of the buffer are the first to hold their bytes, and the number of each span's bytes among those.

    Examples:
        >>> firsts, numbers = numbered_spans(np.frombuffer(b"abab", np.uint8), np.arange(4), np.arange(4) + 1)
        >>> firsts.tolist(), numbers.tolist()
        ([0, 1], [0, 1, 0, 1])
    """
    height = len(starts)
    firsts, numbers = np.empty(height, np.int64), np.empty(height, np.int32)
    slots = np.full(1 << (2 * height).bit_length(), -1, np.int32)
    count = byte_loops.number_texts(buffer.data, starts, ends, slots, firsts, numbers)
    return firsts[:count], numbers


def by_distinct(texts: pl.Series, function: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """A function over a column that looks at each text alone, called with the distinct ones; null for null.

    Examples:
        >>> by_distinct(pl.Series(["a", None, "b", "a"]), lambda texts: texts + "!").to_list()
        ['a!', None, 'b!', 'a!']
    """
    distinct, numbers = numbered(texts)
    return function(distinct).gather(numbers)


def on_distinct(texts: pl.Series, function: Callable[[str], Any], dtype: PolarsDataType = pl.String) -> pl.Series:
    """A plain Python function over a column, called once for each distinct text; null for null. Order is kept.

    Args:
        texts: String.
        function: Pure.
        dtype: Type of what it returns.

    Examples:
        >>> on_distinct(pl.Series(["a", None, "b", "a"]), str.upper).to_list()
        ['A', None, 'B', 'A']
    """
    if texts.null_count() == len(texts):
        return pl.Series([None], dtype=dtype).new_from_index(0, len(texts))
    return by_distinct(texts, lambda distinct: pl.Series([*map(function, distinct)], dtype=dtype, strict=False))
