"""Reads a line that no format reads, by the one address with the collect path and a query in it (rules 1.1).

A server's own layout is not needed: the address ends at the delimiter that closes it, the method stands before it, and
time, client and status count where the rest of the line holds exactly one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import lru_cache
from http import HTTPStatus
from ipaddress import ip_address
from typing import Final, NamedTuple

from etl.rules.ruleset import Ruleset
from etl.sources.format import Format, Reader, Settings
from etl.sources.readers import plain_text
from etl.sources.readers.escapes import undo_backslashes
from etl.sources.readers.line_times import find_times
from etl.sources.readers.second_records import is_second_record, second_record
from etl.sources.record import Record, split_target

FORMAT: Final = Format(
    "address_in_line",
    "address_in_line",
    "Lines of text in any other layout, each with one collect path and its query",
    "https://url.spec.whatwg.org/#concept-urlencoded",
    (
        b'[GIN] 2024/05/01 - 12:00:00 | 200 |    1.2ms |       192.0.2.7 | GET      "/acme/collect/shop?click_id=a"',
        (
            b"[pid: 812|app: 0|req: 1/1] 192.0.2.7 () {40 vars in 500 bytes} [Wed May  1 12:00:00 2024] GET "
            b"/acme/collect/shop?click_id=a => generated 2 bytes in 3 msecs (HTTP/1.1 200) 2 headers in 70 bytes"
        ),
        b"[Wed May  1 12:00:00 2024] 192.0.2.7:53211 [200]: GET /acme/collect/shop?click_id=a",
        b'Started GET "/acme/collect/shop?click_id=a" for 192.0.2.7 at 2024-05-01 12:00:00 +0000',
        (
            b'time_local="01/May/2024:12:00:00 +0000" http_method="GET" src="192.0.2.7" status="200" '
            b'uri_path="/acme/collect/shop" uri_query="click_id=a"'
        ),
        (
            b"1714564800.123 5 192.0.2.7 TCP_MISS/200 120 GET https://t.example.com/acme/collect/shop?click_id=a - "
            b"HIER_DIRECT/198.51.100.1 text/html"
        ),
    ),
    moment="end",
    is_zoned=False,
)

_METHODS: Final = rb"(?:GET|POST|HEAD|PUT|PATCH|DELETE|OPTIONS)"
#: A method that stands directly before an address, whose quote and label may stand between.
_METHOD_BEFORE: Final = re.compile(
    rb"(?<![\w-])(?P<method>" + _METHODS + rb")[\"']?[ \t:,;|^\x01\x1e\x1f]{1,16}(?:\w{1,24}[=:])?[\"'\[(]?\Z"
)
_METHOD_LABELLED: Final = re.compile(rb"(?i:method)[\"']?\s?[=:]\s?[\"']?(" + _METHODS + rb")(?![\w-])")
_REFERER: Final = re.compile(rb"(?i:referr?er)[\"']?\s?[=:]\s?[\"']?\Z")
_QUERY_LABELLED: Final = re.compile(
    rb"(?<![\w-])(?i:\w*query(?:_?string)?|args|qs|cs-uri-query)[\"']?\s?[=:]\s?(?:\"(?P<quoted>[^\"]*)\"|(?P<bare>[^\s\"|]+))"
)
_LABEL: Final = re.compile(rb"[\w.@-]{1,40}[=:](?=[/A-Za-z])(?!//)")
_PROTOCOL: Final = re.compile(rb" HTTP/[\d.]+\Z")
_BEFORE: Final = 64

#: What opens an address, and what closes it then.
_CLOSERS: Final = {
    b"[": rb"[\]\s]",
    b"(": rb"[)\s]",
    b"<": rb"[>\s]",
    b"{": rb"[}\s]",
    b"|": rb"[|\s]",
    b",": rb"[,\s]",
    b";": rb"[;\s]",
    b"^": rb"[\^\s]",
    **dict.fromkeys((b"\x01", b"\x1e", b"\x1f"), rb"[\x01\x1e\x1f\s]"),
}
#: Brackets that may close what an address stands in.
_BRACKETS: Final = {b"]": b"[", b")": b"(", b">": b"<", b"}": b"{"}
#: Where the next field begins, in Spring's layout and between separators.
_NEXT_FIELD: Final = re.compile(
    rb";(?=(?:client|session|user|headers|payload)=)|(?P<separator>[,;|])(?=\d{3}(?P=separator))"
)
#: What separates an address from the next word of a sentence.
_COMMA: Final = re.compile(rb"[,;:](?=\s)")
_OPENERS: Final = b" \t\"'|<>[](){},;`^\x01\x1e\x1f"

_STATUS_LABELLED: Final = re.compile(
    rb"(?<![\w-])(?i:[\w-]{0,16}status(?:_?code)?|response_code)[\"']?\s?[=:]\s?[\"']?(\d{3})(?!\w)"
    rb"|HTTP/[\d.]+[\"')\]]?[ |,;:]{1,4}(\d{3})(?!\w)|[A-Z]/(\d{3})(?=\s)"
)
_STATUS_ALONE: Final = re.compile(
    rb"(?:(?<=[\s|\[(\"',;])|\A)(\d{3})(?=[\s|\])\"',;]|\Z)(?! (?:bytes|ms|msecs|vars|headers))"
)
_STATUSES: Final = frozenset((*map(int, HTTPStatus), 444, 499, *range(520, 531)))
_CLIENT: Final = re.compile(
    rb"(?:(?<![\w.:/-])|(?<=[A-Za-z_]:))(?:((?:\d{1,3}\.){3}\d{1,3})(?::\d{1,5})?|\[?([0-9A-Fa-f]{0,4}:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*)\]?"
    rb"(?:%\w+)?)(?![\w.-])"
)
_RUNS: Final = re.compile(rb"[0-9]+|[A-Za-z]+")
_HEAD_BYTES: Final = 8


class _Address(NamedTuple):
    """An address with the collect path: where it stands, its target, and the method directly before it."""

    start: int
    end: int
    target: bytes
    method: str | None


class _TornError(Exception):
    """An address ends with its line, although a quote opened it."""


def read_line(line: bytes, settings: Settings) -> Record | None:
    """Reads a line by its one address; None if it holds no address with the collect path and a query.

    Two such addresses, or two heads of a record, are a malformed record.

    Examples:
        >>> record = read_line(b'GET "/a/collect/b?click_id=1" 200 from 192.0.2.7', Settings())
        >>> record.http_method, record.path, record.query, record.http_status, record.client_ip
        ('GET', '/a/collect/b', 'click_id=1', 200, '192.0.2.7')
        >>> read_line(b"GET /other?u=/a/collect/b?x=1", Settings())
    """
    try:
        found = list(_addresses(line, settings.collect_path))
    except _TornError:
        return Record("malformed_record", "Cut off within the address: its closing quote is missing")
    by_target = {address.target: address for address in sorted(found, key=lambda one: one.method is not None)}
    called = [address for address in by_target.values() if address.method]
    chosen = called or list(by_target.values())
    if len(chosen) > 1:
        return second_record(max(address.start for address in chosen))
    if not chosen:
        return None
    address = chosen[0]
    glued = plain_text.find_second(address.target)
    if glued is not None:
        return second_record(address.start + glued)
    rest = _without(line, address)
    times = find_times(rest, settings.timezone)
    place = _second_head(rest, [span for span, _ in times])
    if place is not None:
        return second_record(place)
    labelled = _METHOD_LABELLED.search(rest)
    path, query = split_target(undo_backslashes(address.target))
    return Record(
        received_at=_one_moment([moment for _, moment in times]),
        http_method=address.method or (labelled[1].decode() if labelled else None),
        http_status=_status(rest),
        client_ip=_client(rest),
        path=path,
        query=query,
    )


def start(_rows: tuple[Format, ...], _settings: Settings) -> Reader:
    """Creates a reader that reads no line; `read_last` follows it, as it follows every reader of text."""
    return lambda _line: Record("malformed_record", "No address with the collect path")


def read_last(read: Reader, heads: Iterable[re.Pattern[bytes]], settings: Settings, *, is_free: bool = False) -> Reader:
    """Returns a reader that reads the lines by their address that another reader cannot read.

    A line that holds the collect path, but no address with a query, is a postback that was not read (rules 1.3d).

    Args:
        read: The other reader.
        heads: What records of known formats begin with; a line with such a head is broken, and not free text.
        settings: The user's settings, and the collect path.
        is_free: Whether most lines of the input are in no format: a line without the collect path is no request then.
    """
    sought, _ = _patterns(settings.collect_path)
    word, known = settings.word, tuple(heads)

    def read_any(line: bytes) -> Record:
        parsed = read(line)
        if parsed.fault != "malformed_record" or not (is_free or word in line):
            return parsed
        if _is_json(line) or is_second_record(parsed) or any(head.match(line) for head in known):
            return parsed
        if not sought.search(line):
            return Record("not_a_request") if is_free else parsed
        return read_line(line, settings) or Record("unread_postback")

    return read_any


def claims(line: bytes, settings: Settings) -> bool:
    """Whether a line can be read by its address."""
    record = None if _is_json(line) else read_line(line, settings)
    return record is not None and record.fault is None


def describe(line: bytes, settings: Settings) -> tuple[tuple[str, str], ...]:
    """Says where the parts of a line that can be read stand: pairs of a part and of the text before it, without digits.

    Examples:
        >>> describe(b"200 GET /a/collect/b?click_id=1", Settings())
        (('status', 'first'), ('address', "behind '000 GET '"))
    """
    found = list(_addresses(line, settings.collect_path))
    address = next((one for one in found if one.method), found[0])
    rest = _without(line, address)
    record = read_line(line, settings) or Record()
    places = {"address": address.start}
    if record.received_at is not None:
        places["time"] = find_times(rest, settings.timezone)[0][0].start
    for part, value in (("status", record.http_status), ("client", record.client_ip)):
        if value is not None:
            places[part] = rest.find(str(value).encode())
    before = {part: line[max(place - 12, 0) : place].decode("latin-1") for part, place in places.items()}
    shown = {part: f"behind {re.sub('[0-9]', '0', text)!r}" if text else "first" for part, text in before.items()}
    return tuple((part, shown[part]) for part in sorted(places, key=lambda part: places[part]))


def _is_json(line: bytes) -> bool:
    """Whether a line begins as a JSON object, whose parts mean nothing where it is broken."""
    return line.lstrip()[:1] == b"{"


def _without(line: bytes, address: _Address) -> bytes:
    """Returns a line with blanks in the place of an address."""
    return b"".join((line[: address.start], b" " * (address.end - address.start), line[address.end :]))


def _addresses(line: bytes, collect_path: str) -> Iterator[_Address]:
    """Yields the addresses whose path is the collect path, and which have a query, in the line or in a field of it."""
    sought, is_collect = _patterns(collect_path)
    reached = 0
    for found in sought.finditer(line):
        if found.start() < reached:
            continue
        start, opener = _beginning(line, found.start(), reached)
        before = line[max(start - _BEFORE, 0) : start]
        method = _METHOD_BEFORE.search(before)
        end, target = _ending(line, start, opener, method)
        reached = end
        path, query = split_target(target)
        if not is_collect.search(path if "/" not in path or path.startswith("/") else path[path.index("/") :]):
            continue
        if _REFERER.search(before):
            continue
        if not query:
            labelled = list(_QUERY_LABELLED.finditer(line))
            if len(labelled) != 1:
                continue
            sent = (labelled[0]["quoted"] or labelled[0]["bare"] or b"").removeprefix(b"?")
            target = target.removesuffix(b"?") + b"?" + sent
            if not sent or sent == b"-":
                continue
        elif not target.startswith((b"/", b"http")):
            target = target[target.index(b"/") :]
        yield _Address(start, end, target, method["method"].decode() if method else None)


def _beginning(line: bytes, place: int, reached: int) -> tuple[int, bytes]:
    """Returns where the address with a path at `place` begins, and the character that opens it."""
    start = place
    while start > reached and line[start - 1 : start] not in _BYTES_BEFORE:
        start -= 1
    opener = line[start - 1 : start] if start else b" "
    label = _LABEL.match(line, start)
    return (label.end(), b"=") if label and label.end() <= place + 1 and b"?" not in label[0] else (start, opener)


_BYTES_BEFORE: Final = frozenset(bytes([code]) for code in _OPENERS)


def _ending(line: bytes, start: int, opener: bytes, method: re.Match[bytes] | None) -> tuple[int, bytes]:
    """Returns where an address ends, and its text.

    Raises:
        _TornError: A quote opened it, or its request, and does not close.
    """
    quote = opener if opener in (b'"', b"'") else b""
    before = line[max(start - _BEFORE, 0) : start]
    if not quote and method and not before[method.end("method") :].strip(b" "):
        called = before[: method.start()][-1:]
        quote = called if called in (b'"', b"'") else b""
    if quote:
        closing = re.compile(rb"(?<!\\)(?:\\\\)*\\?" + quote).search(line, start)
        if closing is None:
            raise _TornError
        end = closing.start()
        return end, _PROTOCOL.sub(b"", line[start:end])
    closed = re.compile(_CLOSERS.get(opener, rb"[\s\"'`]")).search(line, start)
    end = closed.start() if closed else len(line)
    end -= bool(end > start and _COMMA.match(line, end - 1))
    bracket = line[end - 1 : end]
    opening = _BRACKETS.get(bracket)
    if opening and line.count(opening, 0, start) > line.count(bracket, 0, start):
        end -= line.count(bracket, start, end) > line.count(opening, start, end)
    field = _NEXT_FIELD.search(line, start, end)
    end = field.start() if field else end
    return end, line[start:end]


@lru_cache(maxsize=16)
def _patterns(collect_path: str) -> tuple[re.Pattern[bytes], re.Pattern[str]]:
    """Returns the collect path as it may stand in a line, and as the end of a path."""
    rules = Ruleset(collect_path=collect_path)
    return re.compile(rules.collect_text_pattern.encode()), re.compile(rules.collect_pattern)


def _one_moment(moments: Iterable[datetime]) -> datetime | None:
    """Returns the one time of a line. Times within one second are one; between others nothing is guessed."""
    found = sorted(moments)
    return found[-1] if found and len({moment.replace(microsecond=0) for moment in found}) == 1 else None


def _status(rest: bytes) -> int | None:
    """Returns the status that is labelled, or else the only one that stands alone."""
    for pattern in (_STATUS_LABELLED, _STATUS_ALONE):
        found = {int(next(filter(None, match.groups()))) for match in pattern.finditer(rest)} & _STATUSES
        if found:
            return found.pop() if len(found) == 1 else None
    return None


def _client(rest: bytes) -> str | None:
    """Returns the only address of a client in a line; None if there are several or none."""
    found = {(match[1] or match[2]).decode() for match in _CLIENT.finditer(rest)}
    valid = [text for text in found if _is_address(text)]
    return valid[0] if len(valid) == 1 else None


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _second_head(rest: bytes, spans: list[range]) -> int | None:
    """Returns where the line's beginning, up to its first time, occurs again; None if it does not."""
    if len(spans) < 2:
        return None
    first, second = spans[0], spans[1]
    head = _shape(rest[: first.stop + (0 if first.start >= _HEAD_BYTES // 2 else _HEAD_BYTES)])
    is_again = _shape(rest[max(second.start - first.stop - 1, 1) :]).find(head) >= 0
    return max(second.start - first.start, 1) if is_again else None


def _shape(text: bytes) -> bytes:
    """Returns a text with one `0` for each run of digits and one `a` for each run of letters."""
    return _RUNS.sub(lambda run: b"0" if run[0] < b"A" else b"a", text)
