"""Loops over JSON: objects into their members, without making a Python object of any.

As `byte_loops`, plain Python that Cython compiles by the types of `json_loops.pxd`. An object is split if it is
regular: valid, not nested deep, and each of its numbers has its text in plain notation at hand. Bytes are taken to be
UTF-8.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Positions = npt.NDArray[np.int64]

#: What a member holds: text, text with escapes, the text of a scalar, nothing, an object, an array.
STRING: Final = 0
ESCAPED: Final = 1
SCALAR: Final = 2
NULL: Final = 3
OBJECT: Final = 4
ARRAY: Final = 5

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

#: Deeper structures are irregular: one bit a level says whether it is an object.
_DEEPEST: Final = 60

#: A double tells decimals of so many digits apart.
_SURE_DIGITS: Final = 15


def _blanks(buffer: memoryview, place: int, end: int) -> int:
    """The first place that is no blank."""
    while place < end and buffer[place] in (_BLANK, _TAB, _LINE, _RETURN):
        place += 1
    return place


def _stands_at(buffer: memoryview, place: int, end: int, text: bytes) -> bool:
    if place + len(text) > end:
        return False
    for i in range(len(text)):
        if buffer[place + i] != text[i]:
            return False
    return True


def _is_digit(byte: int) -> bool:
    return _ZERO <= byte < _ZERO + 10


def _digits(buffer: memoryview, place: int, end: int) -> int:
    """The first place that is no digit."""
    while place < end and _is_digit(buffer[place]):
        place += 1
    return place


def _is_escape(buffer: memoryview, place: int, end: int) -> bool:
    """Whether the byte behind a backslash makes an escape, other than of a code point."""
    if place < end:
        for i in range(len(_ESCAPES)):
            if buffer[place] == _ESCAPES[i]:
                return True
    return False


def _is_code_point(buffer: memoryview, start: int) -> bool:
    """Whether four hexadecimal digits stand at a place."""
    for place in range(start, start + 4):
        byte = buffer[place] | _LOWER
        if not _is_digit(buffer[place]) and not _LETTER_A <= byte <= _LETTER_F:
            return False
    return True


def _string(buffer: memoryview, place: int, end: int) -> int:
    """The place of the quote that ends a string; -1 if it is malformed."""
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


def _has_escape(buffer: memoryview, start: int, end: int) -> bool:
    for place in range(start, end):
        if buffer[place] == _BACKSLASH:
            return True
    return False


def _number(buffer: memoryview, start: int, end: int) -> int:
    """The place behind a number; -1 if it is malformed."""
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
    """Where the text of a number ends, as JSON scalars are written: no zeros at the end of decimals; -1 if unsure."""
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
    """The place behind a string, number or word of a structure; -1 if it is malformed."""
    byte = buffer[place]
    if byte == _QUOTE:
        place = _string(buffer, place + 1, end)
        return place + 1 if place >= 0 else -1
    if byte == _DASH or _is_digit(byte):
        return _number(buffer, place, end)
    if _stands_at(buffer, place, end, _TRUE) or _stands_at(buffer, place, end, _NULL):
        return place + 4
    return place + 5 if _stands_at(buffer, place, end, _FALSE) else -1


def _value_of_member(buffer: memoryview, place: int, end: int) -> int:
    """From the quote that begins a name, the place of its value; -1 if it is malformed."""
    if place >= end or buffer[place] != _QUOTE:
        return -1
    place = _string(buffer, place + 1, end)
    if place < 0:
        return -1
    place = _blanks(buffer, place + 1, end)
    if place >= end or buffer[place] != _COLON:
        return -1
    return _blanks(buffer, place + 1, end)


def _structure(buffer: memoryview, place: int, end: int) -> int:
    """The place behind an object or array; -1 if it is malformed or irregular."""
    depth = 0
    objects = 0
    while place < end:
        byte = buffer[place]
        is_open = byte in (_BRACE, _BRACKET)
        if is_open:
            if depth == _DEEPEST:
                return -1
            depth += 1
            objects = objects << 1 | (byte == _BRACE)
            place = _blanks(buffer, place + 1, end)
            is_open = place >= end or buffer[place] not in (_BRACE_END, _BRACKET_END)
            if is_open and objects & 1:
                place = _value_of_member(buffer, place, end)
        else:
            place = _scalar(buffer, place, end)
        if place < 0:
            return -1
        while not is_open:
            place = _blanks(buffer, place, end)
            if place >= end:
                return -1
            byte = buffer[place]
            place += 1
            if byte == _COMMA:
                is_open = True
                place = _blanks(buffer, place, end)
                if objects & 1:
                    place = _value_of_member(buffer, place, end)
                if place < 0:
                    return -1
            elif byte == (_BRACE_END if objects & 1 else _BRACKET_END):
                depth -= 1
                objects >>= 1
                if depth == 0:
                    return place
            else:
                return -1
    return -1


def _split_object(buffer: memoryview, place: int, end: int, row: int, count: int, members: Positions) -> int:
    """Writes the members of an object from the `count`-th on; how many there are then, -1 if it is irregular."""
    place = _blanks(buffer, place, end)
    if place >= end or buffer[place] != _BRACE:
        return -1
    place = _blanks(buffer, place + 1, end)
    if place < end and buffer[place] == _BRACE_END:
        return count if _blanks(buffer, place + 1, end) == end else -1
    while True:
        name = place + 1
        place = _value_of_member(buffer, place, end)
        if place < 0 or place >= end:
            return -1
        name_end = _string(buffer, name, end)
        if _has_escape(buffer, name, name_end):
            return -1
        byte = buffer[place]
        start = place
        if byte == _QUOTE:
            start += 1
            value_end = _string(buffer, start, end)
            place = value_end + 1
            kind = 1 if value_end >= 0 and _has_escape(buffer, start, value_end) else 0
        elif byte in (_BRACE, _BRACKET):
            value_end = place = _structure(buffer, place, end)
            kind = 4 if byte == _BRACE else 5
        else:
            place = _scalar(buffer, place, end)
            kind = 3 if byte == _LETTER_N else 2
            value_end = place
            if place >= 0 and byte not in (_LETTER_T, _LETTER_F, _LETTER_N):
                value_end = _plain_end(buffer, start, place)
        if value_end < 0:
            return -1
        members[0, count] = row
        members[1, count] = name
        members[2, count] = name_end
        members[3, count] = start
        members[4, count] = value_end
        members[5, count] = kind
        count += 1
        place = _blanks(buffer, place, end)
        if place >= end:
            return -1
        if buffer[place] == _BRACE_END:
            return count if _blanks(buffer, place + 1, end) == end else -1
        if buffer[place] != _COMMA:
            return -1
        place = _blanks(buffer, place + 1, end)


def split_objects(
    buffer: memoryview, starts: Positions, ends: Positions, members: Positions, is_regular: memoryview
) -> int:
    """Splits JSON objects into their members.

    Args:
        buffer: Bytes that hold all objects.
        starts: Where each begins.
        ends: Where each ends.
        members: To be filled: row, start and end of the name, start and end of the value, what it is; room for as many
            as there are colons.
        is_regular: To be filled: 1 for an object that was split.

    Returns:
        How many members there are.
    """
    count = 0
    for row in range(len(starts)):
        reached = _split_object(buffer, starts[row], ends[row], row, count, members)
        is_regular[row] = reached >= 0
        if reached >= 0:
            count = reached
    return count


def find_repeated(rows: Positions, numbers: Positions, seen: Positions, is_regular: memoryview) -> None:
    """Objects that name a member twice are irregular.

    Args:
        rows: The object of each member, ascending.
        numbers: The number of its name.
        seen: All -1, one for each name.
        is_regular: To be set to 0 for such objects.
    """
    for i in range(len(rows)):
        if seen[numbers[i]] == rows[i]:
            is_regular[rows[i]] = 0
        seen[numbers[i]] = rows[i]
