"""Reads the rows that share a hash with another row, of tables of any size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import polars as pl

from etl.runner.published_tables import read

#: How many hashes are sorted at a time, of 8 bytes each, and of how many repeated hashes the rows are read at a time.
#: This bounds the memory.
_SORTED_HASHES: Final = 32_000_000
_READ_HASHES: Final = 1_000_000


def read_repeated(rows: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    """Yields the rows whose hash occurs more than once, at least one frame; all rows of a hash are in one frame.

    Args:
        rows: The rows, with a column `same` of hashes (UInt64, never null).
    """
    parts = 1 + int(read(rows.select(pl.len())).item()) // _SORTED_HASHES
    repeated = np.concatenate([_repeated_hashes(rows, part, parts) for part in range(parts)])
    for start in range(0, max(1, len(repeated)), _READ_HASHES):
        hashes = pl.LazyFrame({"same": repeated[start : start + _READ_HASHES]})
        yield read(rows.join(hashes, on="same", how="semi"))


def _repeated_hashes(rows: pl.LazyFrame, part: int, parts: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """Finds the hashes of a part that occur more than once."""
    hashes = read(rows.select("same").filter(pl.col("same") % parts == part))["same"].to_numpy(writable=True)
    hashes.sort()
    again = hashes[1:][hashes[1:] == hashes[:-1]]
    return np.unique(again)
