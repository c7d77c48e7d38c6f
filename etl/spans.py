"""Texts as places in a buffer of bytes, and back: how a column is cut or glued without looking at each value."""

from __future__ import annotations

import codecs
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

Bytes = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.int64]
Truths = npt.NDArray[np.bool_]

_HEX: Final = np.full(256, 255, np.uint8)
_HEX[np.frombuffer(b"0123456789", np.uint8)] = np.arange(10)
_HEX[np.frombuffer(b"abcdef", np.uint8)] = np.arange(10, 16)
_HEX[np.frombuffer(b"ABCDEF", np.uint8)] = np.arange(10, 16)

#: First bytes of a text that may begin with white space: none, ASCII's, and those of other characters.
MAY_BE_BLANK: Final = np.zeros(256, np.bool_)
MAY_BE_BLANK[: ord(" ") + 1] = True
MAY_BE_BLANK[0x80:] = True

#: A string view holds a text of so many bytes itself; of a longer one four bytes and the place of all.
_INLINE: Final = 12

#: How many bytes behind a place are read with it.
ROOM: Final = 64

#: The place in a view has 31 bits: a large buffer is handed over as overlapping parts that begin so far apart.
_PART_BITS: Final = 30
_PART_BYTES: Final = 2**31 - 1

#: Odd numbers whose products spread over 64 bits; and how many bits of a product choose a slot.
_MIXERS: Final = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)
_SLOT_BITS: Final = 14

#: How many bytes a word of eight keeps of a text that ends after 0, 1, … 8 of them.
_MASKS: Final = np.array([(1 << 8 * kept) - 1 for kept in range(9)], np.uint64)


def texts_of(buffer: Bytes, starts: Positions, ends: Positions) -> pl.Series:
    """The text of each span of the buffer. Bytes that are not UTF-8 become U+FFFD.

    Args:
        buffer: Bytes that hold all texts.
        starts: First byte of each span.
        ends: One past the last byte of each span.

    Returns:
        String, one value a span. Long texts stay in the buffer, which they keep alive; it is copied if there is no
        `ROOM` behind the last of them.

    Examples:
        >>> buffer = np.frombuffer("one, twó".encode("latin-1"), np.uint8)
        >>> texts_of(buffer, np.array([0, 5, 3]), np.array([3, 8, 3])).to_list()
        ['one', 'tw�', '']
    """
    malformed = _malformed_spans(buffer, starts, ends)
    sound_ends = ends if not len(malformed) else np.where(np.isin(np.arange(len(ends)), malformed), starts, ends)
    texts = _views(buffer, starts, sound_ends)
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
    decoded, escapes = percent_decoded(buffer, plus_is_blank=False)
    starts = np.append(0, ends + 1)[:-1]
    return texts_of(decoded, moved(starts, escapes), moved(ends, escapes)).set(texts.is_null(), None)


def percent_decoded(buffer: Bytes, *, plus_is_blank: bool) -> tuple[Bytes, Positions]:
    """The buffer with every `%HH` made one byte, and where the escapes stood, ascending.

    No two escapes overlap, as `%` is no hex digit; none reaches over a delimiter, as that is none either.
    """
    decoded = buffer.copy()
    if plus_is_blank:
        decoded[buffer == ord("+")] = ord(" ")
    percents = np.flatnonzero(buffer == ord("%"))
    percents = percents[percents < len(buffer) - 2]
    high, low = _HEX[buffer[percents + 1]], _HEX[buffer[percents + 2]]
    is_escape = (high < 16) & (low < 16)
    escapes = percents[is_escape]
    if not len(escapes):
        return decoded, escapes
    decoded[escapes] = high[is_escape] * 16 + low[is_escape]
    is_kept = np.ones(len(buffer), np.bool_)
    is_kept[escapes + 1] = False
    is_kept[escapes + 2] = False
    return decoded[is_kept], escapes


def moved(places: Positions, escapes: Positions) -> Positions:
    """Where places of a buffer lie once its percent escapes are one byte each."""
    return places - 2 * np.searchsorted(escapes, places) if len(escapes) else places


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

    Source: semantics 1.6.

    Examples:
        >>> is_blank(pl.Series(["a", "", " \u3000", " b", "é"])).tolist()
        [False, True, True, False, False]
    """
    blank = MAY_BE_BLANK[first_bytes(texts)]
    suspects = np.flatnonzero(blank)
    if len(suspects):
        blank[suspects] = (texts[suspects].str.strip_chars() == "").to_numpy()
    return blank


def number_texts(buffer: Bytes, starts: Positions, ends: Positions) -> tuple[pl.Series, Positions]:
    """The distinct texts of spans of which many are alike, and the number of each span's text among them.

    Texts of up to sixteen bytes are told apart by two words and the length, in a table with a slot for each of a few
    thousand hashes. What finds its slot taken by another, and what is longer, is told apart as text.

    Args:
        buffer: Bytes that hold all texts.
        starts: First byte of each span.
        ends: One past the last byte of each span.

    Examples:
        >>> buffer = np.frombuffer(b"ab,a,ab", np.uint8)
        >>> texts, numbers = number_texts(buffer, np.array([0, 3, 5]), np.array([2, 4, 7]))
        >>> sorted(texts), texts.gather(numbers).to_list()
        (['a', 'ab'], ['ab', 'a', 'ab'])
    """
    roomy = _with_room(buffer, ends)
    lengths = ends - starts
    head = _words(roomy, starts, 8, "<u8") & _MASKS[np.minimum(lengths, 8)]
    tail = np.where(lengths > 8, _words(roomy, np.maximum(ends - 8, 0), 8, "<u8"), 0)
    keys = head * _MIXERS[0] ^ tail * _MIXERS[1] ^ lengths.astype(np.uint64) * _MIXERS[2]
    slots = (keys * _MIXERS[0] >> np.uint64(64 - _SLOT_BITS)).astype(np.int64)
    holders = np.zeros(1 << _SLOT_BITS, np.int64)
    holders[slots] = np.arange(len(starts))
    holder = holders[slots]
    is_alike = (head[holder] == head) & (tail[holder] == tail) & (lengths[holder] == lengths) & (lengths <= 16)
    shown = np.unique(holder[is_alike])
    others = np.flatnonzero(~is_alike)
    texts = pl.concat([texts_of(buffer, starts[part], ends[part]) for part in (shown, others)])
    distinct = texts.unique(maintain_order=True)
    found = texts.cast(pl.Enum(distinct)).to_physical().to_numpy().astype(np.int64)
    numbers = np.empty(len(starts), np.int64)
    numbers[shown] = found[: len(shown)]
    numbers[is_alike] = numbers[holder[is_alike]]
    numbers[others] = found[len(shown) :]
    return distinct, numbers


def _views(buffer: Bytes, starts: Positions, ends: Positions) -> pl.Series:
    """Arrow string views of spans that are UTF-8: length, and the text itself or where it is."""
    roomy = _with_room(buffer, ends)
    lengths = ends - starts
    head = _words(roomy, starts, 8, "<u8") & _MASKS[np.minimum(lengths, 8)]
    tail = _words(roomy, starts + 8, 4, "<u4") & _MASKS[np.clip(lengths - 8, 0, 4)]
    is_long = lengths > _INLINE
    views = np.empty((len(starts), 4), np.uint32)
    views[:, 0] = lengths
    views[:, 1] = head & _MASKS[4]
    views[:, 2] = np.where(is_long, starts >> _PART_BITS, head >> np.uint64(32))
    views[:, 3] = np.where(is_long, starts & (1 << _PART_BITS) - 1, tail)
    parts = [roomy[first : first + _PART_BYTES] for first in range(0, len(roomy), 1 << _PART_BITS)]
    buffers = [None, pa.py_buffer(views), *map(pa.py_buffer, parts)]
    return pl.Series(pl.from_arrow(pa.Array.from_buffers(pa.string_view(), len(starts), buffers)), dtype=pl.String)


def padded(buffer: Bytes) -> Bytes:
    """The buffer with room behind it, so that a word can be read at each of its places."""
    return np.append(buffer, np.zeros(ROOM, np.uint8))


def _with_room(buffer: Bytes, ends: Positions) -> Bytes:
    return buffer if len(ends) and ends.max() + ROOM <= len(buffer) else padded(buffer)


def places_of(buffer: Bytes, word: bytes) -> Positions:
    """Where a word begins in the buffer.

    Examples:
        >>> places_of(np.frombuffer(b"abcab", np.uint8), b"ab").tolist()
        [0, 3]
    """
    places = np.flatnonzero(buffer == word[0])
    places = places[places <= len(buffer) - len(word)]
    for i, byte in enumerate(word[1:], 1):
        places = places[buffer[places + i] == byte]
    return places


def _words(roomy: Bytes, places: Positions, size: int, dtype: str) -> npt.NDArray[np.uint64]:
    """The number that the bytes at each place make, wherever it stands."""
    words = np.ndarray((len(roomy) - size + 1,), dtype, roomy.data, strides=(1,))
    found: npt.NDArray[np.uint64] = words[places]
    return found


def _malformed_spans(buffer: Bytes, starts: Positions, ends: Positions) -> Positions:
    """Which spans are not UTF-8."""
    none = np.empty(0, np.int64)
    if not len(buffer) or buffer.max() < 0x80:
        return none
    is_cut = _continues(buffer, starts) | _continues(buffer, ends)
    if not (is_cut & (starts < ends)).any() and _is_utf8(buffer):
        return none
    highs = np.append(0, np.cumsum(buffer >= 0x80))
    suspects = np.flatnonzero(highs[ends] > highs[starts])
    is_bad = [not _is_utf8(buffer[starts[i] : ends[i]]) for i in suspects]
    return suspects[np.array(is_bad, np.bool_)]


def _continues(buffer: Bytes, places: Positions) -> Truths:
    """Whether a character begins before a place and ends after it, if the buffer is UTF-8."""
    continues: Truths = (buffer[np.minimum(places, len(buffer) - 1)] & 0xC0) == 0x80
    return continues & (places < len(buffer))


def _is_utf8(text: Bytes) -> bool:
    try:
        codecs.utf_8_decode(text.data, "strict", True)
    except UnicodeDecodeError:
        return False
    return True
