"""`application/x-www-form-urlencoded` texts to parameters, by the WHATWG parser, for a whole column at once."""

from __future__ import annotations

import numpy as np
import polars as pl

from etl import byte_loops
from etl.distinct import numbered
from etl.pairs import Pairs
from etl.spans import glued, texts_of


def split_forms(forms: pl.Series) -> Pairs:
    """The parameters of the texts, in order: split at `&`, empty pieces skipped, then at the first `=`.

    `+` is a space, percent escapes are decoded once, as UTF-8 with U+FFFD for what is malformed.

    Args:
        forms: String; null has no parameters.

    Source: semantics 1.2.

    Examples:
        >>> pairs = split_forms(pl.Series(["a=1&b=%C3%A9+x", "&&", "a==b&c", "%FF=%2", None]))
        >>> pairs.frame().select("row", "name", "value").rows()
        [(0, 'a', '1'), (0, 'b', 'é x'), (2, 'a', '=b'), (2, 'c', ''), (3, '�', '%2')]
    """
    buffer, form_ends = glued(forms, "&")
    most = int(np.count_nonzero(buffer == ord("&")))
    decoded, spans = np.empty_like(buffer), np.empty((2, most), np.int64)
    slots = np.full(1 << (2 * most).bit_length(), -1, np.int32)
    pairs = np.empty((4, most), np.int64)
    count, names = byte_loops.split_forms(buffer.data, form_ends, decoded.data, spans, slots, pairs)
    rows, numbers, starts, ends = pairs[:, :count]
    distinct, renumbered = numbered(texts_of(decoded, *spans[:, :names]))
    return Pairs.plain(rows, distinct, renumbered.to_numpy().astype(np.int64)[numbers], texts_of(decoded, starts, ends))
