"""Finds a second record inside a record: a torn line, or a line glued to the line before it (rules 1.3c).

A second record is known by the head of its format: time and address, or time and request. `head_of` derives the head of
a format of text from its pattern: the pattern up to there, in each alternative.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from etl.sources.record import Record

_TIMES: Final = frozenset(("time", "logged"))
_SENDERS: Final = frozenset(("client", "address", "forwarded", "method"))
#: Roles that hold a request, and how its text begins.
_BEGINNINGS: Final = {
    **dict.fromkeys(("request", "escaped"), rb"[A-Za-z_-]+ [\w/*-]"),
    **dict.fromkeys(("target", "path"), b"[/h]"),
}
_TOKEN: Final = re.compile(rb"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?P<(?P<name>\w+)>|[()|]", re.DOTALL)
_LITERALS: Final = re.compile(rb"(?:(?:\\[^A-Za-z0-9]|[^\\.^$*+?{}\[\]()|])(?![*+?{]))*")
_NAMED: Final = re.compile(rb"\(\?P<\w+>")
#: The beginning of a pattern that is a run of bytes of a class.
_CLASS: Final = rb"\\S|\[(?:\\.|[^\]\\])+\]"
_RUN: Final = re.compile(rb"(?:(%b)\+|\(\?:(%b)\+\))(?![?*+{])" % (_CLASS, _CLASS))

#: What every time contains: hours and seconds, or ten digits.
_TIME: Final = re.compile(rb":\d\d:\d\d|\d{9}")

#: Heads are looked for within this many bytes around a time, so that the work stays linear.
_WINDOW: Final = 256

_OCTET: Final = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_GLUED: Final = re.compile(
    r"(?!(?:[0-9A-Fa-f:]*:)?(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?::[0-9]*)?\Z)"
    rf"[^\s,\"=/]*?[\w.:-](?P<address>(?:{_OCTET}\.){{3}}{_OCTET})(?::[0-9]*)?\Z"
)
_HEX_GROUPS: Final = re.compile(r"[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:]*")
_ADDRESS_AT_END: Final = re.compile(rf"(?:{_OCTET}\.){{3}}{_OCTET}(?=(?::[0-9]*)?\Z)")

_MESSAGE: Final = "Torn or glued: a second record begins inside this one, at byte "


def second_record(place: int) -> Record:
    """Returns the record of a line in which a second record begins at an index."""
    return Record("malformed_record", second_message(place))


def second_message(place: int) -> str:
    """Returns the message for a record in which a second record begins at an index."""
    return f"{_MESSAGE}{place + 1}"


def is_second_record(record: Record) -> bool:
    """Whether a record is malformed because a second record begins inside it."""
    return record.fault == "malformed_record" and (record.fault_message or "").startswith(_MESSAGE)


def glued_address(word: str) -> int | None:
    """Returns where an address begins that the torn end of another text stands before; None for any other word.

    Examples:
        >>> [glued_address(word) for word in ("192.0.2.4192.0.2.43", "1198.51.100.7", "192.0.2.7:80")]
        [9, 1, None]
        >>> [glued_address(word) for word in ("2001:db8::72001:db8::8", "2001:db8::7", "host.example.com")]
        [0, None, None]
    """
    glued = _GLUED.match(word)
    if glued:
        return glued.start("address")
    if not _HEX_GROUPS.fullmatch(word):
        return None
    is_odd = word.count("::") > 1 or word.count(":") > 8 or any(len(group) > 5 for group in word.split(":"))
    return 0 if is_odd else None


def address_place(line: bytes, begin: int, end: int) -> int:
    """Returns where the address begins with which a word ends; the word's begin if it does not end so."""
    address = _ADDRESS_AT_END.search(line[begin:end].decode("latin-1"))
    return begin + (address.start() if address else 0)


class _Group(NamedTuple):
    """A named group of a pattern: where its alternative, it, its content and what follows it begin."""

    name: str
    alternative: int
    start: int
    content: int
    end: int


def _groups_of(pattern: bytes) -> list[_Group]:
    """Returns the named groups of a pattern."""
    found, opened, alternative = list[_Group](), list[tuple[str, int, int]](), 0
    for token in _TOKEN.finditer(pattern):
        if token[0][:1] == b"(":
            opened.append(((token["name"] or b"").decode(), token.start(), token.end()))
        elif token[0] == b")" and opened:
            name, start, content = opened.pop()
            found += [_Group(name, alternative, start, content, token.end())] if name else []
        elif token[0] == b"|" and not opened:
            alternative = token.end()
    return found


def _closed(piece: bytes) -> bytes:
    """Returns the beginning of a pattern with its open groups closed, and without names of groups.

    Where it begins with a run of bytes, it matches from the first of them only. A search that began at each of them
    would look at each from each.
    """
    marks = [token[0][:1] for token in _TOKEN.finditer(piece)]
    closed = _NAMED.sub(b"(?:", piece) + b")" * (marks.count(b"(") - marks.count(b")"))
    run = _RUN.match(closed)
    return b"(?<!" + (run[1] or run[2]) + b")" + closed if run else closed


@lru_cache(maxsize=64)
def head_of(pattern: bytes, *, reaches_request: bool = False) -> re.Pattern[bytes] | None:
    r"""Returns the pattern of a record's head: up to time and address, or time and the beginning of the request.

    None if the format has no such head.

    Args:
        pattern: The pattern of the format.
        reaches_request: Whether the head must reach the beginning of the request.

    Examples:
        >>> head_of(rb'(?P<client>\S+) \[(?P<time>\d+)\] "(?P<request>.*)"|other .*').pattern
        b'(?<!\\S)(?:\\S+) \\[(?:\\d+)\\] "'
    """
    pieces = dict[int, bytes]()
    groups = _groups_of(pattern)
    for time in (group for group in groups if group.name in _TIMES):
        for other in (group for group in groups if group.alternative == time.alternative):
            end = max(time.end, other.end)
            if other.name in _BEGINNINGS and other.start > time.end:
                piece = pattern[time.alternative : other.start] + _BEGINNINGS[other.name]
            elif reaches_request:
                continue
            elif other.name in _SENDERS or other.name in _BEGINNINGS:
                piece = pattern[time.alternative : end] + _LITERALS.match(pattern, end)[0]  # type: ignore[index]
            else:
                continue
            pieces[time.alternative] = min(piece, pieces.get(time.alternative, piece), key=len)
    try:
        return re.compile(b"|".join(map(_closed, pieces.values())), re.DOTALL) if pieces else None
    except re.error:
        return None


def has_two_times(line: bytes) -> bool:
    """Whether a line contains two times: the rare sign of a second record."""
    first = _TIME.search(line)
    return bool(first and _TIME.search(line, first.end()))


def may_hold_second(line: bytes) -> bool:
    """Whether a torn line may contain a second record: it contains a time behind its first byte."""
    return bool(_TIME.search(line, 1))


def find_second(line: bytes, head: re.Pattern[bytes], *, is_torn: bool = False) -> int | None:
    """Returns where a second record begins in a line, by the head of its format; None if there is none.

    Behind the head at the line's beginning, any head begins a second record. A line without a head at its beginning is
    torn if it begins like the head that is found in it.

    Args:
        line: The line.
        head: The head of the line's format.
        is_torn: Whether the line is in no format, so that the head at its beginning may be torn as well.
    """
    own = head.match(line, 0, 2 * _WINDOW)
    own_end, reached = own.end() if own else 0, 0
    first = 1 if is_torn else max(own_end, 1)
    for time in _TIME.finditer(line, first):
        if time.start() < reached:
            continue
        reached = time.start() + _WINDOW // 4
        begin, end = max(first, time.start() - _WINDOW), time.start() + _WINDOW
        found = _search(head, line, begin, end)
        if found and found[1] <= own_end:
            found = _search(head, line, max(begin, own_end), end)
        if found:
            place = _place(line, *found)
            is_behind = bool(own) and found[0] >= own_end
            return place if is_behind or _begins_like(line, place) else None
    return None


def _search(head: re.Pattern[bytes], line: bytes, begin: int, end: int) -> tuple[int, int] | None:
    """Returns where a head begins and ends in a part of a line, for which the part's first byte has none before it."""
    found = head.search(line[begin:end])
    return (begin + found.start(), begin + found.end()) if found else None


def _begins_like(line: bytes, place: int) -> bool:
    """Whether the text before a head is the beginning of such a head, for all that digits and letters show."""
    before, behind = (
        _RUNS.sub(lambda run: b"0" if run[0] < b"A" else b"a", text)
        for text in (line[:place][: 4 * _WINDOW], line[place:][: 4 * _WINDOW])
    )
    return behind.startswith(before)


_RUNS: Final = re.compile(rb"[0-9]+|[A-Za-z]+")


def _place(line: bytes, begin: int, end: int) -> int:
    """Returns where the head in a span begins: at the address with which its first word ends, if it does."""
    word_end = line.find(b" ", begin, end)
    return begin if word_end < 0 else address_place(line, begin, word_end)
