"""Loops that split JSON texts into the positions of their values, without creating a Python object for any value.

Like `byte_loops`, the module is plain Python that Cython compiles; `json_tokenizer.pxd` declares the C types. Only
regular texts are split: valid JSON, at most 60 levels deep, no escapes in names, no name twice in an object. Bytes are
assumed to be UTF-8.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Positions = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.int32]

#: Kinds of values: string, string with escapes, other scalar, number whose text differs from how it is written, null,
#: object, array.
STRING: Final = 0
ESCAPED: Final = 1
SCALAR: Final = 2
NUMBER: Final = 3
NULL: Final = 4
OBJECT: Final = 5
ARRAY: Final = 6

_BLANK: Final = ord(" ")
_TAB: Final = ord("\t")
_LINE: Final = ord("\n")
_RETURN: Final = ord("\r")
_QUOTE: Final = ord('"')
_BACKSLASH: Final = ord("\\")
_COLON: Final = ord(":")
_COMMA: Final = ord(",")
_BRACE: Final = ord("{")
_BRACE_END: Final = ord("}")
_BRACKET: Final = ord("[")
_BRACKET_END: Final = ord("]")
_DASH: Final = ord("-")
_DOT: Final = ord(".")
_PLUS: Final = ord("+")
_ZERO: Final = ord("0")
_U: Final = ord("u")
_E: Final = ord("e")
_LETTER_A: Final = ord("a")
_LETTER_T: Final = ord("t")
_LETTER_F: Final = ord("f")
_LETTER_N: Final = ord("n")
_LOWER: Final = 0x20

_TRUE: Final = b"true"
_FALSE: Final = b"false"
_NULL: Final = b"null"
_ESCAPES: Final = b'"\\/bfnrt'

#: Texts that are nested deeper are irregular.
_DEEPEST: Final = 60

#: A decimal of up to 15 digits survives the conversion to a double and back.
_SURE_DIGITS: Final = 15


def _blanks(buffer: memoryview, place: int, end: int) -> int:
    """Skips JSON white space; returns the index of the next byte that is none, or the end."""
    while place < end and buffer[place] in (_BLANK, _TAB, _LINE, _RETURN):
        place += 1
    return place


def _stands_at(buffer: memoryview, place: int, end: int, text: bytes) -> bool:
    """Returns whether the buffer holds a text at an index."""
    if place + len(text) > end:
        return False
    for i in range(len(text)):
        if buffer[place + i] != text[i]:
            return False
    return True


def _is_digit(byte: int) -> bool:
    """Returns whether a byte is an ASCII digit."""
    return _ZERO <= byte < _ZERO + 10


def _digits(buffer: memoryview, place: int, end: int) -> int:
    """Skips digits; returns the index of the next byte that is none, or the end."""
    while place < end and _is_digit(buffer[place]):
        place += 1
    return place


def _is_escape(buffer: memoryview, place: int, end: int) -> bool:
    r"""Returns whether the byte after a backslash makes a valid escape other than `\uXXXX`."""
    if place < end:
        for i in range(len(_ESCAPES)):
            if buffer[place] == _ESCAPES[i]:
                return True
    return False


def _is_code_point(buffer: memoryview, start: int) -> bool:
    """Returns whether four hexadecimal digits begin at an index."""
    for place in range(start, start + 4):
        byte = buffer[place] | _LOWER
        if not _is_digit(buffer[place]) and not _LETTER_A <= byte <= _LETTER_F:
            return False
    return True


def _string(buffer: memoryview, place: int, end: int) -> int:
    """Returns the index of the quote that ends a string; -1 if the string is malformed."""
    while place < end and buffer[place] != _QUOTE:
        if buffer[place] < _BLANK:
            return -1
        if buffer[place] == _BACKSLASH:
            place += 1
            if place < end and buffer[place] == _U:
                place += 4
                if place >= end or not _is_code_point(buffer, place - 3):
                    return -1
            elif not _is_escape(buffer, place, end):
                return -1
        place += 1
    return place if place < end else -1


def _plain_string(buffer: memoryview, place: int, end: int) -> int:
    """Returns the index of the first quote, backslash or control character, or the end."""
    while place < end and buffer[place] != _QUOTE and buffer[place] != _BACKSLASH and buffer[place] >= _BLANK:
        place += 1
    return place


def _number(buffer: memoryview, start: int, end: int) -> int:
    """Returns the index after a number; -1 if the number is malformed."""
    place = start + 1 if buffer[start] == _DASH else start
    first = place
    place = _digits(buffer, place, end)
    if place == first or (buffer[first] == _ZERO and place > first + 1):
        return -1
    if place < end and buffer[place] == _DOT:
        first = place + 1
        place = _digits(buffer, first, end)
        if place == first:
            return -1
    if place < end and (buffer[place] | _LOWER) == _E:
        place += 1
        if place < end and buffer[place] in (_DASH, _PLUS):
            place += 1
        first = place
        place = _digits(buffer, first, end)
        if place == first:
            return -1
    return place


def _plain_end(buffer: memoryview, start: int, end: int) -> int:
    """Returns where a number ends if written by `json_codec.scalar`, without trailing zeros; -1 if that is unsure."""
    place = start + 1 if buffer[start] == _DASH else start
    dot = _digits(buffer, place, end)
    is_negative_zero = buffer[start] == _DASH and buffer[place] == _ZERO
    if dot == end:
        return -1 if is_negative_zero else end
    if buffer[dot] != _DOT or _digits(buffer, dot + 1, end) != end or end - place - 1 > _SURE_DIGITS:
        return -1
    last = end
    while buffer[last - 1] == _ZERO:
        last -= 1
    if last == dot + 1:
        return -1 if is_negative_zero else dot
    return last


def _scalar(buffer: memoryview, place: int, end: int) -> int:
    """Returns the index after a string, number, true, false or null; -1 if the scalar is malformed."""
    byte = buffer[place]
    if byte == _QUOTE:
        place = _string(buffer, place + 1, end)
        return place + 1 if place >= 0 else -1
    if byte == _DASH or _is_digit(byte):
        return _number(buffer, place, end)
    if _stands_at(buffer, place, end, _TRUE) or _stands_at(buffer, place, end, _NULL):
        return place + 4
    return place + 5 if _stands_at(buffer, place, end, _FALSE) else -1


def _write_name(buffer: memoryview, place: int, end: int, count: int, values: Positions) -> int:
    """Writes the span of a member's name; returns the index of the member's value, -1 if the name is irregular."""
    if place >= end or buffer[place] != _QUOTE:
        return -1
    values[2, count] = place + 1
    place = _plain_string(buffer, place + 1, end)
    if place >= end or buffer[place] != _QUOTE:
        return -1
    values[3, count] = place
    place = _blanks(buffer, place + 1, end)
    if place >= end or buffer[place] != _COLON:
        return -1
    return _blanks(buffer, place + 1, end)


def _write_scalar(buffer: memoryview, place: int, end: int, count: int, values: Positions) -> int:
    """Writes the span and the kind of a scalar; returns the index after the scalar, -1 if it is malformed."""
    byte = buffer[place]
    values[4, count] = place
    if byte == _QUOTE:
        values[4, count] = place + 1
        place = _plain_string(buffer, place + 1, end)
        values[6, count] = 0
        if place >= end or buffer[place] != _QUOTE:
            values[6, count] = 1
            place = _string(buffer, place, end)
        values[5, count] = place
        return place + 1 if place >= 0 else -1
    place = _scalar(buffer, place, end)
    values[5, count] = place
    values[6, count] = 4 if byte == _LETTER_N else 2
    if place >= 0 and byte not in (_LETTER_T, _LETTER_F, _LETTER_N):
        plain_end = _plain_end(buffer, values[4, count], place)
        values[5, count] = plain_end if plain_end >= 0 else place
        values[6, count] = 2 if plain_end >= 0 else 3
    return place


def _split_text(buffer: memoryview, place: int, end: int, row: int, count: int, values: Positions) -> int:
    """Writes the values of one text from index `count` on; returns the new count, -1 if the text is irregular."""
    holder = -1
    depth = 0
    place = _blanks(buffer, place, end)
    while True:
        values[0, count] = row
        values[1, count] = holder
        if holder >= 0 and buffer[values[4, holder]] == _BRACE:
            place = _write_name(buffer, place, end, count, values)
        else:
            values[2, count] = values[2, holder] if holder >= 0 else place
            values[3, count] = values[3, holder] if holder >= 0 else place
        if place < 0 or place >= end:
            return -1
        byte = buffer[place]
        is_open = False
        if byte in (_BRACE, _BRACKET):
            if depth == _DEEPEST:
                return -1
            depth += 1
            holder = count
            values[4, count] = place
            values[6, count] = 5 if byte == _BRACE else 6
            place = _blanks(buffer, place + 1, end)
            is_open = place >= end or buffer[place] != (_BRACE_END if byte == _BRACE else _BRACKET_END)
        else:
            place = _write_scalar(buffer, place, end, count, values)
            if place < 0:
                return -1
        count += 1
        while not is_open:
            place = _blanks(buffer, place, end)
            if holder < 0:
                return count if place == end else -1
            if place >= end:
                return -1
            byte = buffer[place]
            place += 1
            if byte == _COMMA:
                is_open = True
                place = _blanks(buffer, place, end)
            elif byte == (_BRACE_END if buffer[values[4, holder]] == _BRACE else _BRACKET_END):
                values[5, holder] = place
                holder = values[1, holder]
                depth -= 1
            else:
                return -1


def split_texts(
    buffer: memoryview, starts: Positions, ends: Positions, values: Positions, is_regular: memoryview
) -> int:
    """Splits JSON texts into their values, parents before children, in the order of the text.

    Args:
        buffer: Bytes that hold all texts.
        starts: First byte of each text.
        ends: One past the last byte of each text.
        values: Output: for each value its row, the index of its parent (-1 for the root), start and end of its name,
            start and end of the value, its kind. Elements have the name of their array, the root an empty name. The
            span of a string excludes its quotes. The caller makes room for one value more than there are texts,
            colons, commas and brackets.
        is_regular: Output: 1 for each text that was split, else 0.

    Returns:
        The number of values.
    """
    count = 0
    for row in range(len(starts)):
        reached = _split_text(buffer, starts[row], ends[row], row, count, values)
        is_regular[row] = reached >= 0
        if reached >= 0:
            count = reached
    return count


def find_repeated(
    values: Positions, numbers: Numbers, latest: Positions, earlier: Positions, is_regular: memoryview
) -> None:
    """Marks texts as irregular in which an object has two members of one name.

    Args:
        values: Output of `split_texts`.
        numbers: The number of each value's name.
        latest: Scratch space, all -1, one element for each distinct name.
        earlier: Scratch space: for each value the index of the previous value of the same name.
        is_regular: Output: set to 0 for texts with a repeated member.
    """
    for i in range(len(numbers)):
        earlier[i] = latest[numbers[i]]
        latest[numbers[i]] = i
        holder = values[1, i]
        if holder >= 0 and values[6, holder] == 5:
            other = earlier[i]
            while other > holder:
                if values[1, other] == holder:
                    is_regular[values[0, i]] = 0
                    other = holder
                else:
                    other = earlier[other]


def _is_mark(byte: int) -> bool:
    """Returns whether a byte is JSON punctuation: a brace, bracket, colon or comma."""
    return byte in (_BRACE, _BRACE_END, _BRACKET, _BRACKET_END, _COLON, _COMMA)


def drop_blanks(
    buffer: memoryview, starts: Positions, ends: Positions, written: memoryview, written_ends: Positions
) -> None:
    """Copies JSON texts without the white space around punctuation. Invalid JSON stays invalid.

    Args:
        buffer: Bytes that hold all texts.
        starts: First byte of each text.
        ends: One past the last byte of each text.
        written: Output: the texts, with a blank after each; as long as all texts and one byte for each.
        written_ends: Output: one past the last byte of each written text.
    """
    count = 0
    for row in range(len(starts)):
        end = ends[row]
        place = _blanks(buffer, starts[row], end)
        while place < end:
            following = place + 1
            if buffer[place] == _QUOTE:
                quote = _string(buffer, following, end)
                following = quote + 1 if quote >= 0 else end
            while place < following:
                written[count] = buffer[place]
                count += 1
                place += 1
            place = _blanks(buffer, following, end)
            if following < place < end and not _is_mark(buffer[following - 1]) and not _is_mark(buffer[place]):
                written[count] = _BLANK
                count += 1
        written_ends[row] = count
        written[count] = _BLANK
        count += 1
