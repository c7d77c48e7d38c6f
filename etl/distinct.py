"""Work on distinct values: what a column says again and again is looked at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from polars._typing import PolarsDataType

from etl import byte_loops


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
    firsts, numbers = np.empty(height, np.int64), np.empty(height, np.int32)
    if not height:
        return firsts, numbers
    array = texts.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, data = array.buffers()
    places = np.frombuffer(offsets, np.int64)[array.offset :]
    slots = np.full(1 << (2 * height).bit_length(), -1, np.int32)
    count = byte_loops.number_texts(np.frombuffer(data or b"", np.uint8).data, places, slots, firsts, numbers)
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
