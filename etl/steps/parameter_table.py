"""Holds the parameters of queries, forms and bodies as aligned arrays, and splits URL-encoded forms.

A batch has few distinct names, so each name is stored once and parameters refer to it by number.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from etl.columnar import byte_loops
from etl.columnar.factorize import factorize
from etl.columnar.string_buffers import join_bytes, texts_of


class Params(NamedTuple):
    """The parameters of a batch of postbacks, ascending by row, within a row in the order of the request.

    All arrays but `names` have one element for each parameter.

    Attributes:
        rows: Index of the parameter's postback.
        names: String: the distinct names, decoded.
        numbers: Index of the parameter's name in `names`.
        values: String, decoded; JSON text for an object or array; never null.
        is_structure: Whether the value is a JSON object or array.
        is_json: Whether the parameter comes from a JSON body, where brackets in names have no meaning.
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
        """Builds the parameters of queries or forms, none of which is a structure."""
        return cls(rows, names, numbers, values, np.zeros(len(rows), np.bool_), np.zeros(len(rows), np.bool_))

    @classmethod
    def named(cls, rows: npt.NDArray[np.int64], names: pl.Series, values: pl.Series) -> Self:
        """Builds parameters from one name for each parameter instead of distinct names."""
        distinct, numbers = factorize(names)
        return cls.plain(rows, distinct, numbers.to_numpy().astype(np.int64), values)

    @classmethod
    def merged(cls, parts: list[Self]) -> Self:
        """Merges several parts of the parameters of the same postbacks; in each row, earlier parts come first."""
        filled = [part for part in parts if len(part.rows)] or parts[:1]
        if len(filled) == 1:
            return filled[0]
        order = np.argsort(np.concatenate([part.rows for part in filled]), kind="stable")
        names, numbers = factorize(pl.concat([part.names.gather(part.numbers) for part in filled], rechunk=True)[order])
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
        """Returns the parameters at `index`, assigned to new rows."""
        aligned = self.numbers[index], self.values[index], self.is_structure[index], self.is_json[index]
        return type(self)(rows, self.names, *aligned)

    def frame(self, index: npt.NDArray[np.int64] | None = None) -> pl.DataFrame:
        """Returns all parameters, or those at `index`, as rows of `schema.PARAMS`."""
        index = np.arange(len(self.rows)) if index is None else index
        return pl.DataFrame(
            {
                "row": pl.Series(self.rows[index], dtype=pl.UInt32),
                "name": self.names[self.numbers[index]],
                "value": self.values[index],
                "is_structure": self.is_structure[index],
                "is_json": self.is_json[index],
            }
        )


def split_forms(forms: pl.Series) -> Params:
    """Splits URL-encoded forms at `&`, without empty pieces, and then at the first `=`.

    `+` becomes a space. Percent escapes are decoded once, as UTF-8; malformed bytes become U+FFFD.

    Args:
        forms: String; a null has no parameters.

    Source: rules 1.2.

    Examples:
        >>> params = split_forms(pl.Series(["a=1&b=%C3%A9+x", "&&", "a==b&c", "%FF=%2", None]))
        >>> params.frame().select("row", "name", "value").rows()
        [(0, 'a', '1'), (0, 'b', 'é x'), (2, 'a', '=b'), (2, 'c', ''), (3, '�', '%2')]
    """
    if forms.null_count() == len(forms):
        return Params.named(np.empty(0, np.int64), forms.clear(), forms.clear())
    buffer, form_ends = join_bytes(forms, "&")
    most = int(np.count_nonzero(buffer == ord("&")))
    decoded, spans = np.empty_like(buffer), np.empty((2, most), np.int64)
    slots = np.full(1 << (2 * most).bit_length(), -1, np.int32)
    pairs, suspects = np.empty((4, most), np.int64), np.empty(most + 1, np.int64)
    count, names, found = byte_loops.split_forms(buffer.data, form_ends, decoded.data, spans, slots, pairs, suspects)
    rows, numbers, starts, ends = pairs[:, :count]
    distinct, renumbered = factorize(texts_of(decoded, *spans[:, :names]))
    values = texts_of(decoded, starts, ends, suspects[:found])
    return Params.plain(rows, distinct, renumbered.to_numpy().astype(np.int64)[numbers], values)
