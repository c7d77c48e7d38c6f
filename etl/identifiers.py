"""Identifiers of rows: a function of (source_digest, record_no) alone (semantics 10.2)."""

from __future__ import annotations

import numpy as np
import polars as pl

from etl.spans import texts_of

_DIGEST_DIGITS = 20
_NUMBER_DIGITS = 12
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)


def record_ids(source_digests: pl.Series, record_nos: pl.Series) -> pl.Series:
    """32 hex digits: 20 of the source's digest, then the record's number, so that ids sort as records stand.

    Examples:
        >>> record_ids(pl.Series(["ab" * 32]), pl.Series([255])).to_list()
        ['abababababababababab0000000000ff']
    """
    shifts = np.arange(4 * (_NUMBER_DIGITS - 1), -1, -4)
    digits = _HEX[(record_nos.to_numpy()[:, None] >> shifts) & 15]
    bounds = np.arange(len(record_nos) + 1, dtype=np.int64) * _NUMBER_DIGITS
    numbers = texts_of(digits.ravel(), bounds[:-1], bounds[1:])
    return source_digests.str.slice(0, _DIGEST_DIGITS) + numbers
