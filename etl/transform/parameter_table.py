"""Parameters as aligned arrays, their few distinct names held once: what queries, forms and bodies all become."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from etl.columnar import byte_loops
from etl.columnar.factorize import numbered
from etl.columnar.string_buffers import glued, texts_of


class Pairs(NamedTuple):
    """The parameters of a batch of postbacks, in the request's order, ascending by row.

    Attributes:
        rows: Index of the postback in its frame.
        names: String, the distinct names, decoded; the only part that is not aligned with the others.
        numbers: Index of each parameter's name in `names`.
        values: String, decoded; JSON text for a structure; never null.
        is_structure: A JSON object or array.
        is_json: From a JSON body: bracket keys mean nothing there.
    """

    rows: npt.NDArray[np.int64]
    names: pl.Series
    numbers: npt.NDArray[np.int64]
    values: pl.Series
    is_structure: npt.NDArray[np.bool_]
    is_json: npt.NDArray[np.bool_]

    @classmethod
    def plain(
        cls,
        rows: npt.NDArray[np.int64],
        names: pl.Series,
        numbers: npt.NDArray[np.int64],
        values: pl.Series,
    ) -> Self:
        """Texts, as a query or form holds them."""
        return cls(rows, names, numbers, values, np.zeros(len(rows), np.bool_), np.zeros(len(rows), np.bool_))

    @classmethod
    def named(cls, rows: npt.NDArray[np.int64], names: pl.Series, values: pl.Series) -> Self:
        """Texts under names, one a parameter."""
        distinct, numbers = numbered(names)
        return cls.plain(rows, distinct, numbers.to_numpy().astype(np.int64), values)

    @classmethod
    def merged(cls, parts: list[Self]) -> Self:
        """The parameters of the same postbacks from several places, those of an earlier part first in each row."""
        filled = [part for part in parts if len(part.rows)] or parts[:1]
        if len(filled) == 1:
            return filled[0]
        order = np.argsort(np.concatenate([part.rows for part in filled]), kind="stable")
        names, numbers = numbered(pl.concat([part.names.gather(part.numbers) for part in filled], rechunk=True)[order])
        rows, *truths = (
            np.concatenate([getattr(part, name) for part in filled])[order]
            for name in ("rows", "is_structure", "is_json")
        )
        return cls(
            rows,
            names,
            numbers.to_numpy().astype(np.int64),
            pl.concat([part.values for part in filled], rechunk=True)[order],
            *truths,
        )

    def at(self, index: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> Self:
        """Some of the parameters, as those of other postbacks."""
        aligned = self.numbers[index], self.values[index], self.is_structure[index], self.is_json[index]
        return type(self)(rows, self.names, *aligned)

    def frame(self, index: npt.NDArray[np.int64] | None = None) -> pl.DataFrame:
        """Rows of `schema.PARAMS`: all parameters, or those at the index."""
        index = np.arange(len(self.rows)) if index is None else index
        return pl.DataFrame(
            {
                "row": pl.Series(self.rows[index], dtype=pl.UInt32),
                "name": self.names.gather(self.numbers[index]),
                "value": self.values.gather(index),
                "is_structure": self.is_structure[index],
                "is_json": self.is_json[index],
            }
        )


def split_forms(forms: pl.Series) -> Pairs:
    """The parameters of the texts, in order: split at `&`, empty pieces skipped, then at the first `=`.

    `+` is a space, percent escapes are decoded once, as UTF-8 with U+FFFD for what is malformed.

    Args:
        forms: String; null has no parameters.

    Source: rules 1.2.

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
