"""Work on distinct values: what a column says again and again is looked at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
from polars._typing import PolarsDataType


def numbered(texts: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The distinct texts, and the number of each text among them; null for null.

    Examples:
        >>> distinct, numbers = numbered(pl.Series(["b", None, "a", "b"]))
        >>> distinct.to_list(), numbers.to_list()
        (['b', 'a'], [0, None, 1, 0])
    """
    distinct = texts.unique(maintain_order=True).drop_nulls()
    return distinct, texts.cast(pl.Enum(distinct)).to_physical()


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
