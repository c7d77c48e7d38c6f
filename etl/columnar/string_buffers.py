"""Converts between string columns and spans of a byte buffer, without a Python object for each value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from etl.columnar import byte_loops

Bytes = npt.NDArray[np.uint8]
Positions = byte_loops.Positions
Truths = npt.NDArray[np.bool_]

#: Whether a text with this first byte may begin with white space: 0 (empty text), ASCII white space and control
#: characters, and all non-ASCII bytes.
MAY_BE_BLANK: Final = np.zeros(256, np.bool_)
MAY_BE_BLANK[: ord(" ") + 1] = True
MAY_BE_BLANK[0x80:] = True

#: A position in an Arrow string view has 31 bits. A larger buffer is passed to Arrow as overlapping parts of up to
#: 2**31 - 1 bytes that begin 2**30 bytes apart.
_PART_BITS: Final = 30
_PART_BYTES: Final = 2**31 - 1


def texts_of(buffer: Bytes, starts: Positions, ends: Positions, suspects: Positions | None = None) -> pl.Series:
    """Returns the text of each span of a buffer. Bytes that are not UTF-8 become U+FFFD.

    Args:
        buffer: Bytes that hold all texts.
        starts: First byte of each span.
        ends: One past the last byte of each span.
        suspects: Indices of the spans that may hold other bytes than ASCII, if they are known.

    Returns:
        String, one value for each span. Long texts are views into the buffer and keep it alive.

    Examples:
        >>> buffer = np.frombuffer("one, twó".encode("latin-1"), np.uint8)
        >>> texts_of(buffer, np.array([0, 5, 3]), np.array([3, 8, 3])).to_list()
        ['one', 'tw�', '']
    """
    starts, ends = np.ascontiguousarray(starts), np.ascontiguousarray(ends)
    if suspects is None:
        malformed = malformed_spans(buffer, starts, ends)
    else:
        found = np.empty_like(suspects)
        malformed = suspects[found[: byte_loops.find_malformed(buffer.data, starts[suspects], ends[suspects], found)]]
    valid_ends = ends if not len(malformed) else np.where(np.isin(np.arange(len(ends)), malformed), starts, ends)
    texts = valid_texts(buffer, starts, valid_ends)
    if not len(malformed):
        return texts
    repaired = [buffer[starts[i] : ends[i]].tobytes().decode("utf-8", "replace") for i in malformed]
    return texts.scatter(malformed, repaired)


def utf8_bytes(texts: pl.Series) -> tuple[Bytes, Positions]:
    """Returns the bytes of all texts one after another, and where each text begins and ends; null is empty."""
    array = texts.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, data = array.buffers()
    places = np.frombuffer(offsets or bytes(8), np.int64)[array.offset :][: len(texts) + 1]
    return np.frombuffer(data or b"", np.uint8)[places[0] : places[-1]], places - places[0]


def join_bytes(texts: pl.Series, mark: str) -> tuple[Bytes, Positions]:
    """Concatenates the UTF-8 bytes of all texts with a separator after each; returns the bytes and each text's end.

    Args:
        texts: String; null counts as empty.
        mark: The separator, one ASCII character; texts may contain it.

    Examples:
        >>> buffer, ends = join_bytes(pl.Series(["ab", None, "c"]), "&")
        >>> buffer.tobytes(), ends.tolist()
        (b'ab&&c&', [2, 3, 5])
    """
    buffer, places = utf8_bytes(texts.fill_null("") + mark)
    return buffer, places[1:] - 1


def decoded_texts(texts: pl.Series) -> pl.Series:
    """Decodes the percent escapes of texts once; `+` stays `+`, null stays null.

    Examples:
        >>> decoded_texts(pl.Series(["%7Bid%7D", "50%", "a+b", None])).to_list()
        ['{id}', '50%', 'a+b', None]
    """
    buffer, ends = join_bytes(texts, "&")
    decoded, decoded_ends = np.empty_like(buffer), np.empty_like(ends)
    byte_loops.decode_percent(buffer.data, np.append(0, ends + 1)[:-1], ends, decoded.data, decoded_ends)
    return texts_of(decoded, np.append(0, decoded_ends)[:-1], decoded_ends).set(texts.is_null(), None)


def first_bytes(texts: pl.Series) -> Bytes:
    """Returns the first byte of each text, 0 for empty and null: a cheap filter before a costly check.

    Examples:
        >>> first_bytes(pl.Series(["a", "", None, "{b}"])).tolist()
        [97, 0, 0, 123]
    """
    views, _ = _views(texts)
    firsts = views.view(np.uint8)[:, 4].copy()
    if texts.null_count():
        firsts[texts.is_null().to_numpy()] = 0
    return firsts


def _views(texts: pl.Series) -> tuple[npt.NDArray[np.uint32], list[pa.Buffer]]:
    """Returns the Arrow string views of a column, four numbers each, and the buffers that they lead to; no copies."""
    array = texts.rechunk().to_arrow(compat_level=pl.CompatLevel.newest())
    _, views, *buffers = array.buffers()
    return np.frombuffer(views or b"", np.uint32)[4 * array.offset :].reshape(-1, 4)[: len(texts)], buffers


def byte_marks(texts: pl.Series, table: Bytes) -> Bytes:
    """Returns for each text the bits that a table has for its bytes, 0 for empty and null: one pass for many checks.

    Args:
        texts: String.
        table: Bits of each of the 256 bytes.

    Examples:
        >>> table = np.zeros(256, np.uint8)
        >>> table[ord("=")], table[ord("%")] = 1, 2
        >>> byte_marks(pl.Series(["a=%", "b", None, "= and more than twelve"]), table).tolist()
        [3, 0, 0, 1]
    """
    views, buffers = _views(texts)
    marks = np.zeros(len(texts), np.uint8)
    for part, buffer in enumerate(buffers or [pa.py_buffer(b"")]):
        byte_loops.mark_bytes(views, views.view(np.uint8), np.frombuffer(buffer, np.uint8).data, part, table, marks)
    if texts.null_count():
        marks[texts.is_null().to_numpy()] = 0
    return marks


def holds_any(texts: pl.Series, characters: str) -> bool:
    """Returns whether any of the texts holds one of the ASCII characters: cheaper than a search in each text.

    Examples:
        >>> holds_any(pl.Series(["ab", None, "c@"]), "%@"), holds_any(pl.Series(["ab", None]), "%@")
        (True, False)
    """
    buffer, _ = utf8_bytes(texts)
    return any(bool((buffer == ord(character)).any()) for character in characters)


def is_blank(texts: pl.Series) -> Truths:
    """Returns whether each text is empty or only white space.

    Args:
        texts: String without nulls.

    Source: rules 1.6.

    Examples:
        >>> is_blank(pl.Series(["a", "", " \u3000", " b", "é"])).tolist()
        [False, True, True, False, False]
    """
    blank = MAY_BE_BLANK.take(first_bytes(texts))
    suspects = np.flatnonzero(blank)
    if len(suspects):
        blank[suspects] = (texts[suspects].str.strip_chars() == "").to_numpy()
    return blank


def valid_texts(buffer: Bytes, starts: Positions, ends: Positions, is_null: Truths | None = None) -> pl.Series:
    """Returns the text of each span without validation: spans must be valid UTF-8. `is_null` marks rows to be null."""
    views = np.empty((len(starts), 4), np.uint32)
    byte_loops.write_views(buffer.data, starts, ends, _PART_BITS, views)
    parts = [buffer[first : first + _PART_BYTES] for first in range(0, len(buffer), 1 << _PART_BITS)]
    valid = None if is_null is None else pa.py_buffer(np.packbits(~is_null, bitorder="little"))
    buffers = [valid, pa.py_buffer(views), *map(pa.py_buffer, parts)]
    return series_of(pa.Array.from_buffers(pa.string_view(), len(starts), buffers))


def gather_or_null(texts: pl.Series, index: Positions) -> pl.Series:
    """Returns the texts at an index, null for -1: views are copied, and no text is looked at.

    Args:
        texts: String without nulls.
        index: Indices of texts.

    Examples:
        >>> gather_or_null(pl.Series(["a", "b and more than twelve"]), np.array([1, -1, 0])).to_list()
        ['b and more than twelve', None, 'a']
    """
    views, buffers = _views(texts)
    is_null = index < 0
    taken = np.append(views, np.zeros((1, 4), np.uint32), axis=0).take(index, axis=0)
    valid = pa.py_buffer(np.packbits(~is_null, bitorder="little"))
    return series_of(pa.Array.from_buffers(pa.string_view(), len(index), [valid, pa.py_buffer(taken), *buffers]))


def malformed_spans(buffer: Bytes, starts: Positions, ends: Positions) -> Positions:
    """Returns the indices of the spans that are not valid UTF-8.

    Examples:
        >>> buffer = np.frombuffer("né".encode(), np.uint8)
        >>> malformed_spans(buffer, np.array([0, 1, 2, 1]), np.array([1, 2, 3, 3])).tolist()
        [1, 2]
    """
    malformed = np.empty(len(starts), np.int64)
    if not len(buffer) or buffer.max() < 0x80:
        return malformed[:0]
    if _is_utf8(buffer):
        bounds = np.concatenate([starts, ends])
        is_within = buffer[bounds[bounds < len(buffer)]] & 0xC0 == 0x80
        if not is_within.any():
            return malformed[:0]
    return malformed[: byte_loops.find_malformed(buffer.data, starts, ends, malformed)]


def _is_utf8(buffer: Bytes) -> bool:
    """Returns whether the whole buffer is valid UTF-8."""
    places = pa.py_buffer(np.array([0, len(buffer)]))
    try:
        pa.Array.from_buffers(pa.large_string(), 1, [None, places, pa.py_buffer(buffer)]).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def lists_of(
    items: pl.Series, lengths: npt.NDArray[np.int64], is_null: npt.NDArray[np.bool_] | None = None
) -> pl.Series:
    """Cuts a column of consecutive items into a column of lists.

    The lists are built from Arrow buffers, because pyarrow's constructors from Python values import pandas where it is
    installed (`bench/README.md`).

    Args:
        items: The items of all lists, one after another.
        lengths: Number of items of each list.
        is_null: Whether each list is null; the length of a null list is 0.

    Examples:
        >>> lists_of(pl.Series(["a", "b"]), np.array([0, 2, 0]), np.array([False, False, True])).to_list()
        [[], ['a', 'b'], None]
    """
    ends = np.append(0, np.cumsum(lengths)).astype(np.int64)
    child = items.rechunk().to_arrow(compat_level=pl.CompatLevel.newest())
    valid = None if is_null is None else pa.py_buffer(np.packbits(~is_null, bitorder="little"))
    dtype = pa.large_list(pa.field("item", child.type))
    lists = pa.Array.from_buffers(dtype, len(lengths), [valid, pa.py_buffer(ends)], children=[child])
    return series_of(lists).cast(pl.List(items.dtype))


@dataclass(frozen=True)
class _ArrowArray:
    """An array that polars takes by Arrow's interface alone."""

    array: pa.Array

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        return self.array.__arrow_c_array__(requested_schema)  # type: ignore[no-any-return]


def series_of(array: pa.Array) -> pl.Series:
    """Returns an Arrow array as a column. `polars.from_arrow` imports `pyarrow.compute`, which takes 60 ms."""
    return pl.Series(_ArrowArray(array))
