"""Computes the ids of records from (source_digest, record_no), and stable hashes (rules 10.2)."""

from __future__ import annotations

import numpy as np
import polars as pl
import polars_hash  # noqa: F401 - gives expressions their `nchash`

from etl.columnar.string_buffers import texts_of

#: Number of hex digits of the source's digest and of the record's number in an id.
DIGEST_DIGITS = 20
NUMBER_DIGITS = 12
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)


def record_ids(source_digests: pl.Series, record_nos: pl.Series) -> pl.Series:
    """Returns ids of 32 hex digits: 20 digits of the source's digest, then 12 digits of the record's number.

    The ids of one source sort in the order of its records.

    Examples:
        >>> record_ids(pl.Series(["ab" * 32]), pl.Series([255])).to_list()
        ['abababababababababab0000000000ff']
    """
    shifts = np.arange(4 * (NUMBER_DIGITS - 1), -1, -4)
    digits = _HEX[(record_nos.to_numpy()[:, None] >> shifts) & 15]
    bounds = np.arange(len(record_nos) + 1, dtype=np.int64) * NUMBER_DIGITS
    numbers = texts_of(digits.ravel(), bounds[:-1], bounds[1:])
    return source_digests.str.slice(0, DIGEST_DIGITS) + numbers


def stable_hash(*columns: str) -> pl.Expr:
    """Returns the xxHash64 of columns of texts as UInt64; it is the same in every version and on every machine.

    A null counts as the text of one NUL character.

    Examples:
        >>> pl.DataFrame({"a": ["x", None]}).select(stable_hash("a")).to_series().to_list()
        [6665539201184043299, 16804241149081757544]
    """
    texts = pl.concat_str([pl.col(name).fill_null("\0") for name in columns], separator="\x1f")
    return texts.nchash.xxhash64()  # type: ignore[attr-defined, no-any-return]
