"""Functions over columns of texts that process each distinct text once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from polars._typing import PolarsDataType

from etl.columnar import byte_loops
from etl.columnar.string_buffers import utf8_bytes


def factorize(texts: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Returns the distinct texts in order of appearance, and for each text the index of its distinct text.

    A null has no distinct text; its index is null.

    Examples:
        >>> distinct, numbers = factorize(pl.Series(["b", None, "a", "b"]))
        >>> distinct.to_list(), numbers.to_list()
        (['b', 'a'], [0, None, 1, 0])
    """
    if not texts.null_count():
        firsts, numbers = _factorize(texts)
        return texts[firsts], pl.Series(numbers)
    is_null = texts.is_null()
    present = texts.filter(~is_null)
    firsts, numbers = _factorize(present)
    spread = np.zeros(len(texts), np.int32)
    spread[~is_null.to_numpy()] = numbers
    return present[firsts], pl.Series(spread).set(is_null, None)


def _factorize(texts: pl.Series) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Returns the index of each distinct text's first occurrence, and each text's number; for columns without nulls."""
    if not len(texts):
        return np.empty(0, np.int64), np.empty(0, np.int32)
    buffer, places = utf8_bytes(texts)
    return factorize_spans(buffer, places[:-1], places[1:])


def factorize_spans(
    buffer: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Returns the index of the first span of each distinct content, and for each span the number of its content.

    Examples:
        >>> firsts, numbers = factorize_spans(np.frombuffer(b"abab", np.uint8), np.arange(4), np.arange(4) + 1)
        >>> firsts.tolist(), numbers.tolist()
        ([0, 1], [0, 1, 0, 1])
    """
    height = len(starts)
    firsts, numbers = np.empty(height, np.int64), np.empty(height, np.int32)
    slots = np.full(1 << (2 * height).bit_length(), -1, np.int32)
    count = byte_loops.number_texts(buffer.data, starts, ends, slots, firsts, numbers)
    return firsts[:count], numbers


def apply_to_distinct(texts: pl.Series, function: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """Applies a function of columns to the distinct texts, and returns a result for each text; null for null.

    The function must compute each result from its text alone.

    Examples:
        >>> apply_to_distinct(pl.Series(["a", None, "b", "a"]), lambda texts: texts + "!").to_list()
        ['a!', None, 'b!', 'a!']
    """
    distinct, numbers = factorize(texts)
    return function(distinct)[numbers]


def map_distinct(texts: pl.Series, function: Callable[[str], Any], dtype: PolarsDataType = pl.String) -> pl.Series:
    """Calls a Python function once for each distinct text, and returns a result for each text; null for null.

    Args:
        texts: String.
        function: A pure function of one text.
        dtype: Type of the function's results.

    Examples:
        >>> map_distinct(pl.Series(["a", None, "b", "a"]), str.upper).to_list()
        ['A', None, 'B', 'A']
    """
    if texts.null_count() == len(texts):
        return pl.Series([None], dtype=dtype).new_from_index(0, len(texts))
    return apply_to_distinct(texts, lambda distinct: pl.Series([*map(function, distinct)], dtype=dtype, strict=False))
