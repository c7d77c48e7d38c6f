"""`application/x-www-form-urlencoded` texts to parameters, by the WHATWG parser, for a whole column at once.

The column's bytes are one buffer. Delimiter positions in it give the pieces, percent escapes are decoded in place by
one deletion over the buffer, and the pieces become text without being looked at one by one. Only pieces whose bytes
are not UTF-8 are decoded apart.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

Bytes = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.int64]

_HEX: Final = np.full(256, 255, np.uint8)
_HEX[np.frombuffer(b"0123456789", np.uint8)] = np.arange(10)
_HEX[np.frombuffer(b"abcdef", np.uint8)] = np.arange(10, 16)
_HEX[np.frombuffer(b"ABCDEF", np.uint8)] = np.arange(10, 16)


def explode_forms(forms: pl.Series) -> pl.DataFrame:
    """One row a parameter of the texts, in order: split at `&`, empty pieces skipped, then at the first `=`.

    `+` is a space, percent escapes are decoded once, as UTF-8 with U+FFFD for what is malformed.

    Args:
        forms: String; null has no parameters.

    Returns:
        row UInt32 (index into `forms`), name String, value String. Nothing is null.

    Source: semantics 1.2.

    Examples:
        >>> explode_forms(pl.Series(["a=1&b=%C3%A9+x", "&&", "a==b&c", "%FF=%2", None])).rows()
        [(0, 'a', '1'), (0, 'b', 'é x'), (2, 'a', '=b'), (2, 'c', ''), (3, '�', '%2')]
    """
    buffer, offsets = _buffer(forms)
    piece_starts, piece_ends, rows = _pieces(buffer, offsets)
    name_ends = _first_at_or_after(np.flatnonzero(buffer == ord("=")), piece_starts, piece_ends)
    value_starts = np.minimum(name_ends + 1, piece_ends)
    bounds = np.stack([piece_starts, name_ends, value_starts, piece_ends], axis=1).ravel()
    decoded, bounds = _percent_decoded(buffer, bounds, offsets)
    texts = spans_to_text(decoded, bounds[0::2], bounds[1::2])
    return pl.DataFrame(
        {
            "row": pl.Series(rows, dtype=pl.UInt32),
            "name": texts.gather_every(2),
            "value": texts.gather_every(2, offset=1),
        }
    )


def decoded_texts(texts: pl.Series) -> pl.Series:
    """The texts with their percent escapes decoded once; `+` stays. Null stays null.

    Examples:
        >>> decoded_texts(pl.Series(["%7Bid%7D", "50%", "a+b", None])).to_list()
        ['{id}', '50%', 'a+b', None]
    """
    buffer, offsets = _buffer(texts)
    decoded, bounds = _percent_decoded(buffer, offsets, offsets, plus_is_blank=False)
    return spans_to_text(decoded, bounds[:-1], bounds[1:]).zip_with(texts.is_not_null(), _nulls(len(texts)))


def spans_to_text(buffer: Bytes, starts: Positions, ends: Positions) -> pl.Series:
    """The text of each span of the buffer. Bytes that are not UTF-8 become U+FFFD.

    Args:
        buffer: Bytes that hold all texts.
        starts: First byte of each span, ascending.
        ends: One past the last byte of each span; no span reaches into the next.

    Returns:
        String, one value a span; it keeps the buffer alive and copies nothing where all bytes are UTF-8.
    """
    malformed, originals = _malformed_spans(buffer, starts, ends)
    if len(malformed):
        buffer = buffer.copy()
        for start, end in zip(starts[malformed], ends[malformed], strict=True):
            buffer[start:end] = ord("?")
    offsets = np.empty(2 * len(starts) + 1, np.int64)
    offsets[0:-1:2] = starts
    offsets[1::2] = ends
    offsets[-1] = ends[-1] if len(ends) else 0
    array = pa.LargeStringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(buffer))
    texts = pl.Series(pl.from_arrow(array), dtype=pl.String).gather_every(2)
    if len(malformed):
        texts = texts.scatter(malformed, [text.decode("utf-8", "replace") for text in originals])
    return texts


def _malformed_spans(buffer: Bytes, starts: Positions, ends: Positions) -> tuple[Positions, list[bytes]]:
    """Which spans are not UTF-8, and their bytes."""
    high = np.flatnonzero(buffer >= 0x80)
    if not len(high):
        return high, []
    is_cut_in = (buffer[np.minimum(starts, len(buffer) - 1)] & 0xC0) == 0x80
    if not (is_cut_in & (starts < ends)).any() and _is_utf8(buffer):
        return high[:0], []
    spans = np.unique(np.searchsorted(starts, high, side="right") - 1)
    spans = spans[spans >= 0]
    texts = {int(span): buffer[starts[span] : ends[span]].tobytes() for span in spans}
    bad = {span: text for span, text in texts.items() if not _is_utf8(text)}
    return np.fromiter(bad, np.int64, len(bad)), list(bad.values())


def _is_utf8(text: Bytes | bytes) -> bool:
    try:
        bytes(text).decode()
    except UnicodeDecodeError:
        return False
    return True


def _buffer(texts: pl.Series) -> tuple[Bytes, Positions]:
    """The UTF-8 bytes of all texts, one after another, and where each begins (and the last ends); none for null."""
    array = texts.fill_null("").rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, data = array.buffers()
    starts = np.frombuffer(offsets, np.int64, len(array) + 1, array.offset * 8)
    if data is None or not len(array):
        return np.empty(0, np.uint8), np.zeros(len(array) + 1, np.int64)
    return np.frombuffer(data, np.uint8)[starts[0] : starts[-1]], starts - starts[0]


def _pieces(buffer: Bytes, offsets: Positions) -> tuple[Positions, Positions, Positions]:
    """Start, end and row of every piece between ampersands that is not empty."""
    ampersands = np.flatnonzero(buffer == ord("&"))
    rows = np.searchsorted(offsets[1:], ampersands, side="right")
    counts = np.bincount(rows, minlength=len(offsets) - 1) + 1
    lasts = np.cumsum(counts) - 1
    ends = np.empty(len(ampersands) + len(counts), np.int64)
    is_last = np.zeros(len(ends), np.bool_)
    is_last[lasts] = True
    ends[lasts] = offsets[1:]
    ends[~is_last] = ampersands
    starts = np.empty_like(ends)
    starts[1:] = ends[:-1] + ~is_last[:-1]
    starts[:1] = 0
    kept = starts < ends
    return starts[kept], ends[kept], np.repeat(np.arange(len(counts)), counts)[kept]


def _first_at_or_after(positions: Positions, starts: Positions, ends: Positions) -> Positions:
    """For each span the first of the positions in it, or its end."""
    positions = np.append(positions, np.iinfo(np.int64).max)
    return np.minimum(positions[np.searchsorted(positions, starts)], ends)


def _percent_decoded(
    buffer: Bytes, bounds: Positions, offsets: Positions, *, plus_is_blank: bool = True
) -> tuple[Bytes, Positions]:
    """The buffer with every `%HH` made one byte, and where the bounds lie in it.

    No two escapes overlap, as `%` is no hex digit; none reaches over a delimiter, as that is none either; one that
    would reach over the end of its text into the next, at one of the offsets, is none.
    """
    percents = np.flatnonzero(buffer == ord("%"))
    percents = percents[percents < len(buffer) - 2]
    high, low = _HEX[buffer[percents + 1]], _HEX[buffer[percents + 2]]
    is_escape = (high < 16) & (low < 16)
    is_start = np.zeros(len(buffer) + 1, np.bool_)
    is_start[offsets] = True
    is_escape &= ~(is_start[percents + 1] | is_start[percents + 2])
    escapes = percents[is_escape]
    decoded = buffer.copy()
    if plus_is_blank:
        decoded[buffer == ord("+")] = ord(" ")
    if not len(escapes):
        return decoded, bounds
    decoded[escapes] = high[is_escape] * 16 + low[is_escape]
    is_kept = np.ones(len(buffer), np.bool_)
    is_kept[escapes + 1] = False
    is_kept[escapes + 2] = False
    following = np.searchsorted(bounds, escapes, side="right")
    removed = np.cumsum(np.bincount(following, minlength=len(bounds) + 1)[: len(bounds)])
    return decoded[is_kept], bounds - 2 * removed


def _nulls(length: int) -> pl.Series:
    return pl.Series([None], dtype=pl.String).new_from_index(0, length)
