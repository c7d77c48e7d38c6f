"""Loops over bytes that need one pass over memory where numpy needs several (`bench/README.md`).

The module is plain Python. Cython compiles it when the package is installed; `byte_loops.pxd` declares the C types.
The caller allocates all buffers large enough; output buffers are the last arguments. Bytes are passed as memoryviews,
whose elements are plain Python integers, so that compiled and interpreted code compute the same values.
"""

from __future__ import annotations

import secrets
from typing import Final

import numpy as np
import numpy.typing as npt

Positions = npt.NDArray[np.int64]
Slots = npt.NDArray[np.int32]
Views = npt.NDArray[np.uint32]
Cells = npt.NDArray[np.uint8]
Hashes = npt.NDArray[np.uint64]
Marks = npt.NDArray[np.uint8]

_AMPERSAND: Final = ord("&")
_EQUALS: Final = ord("=")
_PERCENT: Final = ord("%")
_PLUS: Final = ord("+")
_BLANK: Final = ord(" ")
_ZERO: Final = ord("0")
_LETTER_A: Final = ord("a")
_LOWER: Final = 0x20

#: An Arrow string view stores a text of up to 12 bytes inline; for a longer text, 4 bytes and its place in the buffer.
_INLINE: Final = 12

#: The mask that keeps 64 bits.
_BITS: Final = 0xFFFFFFFFFFFFFFFF

#: The secret factor of the text hash, drawn for each process, so that no sender can aim texts at one slot. The hash
#: orders nothing and leaves no batch.
_seed = secrets.randbits(64) | 1


def set_seed(seed: int) -> None:
    """Sets the secret factor of the text hash; for tests."""
    global _seed  # noqa: PLW0603
    _seed = seed


def _find(buffer: memoryview, start: int, end: int, byte: int) -> int:
    """Returns the first index of a byte in a span, or the span's end."""
    place = start
    while place < end and buffer[place] != byte:
        place += 1
    return place


def _digit(byte: int) -> int:
    """Returns the value of a hexadecimal digit, or -1 for any other byte."""
    if _ZERO <= byte < _ZERO + 10:
        return byte - _ZERO
    letter = (byte | _LOWER) - _LETTER_A
    return letter + 10 if 0 <= letter < 6 else -1


def _decode(
    buffer: memoryview, start: int, end: int, stops: tuple[int, int], blank: int, decoded: memoryview, written: int
) -> tuple[int, int, int]:
    """Decodes the percent escapes of a span, up to the first of two stop bytes; each byte `blank` becomes a space.

    Returns:
        The index where reading stopped, the end of the decoded bytes, and whether bytes among them are not ASCII.
    """
    place = start
    bits = 0
    while place < end and buffer[place] != stops[0] and buffer[place] != stops[1]:
        byte = buffer[place]
        if byte == _PERCENT and place + 2 < end:
            high, low = _digit(buffer[place + 1]), _digit(buffer[place + 2])
            if high >= 0 and low >= 0:
                byte = high * 16 + low
                place += 2
        elif byte == blank:
            byte = _BLANK
        bits |= byte
        decoded[written] = byte
        written += 1
        place += 1
    return place, written, bits >= 0x80


def decode_percent(
    buffer: memoryview, starts: Positions, ends: Positions, decoded: memoryview, decoded_ends: Positions
) -> None:
    """Decodes the percent escapes of spans, writes the results one after another, and records the end of each."""
    written = 0
    for i in range(len(starts)):
        _, written, _ = _decode(buffer, starts[i], ends[i], (-1, -1), _BLANK, decoded, written)
        decoded_ends[i] = written


def _word(buffer: memoryview, place: int) -> int:
    """Returns eight bytes as one little-endian integer; a compiler makes it a single load."""
    low = buffer[place] | buffer[place + 1] << 8 | buffer[place + 2] << 16 | buffer[place + 3] << 24
    high = buffer[place + 4] | buffer[place + 5] << 8 | buffer[place + 6] << 16 | buffer[place + 7] << 24
    return low | high << 32


def _mixed(digest: int, word: int) -> int:
    """Returns the hash after one more word of eight bytes: both halves of a product of 128 bits."""
    product = digest ^ word
    product = product * _seed
    return (product ^ (product >> 64)) & _BITS


def _hash(buffer: memoryview, start: int, end: int) -> int:
    """Returns a 64-bit hash of the bytes of a span."""
    digest = _seed
    place = start
    while place + 8 <= end:
        digest = _mixed(digest, _word(buffer, place))
        place += 8
    word = 0
    while place < end:
        word = word << 8 | buffer[place]
        place += 1
    return _mixed(digest, word)


def _equal(buffer: memoryview, first: int, start: int, end: int) -> bool:
    """Returns whether the bytes at index `first` equal the bytes of the span from `start` to `end`."""
    place = start
    while place + 8 <= end and _word(buffer, first + place - start) == _word(buffer, place):
        place += 8
    while place < end and buffer[first + place - start] == buffer[place]:
        place += 1
    return place == end


def _number_of(decoded: memoryview, start: int, end: int, spans: Positions, slots: Slots, count: int) -> int:
    """Returns the number of a name among the `count` names in `spans`; adds a new name under the number `count`."""
    slot = _hash(decoded, start, end) & (len(slots) - 1)
    while slots[slot] >= 0:
        number = int(slots[slot])
        first = spans[0, number]
        if spans[1, number] - first == end - start and _equal(decoded, first, start, end):
            return number
        slot = (slot + 1) & (len(slots) - 1)
    slots[slot] = count
    spans[0, count] = start
    spans[1, count] = end
    return count


def split_forms(
    buffer: memoryview,
    form_ends: Positions,
    decoded: memoryview,
    spans: Positions,
    slots: Slots,
    pairs: Positions,
    suspects: Positions,
) -> tuple[int, int, int]:
    """Splits URL-encoded forms into pairs of a name and a value.

    Args:
        buffer: Bytes of all forms, with one byte between two forms.
        form_ends: End of each form.
        decoded: Output: the decoded names and values; as long as the buffer.
        spans: Output: start and end of every distinct name in `decoded`.
        slots: Hash table, all -1; its length is a power of two and exceeds the number of pairs.
        pairs: Output: for each pair its row, the number of its name, start and end of its value in `decoded`.
        suspects: Output: the indices of the pairs whose values are not ASCII; one longer than there are pairs.

    Returns:
        The number of pairs, of distinct names and of suspects.
    """
    written = count = names = place = found = 0
    for row in range(len(form_ends)):
        end = form_ends[row]
        while place < end:
            if buffer[place] != _AMPERSAND:
                name = written
                place, written, _ = _decode(buffer, place, end, (_AMPERSAND, _EQUALS), _PLUS, decoded, written)
                number = _number_of(decoded, name, written, spans, slots, names)
                names += number == names
                pairs[0, count] = row
                pairs[1, count] = number
                pairs[2, count] = written
                if place < end and buffer[place] == _EQUALS:
                    place += 1
                    place, written, is_other = _decode(
                        buffer, place, end, (_AMPERSAND, _AMPERSAND), _PLUS, decoded, written
                    )
                    suspects[found] = count
                    found += is_other
                pairs[3, count] = written
                count += 1
            place += 1
        place = end + 1
    return count, names, found


def number_texts(
    buffer: memoryview, starts: Positions, ends: Positions, slots: Slots, firsts: Positions, numbers: Slots
) -> int:
    """Numbers distinct texts in the order of their first occurrence.

    Args:
        buffer: Bytes that hold all texts.
        starts: First byte of each text.
        ends: One past the last byte of each text.
        slots: Hash table, all -1; its length is a power of two and exceeds the number of texts.
        firsts: Output: the index of the first occurrence of each distinct text.
        numbers: Output: for each text the number of its distinct text.

    Returns:
        The number of distinct texts.
    """
    count = 0
    for i in range(len(numbers)):
        start = starts[i]
        end = ends[i]
        slot = _hash(buffer, start, end) & (len(slots) - 1)
        while slots[slot] >= 0:
            first = firsts[slots[slot]]
            if ends[first] - starts[first] == end - start and _equal(buffer, starts[first], start, end):
                break
            slot = (slot + 1) & (len(slots) - 1)
        if slots[slot] < 0:
            slots[slot] = count
            firsts[count] = i
            count += 1
        numbers[i] = slots[slot]
    return count


def add_hashes(hashes: Hashes, slots: Hashes, repeated: Marks) -> int:
    """Adds hashes to a hash table.

    Args:
        hashes: The hashes to add; never 0.
        slots: The table; 0 is a free slot. It has more slots than hashes after the addition, and fewer than 2**32.
        repeated: Output: 1 for each hash that was in the table already, else 0.

    Returns:
        The number of hashes that were new.
    """
    count = 0
    for i in range(len(hashes)):
        slot = ((hashes[i] >> 32) * len(slots)) >> 32
        while slots[slot] and slots[slot] != hashes[i]:
            slot = slot + 1 if slot + 1 < len(slots) else 0
        repeated[i] = slots[slot] == hashes[i]
        count += not repeated[i]
        slots[slot] = hashes[i]
    return count


def write_views(buffer: memoryview, starts: Positions, ends: Positions, part_bits: int, views: Views) -> None:
    """Writes an Arrow string view for each span: its length, and the text itself or its prefix and position.

    Args:
        buffer: Bytes that hold all texts.
        starts: First byte of each span.
        ends: One past the last byte of each span.
        part_bits: Parts of the buffer begin at multiples of 2**part_bits.
        views: Output: four 32-bit words for each span.
    """
    for i in range(len(starts)):
        start = starts[i]
        length = ends[i] - start
        views[i, 0] = length
        shown = length if length <= _INLINE else 4
        for word in range(3):
            value = 0
            for byte in range(min(shown - 4 * word, 4)):
                value |= buffer[start + 4 * word + byte] << (8 * byte)
            views[i, word + 1] = value
        if length > _INLINE:
            views[i, 2] = start >> part_bits
            views[i, 3] = start & ((1 << part_bits) - 1)


def mark_bytes(views: Views, texts: Cells, buffer: memoryview, part: int, table: Marks, marks: Marks) -> None:
    """Joins for each text what a table says of its bytes. Call it for each buffer of a column.

    Args:
        views: An Arrow string view for each text.
        texts: The bytes of the views, 16 of each.
        buffer: One of the buffers that the views lead to.
        part: The number of this buffer. The first call, with 0, marks the texts within the views too.
        table: Bits of each byte.
        marks: Output: for each text the bits of all its bytes.
    """
    for i in range(len(views)):
        length = views[i, 0]
        bits = 0
        if length <= _INLINE:
            if part > 0:
                continue
            for place in range(length):
                bits |= table[texts[i, 4 + place]]
        elif views[i, 2] == part:
            start = views[i, 3]
            for place in range(start, start + length):
                bits |= table[buffer[place]]
        else:
            continue
        marks[i] = bits


def _character(buffer: memoryview, place: int, end: int) -> int:
    """Returns the number of bytes of the UTF-8 character at a non-ASCII byte; 0 if the character is malformed."""
    byte = buffer[place]
    size = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
    if byte < 0xC2 or byte > 0xF4 or place + size > end:
        return 0
    lowest = 0xA0 if byte == 0xE0 else 0x90 if byte == 0xF0 else 0x80
    highest = 0x9F if byte == 0xED else 0x8F if byte == 0xF4 else 0xBF
    if not lowest <= buffer[place + 1] <= highest:
        return 0
    for following in range(place + 2, place + size):
        if not 0x80 <= buffer[following] <= 0xBF:
            return 0
    return size


def find_malformed(buffer: memoryview, starts: Positions, ends: Positions, malformed: Positions) -> int:
    """Writes the indices of the spans that are not valid UTF-8, and returns their count."""
    count = 0
    for i in range(len(starts)):
        place, end = starts[i], ends[i]
        while place < end:
            size = 1 if buffer[place] < 0x80 else _character(buffer, place, end)
            if not size:
                malformed[count] = i
                count += 1
                break
            place += size
    return count
