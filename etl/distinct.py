"""A plain Python function over a column, called once for each distinct value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
from polars._typing import PolarsDataType


def on_distinct(texts: pl.Series, function: Callable[[str], Any], dtype: PolarsDataType = pl.String) -> pl.Series:
    """The function's value for every text; null for null. Order is kept.

    Args:
        texts: String.
        function: Pure; called once for each distinct text.
        dtype: Type of what it returns.

    Examples:
        >>> on_distinct(pl.Series(["a", None, "b", "a"]), str.upper).to_list()
        ['A', None, 'B', 'A']
    """
    distinct = texts.drop_nulls().unique()
    if not len(distinct):
        return pl.Series([None], dtype=dtype).new_from_index(0, len(texts))
    values = pl.DataFrame(
        {
            "text": distinct,
            "value": pl.Series([function(text) for text in distinct], dtype=dtype, strict=False),
        }
    )
    frame = pl.DataFrame({"text": texts})
    return frame.join(values, on="text", how="left", maintain_order="left")["value"]
