"""A column of lists from the column of their items."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa


def lists_of(
    items: pl.Series, lengths: npt.NDArray[np.int64], is_null: npt.NDArray[np.bool_] | None = None
) -> pl.Series:
    """Consecutive items as lists.

    pyarrow is handed buffers, as its constructors from Python values import pandas where that is installed.

    Args:
        items: The items of all lists, one after another.
        lengths: How many of them each list holds.
        is_null: Lists that are null; their length is 0.

    Examples:
        >>> lists_of(pl.Series(["a", "b"]), np.array([0, 2, 0]), np.array([False, False, True])).to_list()
        [[], ['a', 'b'], None]
    """
    ends = np.append(0, np.cumsum(lengths)).astype(np.int64)
    child = items.rechunk().to_arrow(compat_level=pl.CompatLevel.newest())
    valid = None if is_null is None else pa.py_buffer(np.packbits(~is_null, bitorder="little"))
    dtype = pa.large_list(pa.field("item", child.type))
    lists = pa.Array.from_buffers(dtype, len(lengths), [valid, pa.py_buffer(ends)], children=[child])
    return pl.Series(pl.from_arrow(lists), dtype=pl.List(items.dtype))
