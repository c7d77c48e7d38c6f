"""Texts as places in a buffer of bytes, and back: how a column is cut or glued without looking at each value."""

from __future__ import annotations

from typing import Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from etl.columnar import byte_loops

Bytes = npt.NDArray[np.uint8]
Positions = byte_loops.Positions
Truths = npt.NDArray[np.bool_]

#: First bytes of a text that may begin with white space: none, ASCII's, and those of other characters.
MAY_BE_BLANK: Final = np.zeros(256, np.bool_)
MAY_BE_BLANK[: ord(" ") + 1] = True
MAY_BE_BLANK[0x80:] = True

#: The place in a string view has 31 bits: a large buffer is handed over as overlapping parts that begin so far apart.
_PART_BITS: Final = 30
_PART_BYTES: Final = 2**31 - 1


def texts_of(buffer: Bytes, starts: Positions, ends: Positions) -> pl.Series:
    """The text of each span of the buffer. Bytes that are not UTF-8 become U+FFFD.

    Args:
        buffer: Bytes that hold all texts.
        starts: First byte of each span.
        ends: One past the last byte of each span.

    Returns:
        String, one value a span. Long texts stay in the buffer, which they keep alive.

    Examples:
        >>> buffer = np.frombuffer("one, twó".encode("latin-1"), np.uint8)
        >>> texts_of(buffer, np.array([0, 5, 3]), np.array([3, 8, 3])).to_list()
        ['one', 'tw�', '']
    """
    starts, ends = np.ascontiguousarray(starts), np.ascontiguousarray(ends)
    malformed = malformed_spans(buffer, starts, ends)
    sound_ends = ends if not len(malformed) else np.where(np.isin(np.arange(len(ends)), malformed), starts, ends)
    texts = sound_texts(buffer, starts, sound_ends)
    if not len(malformed):
        return texts
    repaired = [buffer[starts[i] : ends[i]].tobytes().decode("utf-8", "replace") for i in malformed]
    return texts.scatter(malformed, repaired)


def glued(texts: pl.Series, mark: str) -> tuple[Bytes, Positions]:
    """The UTF-8 bytes of all texts with a mark of one byte after each, and where each text ends.

    Args:
        texts: String; null is as empty.
        mark: What stands after a text, and may stand in it.

    Examples:
        >>> buffer, ends = glued(pl.Series(["ab", None, "c"]), "&")
        >>> buffer.tobytes(), ends.tolist()
        (b'ab&&c&', [2, 3, 5])
    """
    marked = (texts.fill_null("") + mark).rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, data = marked.buffers()
    places = np.frombuffer(offsets, np.int64)[marked.offset :][: len(texts) + 1]
    return np.frombuffer(data or b"", np.uint8)[places[0] : places[-1]], places[1:] - places[0] - 1


def decoded_texts(texts: pl.Series) -> pl.Series:
    """The texts with their percent escapes decoded once; `+` stays. Null stays null.

    Examples:
        >>> decoded_texts(pl.Series(["%7Bid%7D", "50%", "a+b", None])).to_list()
        ['{id}', '50%', 'a+b', None]
    """
    buffer, ends = glued(texts, "&")
    decoded, decoded_ends = np.empty_like(buffer), np.empty_like(ends)
    byte_loops.decode_percent(buffer.data, np.append(0, ends + 1)[:-1], ends, decoded.data, decoded_ends)
    return texts_of(decoded, np.append(0, decoded_ends)[:-1], decoded_ends).set(texts.is_null(), None)


def first_bytes(texts: pl.Series) -> Bytes:
    """The first byte of each text, 0 for none: what tells at a glance which texts are worth a closer look.

    Examples:
        >>> first_bytes(pl.Series(["a", "", None, "{b}"])).tolist()
        [97, 0, 0, 123]
    """
    array = texts.rechunk().to_arrow(compat_level=pl.CompatLevel.newest())
    views = np.frombuffer(array.buffers()[1] or b"", np.uint8)[16 * array.offset :].reshape(-1, 16)[: len(texts)]
    firsts = views[:, 4].copy()
    if texts.null_count():
        firsts[texts.is_null().to_numpy()] = 0
    return firsts


def is_blank(texts: pl.Series) -> Truths:
    """Whether a text is empty or only white space.

    Args:
        texts: String, nothing null.

    Source: rules 1.6.

    Examples:
        >>> is_blank(pl.Series(["a", "", " \u3000", " b", "é"])).tolist()
        [False, True, True, False, False]
    """
    blank = MAY_BE_BLANK[first_bytes(texts)]
    suspects = np.flatnonzero(blank)
    if len(suspects):
        blank[suspects] = (texts[suspects].str.strip_chars() == "").to_numpy()
    return blank


def sound_texts(buffer: Bytes, starts: Positions, ends: Positions, is_null: Truths | None = None) -> pl.Series:
    """As `texts_of`, for spans that are known to be UTF-8: nobody looks. Some may stand for null."""
    views = np.empty((len(starts), 4), np.uint32)
    byte_loops.write_views(buffer.data, starts, ends, _PART_BITS, views)
    parts = [buffer[first : first + _PART_BYTES] for first in range(0, len(buffer), 1 << _PART_BITS)]
    valid = None if is_null is None else pa.py_buffer(np.packbits(~is_null, bitorder="little"))
    buffers = [valid, pa.py_buffer(views), *map(pa.py_buffer, parts)]
    return pl.Series(pl.from_arrow(pa.Array.from_buffers(pa.string_view(), len(starts), buffers)), dtype=pl.String)


def malformed_spans(buffer: Bytes, starts: Positions, ends: Positions) -> Positions:
    """Which spans are not UTF-8.

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
    places = pa.py_buffer(np.array([0, len(buffer)]))
    try:
        pa.Array.from_buffers(pa.large_string(), 1, [None, places, pa.py_buffer(buffer)]).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def lists_of(
    items: pl.Series, lengths: npt.NDArray[np.int64], is_null: npt.NDArray[np.bool_] | None = None
) -> pl.Series:
    """Consecutive items as lists.

    pyarrow is handed buffers, as its constructors from Python values import pandas where that is installed.

    Args:
        items: The items of all lists, one after another.
        lengths: How many of them each list holds.
        is_null: Lists that are null; their length is 0.

    Examples:
        >>> lists_of(pl.Series(["a", "b"]), np.array([0, 2, 0]), np.array([False, False, True])).to_list()
        [[], ['a', 'b'], None]
    """
    ends = np.append(0, np.cumsum(lengths)).astype(np.int64)
    child = items.rechunk().to_arrow(compat_level=pl.CompatLevel.newest())
    valid = None if is_null is None else pa.py_buffer(np.packbits(~is_null, bitorder="little"))
    dtype = pa.large_list(pa.field("item", child.type))
    lists = pa.Array.from_buffers(dtype, len(lengths), [valid, pa.py_buffer(ends)], children=[child])
    return pl.Series(pl.from_arrow(lists), dtype=pl.List(items.dtype))


class Splices(NamedTuple):
    """Spans of a buffer, no two of which overlap, and the text that takes the place of each."""

    starts: Positions
    ends: Positions
    texts: pl.Series

    @classmethod
    def merged(cls, parts: list[Self]) -> Self:
        """Those of all parts, ascending."""
        starts, ends = (np.concatenate([part[i] for part in parts]) for i in range(2))
        order = np.argsort(starts, kind="stable")
        return cls(starts[order], ends[order], pl.concat([part.texts for part in parts]).gather(order))


def spliced(buffer: Bytes, starts: Positions, ends: Positions, splices: Splices) -> pl.Series:
    """The text of each span of a buffer, once splices are made.

    Args:
        buffer: Bytes that hold all texts; UTF-8 where nothing is replaced.
        starts: First byte of each span.
        ends: One past the last byte of each span.
        splices: Ascending, each within a span; spans that hold one have a byte between them.

    Examples:
        >>> buffer = np.frombuffer(b"one two, three", np.uint8)
        >>> splices = Splices(np.array([4, 9]), np.array([7, 11]), pl.Series(["2", "ThThTh"]))
        >>> spliced(buffer, np.array([0, 9]), np.array([7, 14]), splices).to_list()
        ['one 2', 'ThThThree']
    """
    count = len(splices.starts)
    kept = texts_of(buffer, np.append(0, splices.ends), np.append(splices.starts, len(buffer)))
    order = np.arange(2 * count + 1) // 2
    order[1::2] += count + 1
    parts = pl.concat([kept, splices.texts]).gather(order).to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, data = parts.buffers()
    places = np.frombuffer(offsets, np.int64)[parts.offset :][: len(parts) + 1]
    shifts = np.append(0, places[2::2] - splices.ends)

    def moved(bounds: Positions, side: str) -> Positions:
        return bounds + shifts[np.searchsorted(splices.ends, bounds, side=side)]  # type: ignore[call-overload]

    glued = np.frombuffer(data or b"", np.uint8)
    return texts_of(glued, moved(starts, "left"), moved(ends, "right"))
