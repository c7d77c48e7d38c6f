"""JSON texts as the places of their values, all texts of a batch at once."""

from __future__ import annotations

from typing import Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from etl.columnar import json_codec, json_tokenizer
from etl.columnar.factorize import numbered_spans
from etl.columnar.string_buffers import Bytes, Positions, Truths, sound_texts, texts_of

#: Bytes of which there is one for each whole value but the texts themselves, at least.
_MARKS: Final = (ord(":"), ord(","), ord("["))


class JsonValues(NamedTuple):
    """The values of the regular texts among some: each text, and behind it whatever it holds, in order.

    Attributes:
        rows: The text of each value, ascending.
        holders: Index of the object or array that holds it; -1 for a text.
        names: The distinct names, as written; the only part that is not aligned with the others.
        numbers: Index of each value's name in `names`: its array's for what an array holds, an empty one for a text.
        starts: Where each begins, a string within its quotes.
        ends: Where each ends.
        kinds: What each is, as `json_loops` tells it.
    """

    rows: Positions
    holders: Positions
    names: pl.Series
    numbers: npt.NDArray[np.int32]
    starts: Positions
    ends: Positions
    kinds: Positions

    @classmethod
    def of(cls, buffer: Bytes, starts: Positions, ends: Positions) -> tuple[Self, Truths]:
        """The values of spans, and which of these are regular.

        Args:
            buffer: Bytes that hold all texts.
            starts: First byte of each span.
            ends: One past the last byte of each span.
        """
        is_regular = np.zeros(len(starts), np.uint8)
        room = len(starts) + sum(int(np.count_nonzero(buffer == mark)) for mark in _MARKS) + 1  # for one cut short
        values = np.empty((7, room), np.int64)
        count = json_tokenizer.split_texts(buffer.data, starts, ends, values, is_regular.data)
        rows, holders, name_starts, name_ends, value_starts, value_ends, kinds = values[:, :count]
        firsts, numbers = numbered_spans(buffer, name_starts, name_ends)
        latest, earlier = np.full(len(firsts), -1, np.int64), np.empty(count, np.int64)
        json_tokenizer.find_repeated(values, numbers, latest, earlier, is_regular.data)
        names = texts_of(buffer, name_starts[firsts], name_ends[firsts])
        return cls(rows, holders, names, numbers, value_starts, value_ends, kinds), is_regular.astype(np.bool_)

    def held_by(self, holders: Positions) -> Positions:
        """Which values stand in some objects or arrays, but not deeper."""
        is_holder = np.zeros(len(self.rows) + 1, np.bool_)
        is_holder[holders] = True
        return np.flatnonzero(is_holder[self.holders])

    def by_name(self, index: Positions) -> dict[str, Positions]:
        """Some values by their names, in order."""
        numbers = self.numbers[index].astype(np.min_scalar_type(len(self.names)))
        places = np.cumsum(np.bincount(numbers, minlength=len(self.names)))[:-1]
        groups = np.split(index[np.argsort(numbers, kind="stable")], places)
        return {name: group for name, group in zip(self.names, groups, strict=False) if len(group)}

    def texts(self, buffer: Bytes, index: Positions) -> pl.Series:
        """The texts of some values: of scalars as `json_text.scalar` gives them, of structures as written."""
        texts = sound_texts(buffer, self.starts[index], self.ends[index])
        return self._decoded(buffer, index, texts, np.arange(len(index)))

    def column(self, buffer: Bytes, index: Positions, height: int) -> pl.Series:
        """The texts of some values, at most one a row, in the places of their rows; null elsewhere."""
        rows = self.rows[index]
        starts, ends = np.zeros((2, height), np.int64)
        starts[rows], ends[rows] = self.starts[index], self.ends[index]
        is_null = np.ones(height, np.bool_)
        is_null[rows] = False
        return self._decoded(buffer, index, sound_texts(buffer, starts, ends, is_null), rows)

    def _decoded(self, buffer: Bytes, index: Positions, texts: pl.Series, places: Positions) -> pl.Series:
        """The texts, which stand in some places, of values that are not written as their texts."""
        kinds = self.kinds[index]
        odd = np.flatnonzero((kinds == json_tokenizer.ESCAPED) | (kinds == json_tokenizer.NUMBER))
        if not len(odd):
            return texts
        quotes = kinds[odd] == json_tokenizer.ESCAPED
        starts, ends = self.starts[index[odd]] - quotes, self.ends[index[odd]] + quotes
        written = [buffer[start:end].tobytes() for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
        return texts.scatter(places[odd], pl.Series([json_codec.scalar(json_codec.parse(text)) for text in written]))
