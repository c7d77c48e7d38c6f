"""Access-log lines of the combined family, all regular ones of a batch at once.

A regular line is `client ident user [time] "METHOD /target HTTP/…" status size`, alone or with referer, user agent and
anything after, in printable ASCII without a backslash. It is read from the positions of its delimiters in the batch's
bytes. A line with anything unusual about it goes the slow way, by `access_logs.read_line`. Both give the same rows; a
property test holds them to it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from etl.schema import INSTANT
from etl.sources.access_logs import not_a_record, oversized, read_line
from etl.sources.format_rows import Reader
from etl.sources.lines import Batch
from etl.sources.prefixes import without_prefix
from etl.sources.requests import Record
from etl.sources.times import MONTHS
from etl.spans import Bytes, Positions, Truths, padded, places_of, texts_of

_IS_DIGIT: Final = np.zeros(256, np.bool_)
_IS_DIGIT[ord("0") : ord("9") + 1] = True

#: `dd/Mon/yyyy:HH:MM:SS +ZZZZ`: where its digits stand, and what stands between them.
_CLOCK_LENGTH: Final = 26
_CLOCK_DIGITS: Final = (0, 1, 7, 8, 9, 10, 12, 13, 15, 16, 18, 19, 22, 23, 24, 25)
_CLOCK_MARKS: Final = ((2, "/"), (6, "/"), (11, ":"), (14, ":"), (17, ":"), (20, " "))

_LONGEST_SIZE: Final = 20
_LONGEST_METHOD: Final = 7


class _Regular:
    """The delimiters of a batch's lines, and which lines are regular so far."""

    def __init__(self, batch: Batch) -> None:
        self.buffer = padded(batch.buffer)
        self.starts, self.ends = batch.starts, batch.ends
        self.is_regular: Truths = np.ones(len(self.starts), np.bool_)
        for i in batch.oversized:
            self.is_regular[i] = False
        unusual = _unusual_places(batch.buffer)
        self.is_regular[np.searchsorted(self.starts, unusual, side="right") - 1] = False
        self.quotes = np.append(np.flatnonzero(batch.buffer == ord('"')), [len(batch.buffer)] * 8)
        self.blanks = np.append(np.flatnonzero(batch.buffer == ord(" ")), [len(batch.buffer)] * 8)

    def need(self, truth: Truths) -> None:
        """Lines without this truth are irregular."""
        self.is_regular &= truth

    def at(self, places: Positions) -> Bytes:
        """The byte at each place, 0 where there is none."""
        found: Bytes = self.buffer[np.clip(places, 0, len(self.buffer) - 1)]
        return found

    def window(self, places: Positions, length: int) -> npt.NDArray[np.uint8]:
        """The bytes from each place on, one row a line."""
        first = np.clip(places, 0, len(self.buffer) - length)
        found: npt.NDArray[np.uint8] = self.buffer[first[:, None] + np.arange(length)]
        return found


def _unusual_places(buffer: Bytes) -> Positions:
    """Bytes that make a line irregular: controls but a line's end, what is not ASCII, the backslash of an escape."""
    places: Positions = np.flatnonzero((buffer - np.uint8(ord(" ")) > ord("~") - ord(" ")) | (buffer == ord("\\")))
    is_end = (buffer[places] == ord("\n")) | (buffer[places] == ord("\r"))
    return np.delete(places, np.flatnonzero(is_end))


def read_batch(batch: Batch, read: Reader = read_line, word: bytes = b"") -> dict[str, pl.Series]:
    """The lines of a batch, regular ones the fast way.

    Args:
        batch: The lines.
        read: Reads an irregular line.
        word: A regular line without it is not read, but counted.

    Returns:
        The columns of `schema.REQUESTS` that a line of this family can fill, but lineage.
    """
    lines = _Regular(batch)
    quote = np.searchsorted(lines.quotes, lines.starts)
    count = np.searchsorted(lines.quotes, lines.ends) - quote
    open_quote, close_quote = lines.quotes[quote], lines.quotes[quote + 1]
    lines.need((count == 2) | (count >= 6))
    lines.need((open_quote - _CLOCK_LENGTH - 4 > lines.starts) & (close_quote < lines.ends))
    received_at = _read_clock(lines, open_quote)
    client_ends = _read_prefix(lines, open_quote - _CLOCK_LENGTH - 4)
    status, size_ends = _read_answer(lines, close_quote)
    agent = _read_agent(lines, quote, count, size_ends)
    method_ends, target_ends = _read_request(lines, open_quote, close_quote)
    marks = np.append(np.flatnonzero(batch.buffer == ord("?")), np.iinfo(np.int64).max)
    path_ends = np.minimum(marks[np.searchsorted(marks, method_ends + 1)], target_ends)

    is_wanted = lines.is_regular & _holds(batch, word)

    def text(starts: Positions, ends: Positions, *, dash_is_none: bool = False) -> pl.Series:
        is_text = is_wanted & ((ends - starts > 1) | (lines.at(starts) != ord("-")) if dash_is_none else ends >= 0)
        texts = texts_of(lines.buffer, np.where(is_text, starts, 0), np.where(is_text, ends, 0))
        return texts.set(pl.Series(starts >= ends) | ~pl.Series(is_text), None) if dash_is_none else texts

    slow = np.flatnonzero(~lines.is_regular)
    exact = [_read_slow(batch, i, read) for i in slow.tolist()]
    is_queried = pl.Series(path_ends < target_ends)
    columns = {
        "received_at": pl.Series(received_at, dtype=pl.Int64).cast(INSTANT),
        "http_method": text(open_quote + 1, method_ends),
        "http_status": pl.Series(status, dtype=pl.Int32),
        "client_ip": text(lines.starts, client_ends, dash_is_none=True),
        "user_agent": text(*agent, dash_is_none=True),
        "path": text(method_ends + 1, path_ends),
        "query": text(np.minimum(path_ends + 1, target_ends), target_ends).set(~is_queried, None),
        "fault": pl.Series(["not_a_postback"]).new_from_index(0, len(lines.starts)).set(pl.Series(is_wanted), None),
        "fault_message": pl.Series([None], dtype=pl.String).new_from_index(0, len(lines.starts)),
    }
    return {
        name: column.scatter(slow, pl.Series([getattr(record, name) for record in exact], dtype=column.dtype))
        for name, column in columns.items()
    }


def _holds(batch: Batch, word: bytes) -> Truths:
    """Which lines hold a word."""
    if not word:
        return np.ones(len(batch.starts), np.bool_)
    holds = np.zeros(len(batch.starts), np.bool_)
    holds[np.searchsorted(batch.starts, places_of(batch.buffer, word), side="right") - 1] = True
    return holds


def _read_slow(batch: Batch, i: int, read: Reader) -> Record:
    line = batch.buffer[batch.starts[i] : batch.ends[i]].tobytes()
    if i in batch.oversized:
        return oversized(batch.oversized[i])
    return not_a_record(line) or read(without_prefix(line))


def _read_clock(lines: _Regular, open_quote: Positions) -> Positions:
    """Microseconds since 1970 of the time that ends two bytes before the request's quote."""
    clock = lines.window(open_quote - _CLOCK_LENGTH - 2, _CLOCK_LENGTH)
    lines.need(lines.at(open_quote - 1) == ord(" "))
    lines.need(lines.at(open_quote - 2) == ord("]"))
    lines.need(lines.at(open_quote - _CLOCK_LENGTH - 3) == ord("["))
    lines.need(np.all(_IS_DIGIT[clock[:, _CLOCK_DIGITS]], axis=1))
    for place, mark in _CLOCK_MARKS:
        lines.need(clock[:, place] == ord(mark))
    is_west = clock[:, 21] == ord("-")
    lines.need(is_west | (clock[:, 21] == ord("+")))

    def number(*places: int) -> Positions:
        value = np.zeros(len(clock), np.int64)
        for place in places:
            value = value * 10 + clock[:, place] - ord("0")
        return value

    names = clock[:, 3:6].astype(np.int64)
    code = names[:, 0] << 16 | names[:, 1] << 8 | names[:, 2]
    order = np.argsort(_MONTH_CODES)
    month = order[np.minimum(np.searchsorted(_MONTH_CODES, code, sorter=order), 11)] + 1
    lines.need(_MONTH_CODES[month - 1] == code)
    day, year, hour, minute, second = (
        number(0, 1),
        number(7, 8, 9, 10),
        number(12, 13),
        number(15, 16),
        number(18, 19),
    )
    offset = (number(22, 23) * 60 + number(24, 25)) * 60
    is_sound = (day >= 1) & (day <= 28) | (day <= 30) & (month != 2) & (day >= 1)
    is_sound |= (day == 31) & np.isin(month, [1, 3, 5, 7, 8, 10, 12])
    lines.need(is_sound & (year >= 1970) & (hour < 24) & (minute < 60) & (second < 60) & (offset < 86_400))
    seconds = _days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second
    return (seconds - np.where(is_west, -offset, offset)) * 1_000_000


_MONTH_CODES: Final = np.array([int.from_bytes(name.encode()) for name in MONTHS])


def _days(year: Positions, month: Positions, day: Positions) -> Positions:
    """Days since 1970-01-01 of a date of the Gregorian calendar; its years begin in March here."""
    year = year - (month <= 2)
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    days: Positions = era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468
    return days


def _read_prefix(lines: _Regular, end: Positions) -> Positions:
    """Where the client's address ends: regular is `client ident user`, three words."""
    first = np.searchsorted(lines.blanks, lines.starts)
    lines.need((lines.blanks[first + 1] < end) & (lines.blanks[np.minimum(first + 2, len(lines.blanks) - 1)] == end))
    client_ends = lines.blanks[first]
    is_plain = (lines.at(client_ends - 1) != ord(",")) & (client_ends > lines.starts)
    lines.need(is_plain & (lines.at(lines.starts) != ord("#")) & (lines.at(lines.starts) != ord("[")))
    return client_ends


def _read_answer(lines: _Regular, close_quote: Positions) -> tuple[Positions, Positions]:
    """The status, three digits, and where the size that follows it ends."""
    answer = lines.window(close_quote + 1, 5)
    lines.need((answer[:, 0] == ord(" ")) & (answer[:, 4] == ord(" ")) & _IS_DIGIT[answer[:, 1:4]].all(axis=1))
    digits = answer[:, 1:4].astype(np.int64) - ord("0")
    size = lines.window(close_quote + 6, _LONGEST_SIZE)
    length = np.argmin(_IS_DIGIT[size], axis=1)
    length = np.where(size[:, 0] == ord("-"), 1, length)
    lines.need(length > 0)
    return digits @ np.array([100, 10, 1]), close_quote + 6 + length


def _read_agent(
    lines: _Regular, quote: Positions, count: Positions, size_ends: Positions
) -> tuple[Positions, Positions]:
    """Where the user agent stands: the third text in quotes of a combined line; nowhere in a common one."""
    last = len(lines.quotes) - 1
    marks = [lines.quotes[np.minimum(quote + i, last)] for i in range(2, 6)]
    is_combined = (marks[0] == size_ends + 1) & (marks[2] == marks[1] + 2) & (marks[3] < lines.ends)
    is_combined &= (lines.at(marks[1] + 1) == ord(" ")) & (lines.at(size_ends) == ord(" "))
    is_common = (count == 2) & (size_ends == lines.ends)
    lines.need(is_common | (is_combined & (count >= 6)))
    return np.where(is_common, lines.starts, marks[2] + 1), np.where(is_common, lines.starts, marks[3])


def _read_request(lines: _Regular, open_quote: Positions, close_quote: Positions) -> tuple[Positions, Positions]:
    """Where method and target end: regular is an upper-case method, a target that begins with `/`, a protocol."""
    method_ends = lines.blanks[np.searchsorted(lines.blanks, open_quote)]
    length = method_ends - open_quote - 1
    method = lines.window(open_quote + 1, _LONGEST_METHOD)
    is_upper = (method >= ord("A")) & (method <= ord("Z")) | (np.arange(_LONGEST_METHOD) >= length[:, None])
    lines.need((length > 0) & (length <= _LONGEST_METHOD) & is_upper.all(axis=1))
    tail = lines.window(close_quote - 9, 9)
    is_long = (tail[:, :6] == np.frombuffer(b" HTTP/", np.uint8)).all(axis=1)
    is_short = (tail[:, 2:8] == np.frombuffer(b" HTTP/", np.uint8)).all(axis=1)
    target_ends = close_quote - np.where(is_long, 9, 7)
    lines.need((is_long & ~(tail[:, 6:] == ord(" ")).any(axis=1)) | (is_short & (tail[:, 8] != ord(" "))))
    lines.need((lines.at(method_ends + 1) == ord("/")) & (method_ends + 1 < target_ends))
    return method_ends, target_ends
