"""Indexes the positions of all values in the JSON texts of a batch."""

from __future__ import annotations

from typing import Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from etl.columnar import json_codec, json_tokenizer
from etl.columnar.factorize import factorize_spans
from etl.columnar.string_buffers import Bytes, Positions, Truths, texts_of, valid_texts

#: Every complete value below a root follows at least one of these bytes, so their count bounds the number of values.
_MARKS: Final = (ord(":"), ord(","), ord("["))


class JsonValues(NamedTuple):
    """The values of the regular texts of a batch, parents before children, in the order of the texts.

    All arrays but `names` have one element for each value.

    Attributes:
        rows: Index of the text that contains the value, ascending.
        parents: Index of the object or array that contains the value; -1 for the root of a text.
        names: The distinct names, as written.
        numbers: Index of the value's name in `names`. An element has its array's name, a root the empty name.
        starts: First byte of the value; for a string, the byte after the opening quote.
        ends: One past the last byte of the value; for a string, the closing quote.
        kinds: Kind of the value: a constant of `json_tokenizer`.
    """

    rows: Positions
    parents: Positions
    names: pl.Series
    numbers: npt.NDArray[np.int32]
    starts: Positions
    ends: Positions
    kinds: Positions

    @classmethod
    def of(cls, buffer: Bytes, starts: Positions, ends: Positions) -> tuple[Self, Truths]:
        """Splits JSON texts into their values.

        Args:
            buffer: Bytes that hold all texts.
            starts: First byte of each text.
            ends: One past the last byte of each text.

        Returns:
            The values of the regular texts, and for each text whether it is regular. Texts with a repeated member
            name are irregular, but their values are included.
        """
        is_regular = np.zeros(len(starts), np.uint8)
        # One row more than there can be values: a text that is cut short may begin a value that it does not hold.
        room = len(starts) + sum(int(np.count_nonzero(buffer == mark)) for mark in _MARKS) + 1
        values = np.empty((7, room), np.int64)
        count = json_tokenizer.split_texts(buffer.data, starts, ends, values, is_regular.data)
        rows, parents, name_starts, name_ends, value_starts, value_ends, kinds = values[:, :count]
        firsts, numbers = factorize_spans(buffer, name_starts, name_ends)
        latest, earlier = np.full(len(firsts), -1, np.int64), np.empty(count, np.int64)
        json_tokenizer.find_repeated(values, numbers, latest, earlier, is_regular.data)
        names = texts_of(buffer, name_starts[firsts], name_ends[firsts])
        return cls(rows, parents, names, numbers, value_starts, value_ends, kinds), is_regular.astype(np.bool_)

    def children_of(self, parents: Positions) -> Positions:
        """Returns the indices of the direct members and elements of the given objects and arrays."""
        is_parent = np.zeros(len(self.rows) + 1, np.bool_)
        is_parent[parents] = True
        return np.flatnonzero(is_parent[self.parents])

    def group_by_name(self, index: Positions) -> dict[str, Positions]:
        """Groups indices into these values by the values' names; each group keeps the order of `index`."""
        numbers = self.numbers[index].astype(np.min_scalar_type(len(self.names)))
        places = np.cumsum(np.bincount(numbers, minlength=len(self.names)))[:-1]
        groups = np.split(index[np.argsort(numbers, kind="stable")], places)
        return {name: group for name, group in zip(self.names, groups, strict=False) if len(group)}

    def texts(self, buffer: Bytes, index: Positions) -> pl.Series:
        """Returns the texts of the values at `index`: scalars as `json_codec.scalar` writes them, others as sent."""
        texts = valid_texts(buffer, self.starts[index], self.ends[index])
        return self._decoded(buffer, index, texts, np.arange(len(index)))

    def column(self, buffer: Bytes, index: Positions, height: int) -> pl.Series:
        """Returns a column of `height` rows with the text of each value at `index` in the value's row; null elsewhere.

        No two of the values may have the same row.
        """
        rows = self.rows[index]
        starts, ends = np.zeros((2, height), np.int64)
        starts[rows], ends[rows] = self.starts[index], self.ends[index]
        is_null = np.ones(height, np.bool_)
        is_null[rows] = False
        return self._decoded(buffer, index, valid_texts(buffer, starts, ends, is_null), rows)

    def _decoded(self, buffer: Bytes, index: Positions, texts: pl.Series, places: Positions) -> pl.Series:
        """Corrects the texts of values that must be parsed: escaped strings, and numbers not in plain notation.

        Args:
            buffer: Bytes that hold all texts.
            index: The values.
            texts: The values' bytes as texts.
            places: Position of each value's text in `texts`.
        """
        kinds = self.kinds[index]
        odd = np.flatnonzero((kinds == json_tokenizer.ESCAPED) | (kinds == json_tokenizer.NUMBER))
        if not len(odd):
            return texts
        quotes = kinds[odd] == json_tokenizer.ESCAPED
        starts, ends = self.starts[index[odd]] - quotes, self.ends[index[odd]] + quotes
        written = [buffer[start:end].tobytes() for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
        return texts.scatter(places[odd], pl.Series([json_codec.scalar(json_codec.parse(text)) for text in written]))
