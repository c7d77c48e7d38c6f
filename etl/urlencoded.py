"""`application/x-www-form-urlencoded` texts to parameters, by the WHATWG parser, for a whole column at once.

The column's bytes are one buffer. Delimiter positions in it give the pieces, percent escapes are decoded by one
deletion over the buffer, and the pieces become text without being looked at one by one.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from etl.pairs import Pairs
from etl.spans import Bytes, Positions, glued, moved, number_texts, percent_decoded, texts_of


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
    starts, ends, rows = _pieces(buffer, form_ends)
    name_ends = _first_in(np.flatnonzero(buffer == ord("=")), starts, ends)
    decoded, escapes = percent_decoded(buffer, plus_is_blank=True)
    names, numbers = number_texts(decoded, moved(starts, escapes), moved(name_ends, escapes))
    values = texts_of(decoded, moved(np.minimum(name_ends + 1, ends), escapes), moved(ends, escapes))
    return Pairs.plain(rows, names, numbers, values)


def _pieces(buffer: Bytes, form_ends: Positions) -> tuple[Positions, Positions, Positions]:
    """Start, end and row of every piece before an ampersand that is not empty."""
    ends = np.flatnonzero(buffer == ord("&"))
    starts = np.append(0, ends + 1)[:-1]
    rows = np.repeat(np.arange(len(form_ends)), np.diff(np.searchsorted(ends, form_ends), prepend=-1))
    kept = starts < ends
    return (starts, ends, rows) if kept.all() else (starts[kept], ends[kept], rows[kept])


def _first_in(positions: Positions, starts: Positions, ends: Positions) -> Positions:
    """For each span the first of the positions in it, or its end."""
    if len(positions) == len(starts) and ((positions >= starts) & (positions < ends)).all():
        return positions
    positions = np.append(positions, np.iinfo(np.int64).max)
    return np.minimum(positions[np.searchsorted(positions, starts)], ends)
