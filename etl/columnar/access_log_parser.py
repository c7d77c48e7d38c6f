"""Finds the positions of the fields in regular access-log lines.

A regular line is `client ident user [time] "METHOD /target HTTP/…" status size`, optionally followed by referer, user
agent and further text. It is printable ASCII without a backslash.
A virtual host may stand before a client with an IPv4 address.

This is plain Python that Cython compiles when the package is installed. `access_log_parser.pxd` declares the types.
"What was tried" in `bench/README.md` has the gain over numpy.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from etl.columnar.string_buffers import Bytes, Positions

MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

#: Kinds of lines: irregular, regular without the word that every postback contains, regular with that word.
IRREGULAR: Final = 0
UNWANTED: Final = 1
WANTED: Final = 2

#: The rows of `found`: positions in the buffer, the status, and the time in microseconds since 1970.
FOUND: Final = (
    *("method", "method_end", "path_end", "target_end", "client", "client_end", "agent", "agent_end"),
    *("status", "received_at"),
)

_BLANK: Final = ord(" ")
_QUOTE: Final = ord('"')
_SLASH: Final = ord("/")
_BACKSLASH: Final = ord("\\")
_PLUS: Final = ord("+")
_DASH: Final = ord("-")
_ZERO: Final = ord("0")
_COMMA: Final = ord(",")
_COLON: Final = ord(":")
_DOT: Final = ord(".")
_HASH: Final = ord("#")
_OPEN: Final = ord("[")
_CLOSE: Final = ord("]")
_QUESTION: Final = ord("?")
_PERCENT: Final = ord("%")
_LETTER_A: Final = ord("A")
_LETTER_Z: Final = ord("Z")
_LETTER_G: Final = ord("G")
#: Makes an ASCII letter a capital.
_UPPER: Final = 0xDF
_LAST: Final = ord("~")

#: The pattern of a time: 0 stands for a digit, a dot for a byte that is checked separately.
_CLOCK: Final = b"00/.../0000:00:00:00 .0000"
_CLOCK_SIZE: Final = 26
#: From the bracket before the time to the method.
CLOCK_TO_METHOD: Final = _CLOCK_SIZE + 4
_MONTHS: Final = np.array([int.from_bytes(name.encode()) for name in MONTHS])
_MONTH_DAYS: Final = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
_PROTOCOL: Final = b" HTTP/"
_PROTOCOL_SIZE: Final = 6

_LONGEST_METHOD: Final = 7
_LONGEST_SIZE: Final = 19


def _stands_at(buffer: memoryview, place: int, text: bytes) -> bool:
    """Whether the buffer contains a text at a position."""
    for i in range(len(text)):
        if buffer[place + i] != text[i]:
            return False
    return True


def _is_plain(buffer: memoryview, start: int, end: int) -> bool:
    """Whether a line is printable ASCII without a backslash."""
    is_odd = 0
    for place in range(start, end):
        byte = buffer[place]
        is_odd |= (byte < _BLANK) | (byte > _LAST) | (byte == _BACKSLASH)
    return is_odd == 0


def _find(buffer: memoryview, start: int, end: int, byte: int) -> int:
    """Returns the first position of a byte in [start, end), or `end` if it does not occur."""
    place = start
    while place < end and buffer[place] != byte:
        place += 1
    return place


def _is_digit(byte: int) -> bool:
    return _ZERO <= byte < _ZERO + 10


def _number(buffer: memoryview, start: int, count: int) -> int:
    """Returns the number that `count` digits write."""
    value = 0
    for place in range(start, start + count):
        value = value * 10 + buffer[place] - _ZERO
    return value


def _days(year: int, month: int, day: int) -> int:
    """Returns the days from 1970-01-01 to a Gregorian date, computed with years that begin in March."""
    year -= month <= 2
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468


def _read_clock(buffer: memoryview, start: int) -> int:
    """Returns `dd/Mon/yyyy:HH:MM:SS +ZZZZ` as microseconds since 1970; -1 if it is not a valid time, or a leap day."""
    for i in range(_CLOCK_SIZE):
        byte, mark = buffer[start + i], _CLOCK[i]
        if mark == _ZERO:
            if not _is_digit(byte):
                return -1
        elif mark not in (_DOT, byte):
            return -1
    code = buffer[start + 3] << 16 | buffer[start + 4] << 8 | buffer[start + 5]
    month = 0
    while month < 12 and _MONTHS[month] != code:
        month += 1
    sign = buffer[start + 21]
    if month == 12 or sign not in (_PLUS, _DASH):
        return -1
    day = _number(buffer, start, 2)
    year = _number(buffer, start + 7, 4)
    hour = _number(buffer, start + 12, 2)
    minute = _number(buffer, start + 15, 2)
    second = _number(buffer, start + 18, 2)
    offset = (_number(buffer, start + 22, 2) * 60 + _number(buffer, start + 24, 2)) * 60
    if not 1 <= day <= _MONTH_DAYS[month] or year < 1970 or hour > 23 or minute > 59 or second > 59 or offset >= 86_400:
        return -1
    seconds = _days(year, month + 1, day) * 86_400 + hour * 3_600 + minute * 60 + second
    return (seconds + offset if sign == _DASH else seconds - offset) * 1_000_000


def _read_target(buffer: memoryview, method_end: int, close: int) -> int:
    """Returns where a request's target ends, before ` HTTP/1.1` or ` HTTP/2`; -1 if the request is irregular."""
    target_end = close - _PROTOCOL_SIZE - 3
    if not _stands_at(buffer, target_end, _PROTOCOL):
        target_end = close - _PROTOCOL_SIZE - 1
        if not _stands_at(buffer, target_end, _PROTOCOL):
            return -1
    if _find(buffer, target_end + _PROTOCOL_SIZE, close, _BLANK) < close:
        return -1
    return target_end if method_end + 1 < target_end and buffer[method_end + 1] == _SLASH else -1


def _read_size(buffer: memoryview, close: int, end: int) -> int:
    """Returns where the size ends, after the request's closing quote and a 3-digit status; -1 if irregular."""
    if close + 6 >= end or buffer[close + 1] != _BLANK or buffer[close + 5] != _BLANK:
        return -1
    for place in range(close + 2, close + 5):
        if not _is_digit(buffer[place]):
            return -1
    place = close + 6
    if buffer[place] == _DASH:
        return place + 1
    while place < end and _is_digit(buffer[place]):
        place += 1
    return place if 1 <= place - close - 6 <= _LONGEST_SIZE else -1


def _is_host(buffer: memoryview, start: int, end: int) -> bool:
    """Whether a word has a letter from G to Z, which no address has before its zone."""
    for place in range(start, end):
        if buffer[place] == _PERCENT:
            return False
        if _LETTER_G <= buffer[place] & _UPPER <= _LETTER_Z:
            return True
    return False


def _is_ipv4(buffer: memoryview, start: int, end: int) -> bool:
    """Whether a word is four numbers of one to three digits."""
    dots = digits = 0
    for place in range(start, end):
        if buffer[place] == _DOT:
            if not 1 <= digits <= 3:
                return False
            dots += 1
            digits = 0
        elif _is_digit(buffer[place]):
            digits += 1
        else:
            return False
    return dots == 3 and 1 <= digits <= 3


def _is_odd_client(buffer: memoryview, start: int, end: int) -> bool:
    """Whether a client that is no IPv4 address has a port, or may be two texts glued: it is no IPv6 address then."""
    dots = colons = pairs = length = longest = 0
    for place in range(start, end):
        byte = buffer[place]
        if byte == _OPEN:  # the exact parser looks for the time behind it
            return True
        dots += byte == _DOT
        colons += byte == _COLON
        pairs += byte == _COLON and place > start and buffer[place - 1] == _COLON
        length = 0 if byte in (_DOT, _COLON) else length + 1
        longest = max(longest, length)
    if colons:
        return (dots == 3 and colons == 1) or dots > 3 or pairs > 1 or colons > 7 or longest > 4
    return dots > 0 and _is_digit(buffer[end - 1])


def _holds_opening(buffer: memoryview, start: int, end: int) -> bool:
    """Whether a bracket, a blank and a quote occur in [start, end): the sign of a second record."""
    for place in range(start, end - 2):
        if buffer[place] == _CLOSE and buffer[place + 1] == _BLANK and buffer[place + 2] == _QUOTE:
            return True
    return False


def _read_line(buffer: memoryview, start: int, end: int, found: Positions, line: int) -> bool:
    """Writes the positions of a line's fields to `found`; returns whether the line is regular."""
    if start == end or not _is_plain(buffer, start, end) or buffer[start] in (_HASH, _OPEN):
        return False
    client = start
    client_end = _find(buffer, start, end, _BLANK)
    second_end = _find(buffer, client_end + 1, end, _BLANK)
    if _is_host(buffer, start, client_end) and _is_ipv4(buffer, client_end + 1, second_end):
        client = client_end + 1
        client_end = second_end
    ident_end = _find(buffer, client_end + 1, end, _BLANK)
    clock = _find(buffer, ident_end + 1, end, _BLANK) + 2
    quote = clock + _CLOCK_SIZE + 2
    if quote >= end or _find(buffer, start, end, _QUOTE) != quote or client_end == client:
        return False
    if buffer[client_end - 1] == _COMMA or buffer[clock - 1] != _OPEN:
        return False
    if not _is_ipv4(buffer, client, client_end) and _is_odd_client(buffer, client, client_end):
        return False
    if buffer[quote - 2] != _CLOSE or buffer[quote - 1] != _BLANK:
        return False
    received_at = _read_clock(buffer, clock)

    method_end = _find(buffer, quote, end, _BLANK)
    if received_at < 0 or not 1 <= method_end - quote - 1 <= _LONGEST_METHOD:
        return False
    for place in range(quote + 1, method_end):
        if not _LETTER_A <= buffer[place] <= _LETTER_Z:
            return False
    close = _find(buffer, method_end, end, _QUOTE)
    size_end = _read_size(buffer, close, end)
    target_end = _read_target(buffer, method_end, close)
    if size_end < 0 or target_end < 0:
        return False

    agent = agent_end = start
    if size_end < end:
        referer_end = _find(buffer, size_end + 2, end, _QUOTE)
        agent = referer_end + 3
        agent_end = _find(buffer, agent, end, _QUOTE)
        if agent_end >= end or buffer[size_end] != _BLANK or buffer[size_end + 1] != _QUOTE:
            return False
        if buffer[referer_end + 1] != _BLANK or buffer[referer_end + 2] != _QUOTE:
            return False
        if _holds_opening(buffer, agent_end - 2, end):
            return False

    found[0, line] = quote + 1
    found[1, line] = method_end
    found[2, line] = _find(buffer, method_end, target_end, _QUESTION)
    found[3, line] = target_end
    found[4, line] = client
    found[5, line] = client_end
    found[6, line] = agent
    found[7, line] = agent_end
    found[8, line] = _number(buffer, close + 2, 3)
    found[9, line] = received_at
    return True


def _holds(buffer: memoryview, start: int, end: int, word: bytes) -> bool:
    """Whether a word occurs in [start, end)."""
    for place in range(start, end - len(word) + 1):
        if _stands_at(buffer, place, word):
            return True
    return False


def read_lines(
    buffer: memoryview, starts: Positions, ends: Positions, word: bytes, found: Positions, kinds: Bytes
) -> None:
    """Finds the fields of lines, and writes them to `found` and `kinds`.

    Args:
        buffer: The bytes of the lines.
        starts: Where each line begins.
        ends: Where each line ends.
        word: Regular lines without this word are unwanted.
        found: Output for regular lines: a column per line with the rows that `FOUND` names.
        kinds: Output: `IRREGULAR`, `UNWANTED` or `WANTED` for each line.
    """
    for i in range(len(starts)):
        kinds[i] = 0
        if _read_line(buffer, starts[i], ends[i], found, i):
            kinds[i] = 2 if _holds(buffer, starts[i], ends[i], word) else 1
