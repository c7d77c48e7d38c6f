r"""Parses access logs of the combined family: common or combined, with an optional virtual host and extra fields.

`read_line` parses any line with a regular expression, and explains why a line is malformed. `read_batch` parses regular
lines with `access_log_parser`, which is faster, and passes all other lines to the family's reader. Both give the same
rows.

Apache writes `\"`, `\\` and `\xhh`; nginx writes `\xHH` and never a bare backslash. So one pass from left to right
undoes both.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import numpy as np
import polars as pl

from etl.columnar import access_log_parser
from etl.columnar.byte_loops import Positions
from etl.columnar.string_buffers import valid_texts
from etl.schema import INSTANT
from etl.sources.format import Format, Reader, Settings
from etl.sources.readers.escapes import undo_backslashes
from etl.sources.readers.logged_bodies import logged_body
from etl.sources.readers.second_records import address_place, glued_address, second_record
from etl.sources.readers.timestamps import TIMES
from etl.sources.record import Record, split_request, split_target
from etl.sources.records.lines import Batch

_TIME: Final = rb"\[(?P<clock>\d\d/[A-Z][a-z][a-z]/\d{4}(?::\d\d:\d\d:\d\d [+-]\d{4}| \d\d:\d\d:\d\d))\]"
_STATUS_AND_SIZE: Final = rb'" (?P<status>\d{3}|-) (?P<size>\d+|-)(?= |$)'
_PREFIX: Final = rb"^(?P<prefix>[^\[]*?|[^\[]*\[(?!\d\d/)[^\[]*?) ?" + _TIME + rb'(?: \([^)]*\))? "'
#: The head of a line, up to the beginning of its request.
HEAD: Final = re.compile(_PREFIX + rb"(?:[A-Za-z_-]+ |-)", re.DOTALL)
_LINE: Final = re.compile(_PREFIX + rb'(?P<request>(?:[^"\\]|\\.)*)' + _STATUS_AND_SIZE, re.DOTALL)
_LINE_WITH_QUOTES: Final = re.compile(_PREFIX + rb"(?P<request>.*?)" + _STATUS_AND_SIZE, re.DOTALL)
_AGENT: Final = re.compile(rb' (?:"(?:[^"\\]|\\.)*"|-) "((?:[^"\\]|\\.)*)"')
#: What Traefik writes after status and size. Traefik does not escape requests.
_TRAEFIK: Final = re.compile(rb'(?= (?:".*" |- )["-]) .*["-] \d+ (?:"[^"]*"|-) (?:"[^"]*"|-) \d+ms$')
#: The time of a line with a regular request.
_REGULAR_REQUEST: Final = re.compile(
    rb"^[^\[]*\[(\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "
    rb'"[A-Za-z]+ /[^"\\]* HTTP/[\d.]+" (?:\d{3}|-) (?:\d+|-)(?: |$)'
)
_TIME_ONLY: Final = re.compile(_TIME)
#: Where a request may begin: a time in brackets, and the quote before the request.
_OPENING: Final = re.compile(
    rb"\[\d\d/[A-Z][a-z][a-z]/\d{4}[: ]\d\d:\d\d:\d\d(?: [+-]\d{4})?\](?: \([^)\"]{0,100}\))? \""
)
#: The words before a time: client, ident and user.
_SENDER: Final = re.compile(rb"(\S+) [^\s\"\[\]]+ (?:[^\s\"\[\]]+ ?|\"[^\"]*\" )\Z")
_SENDER_BYTES: Final = 512

_read_clock: Final = TIMES["clf"]
_HOST_AND_PORT: Final = re.compile(rb"[^A-Za-z\s]*[A-Za-z]\S*:\d{2,5}")
_WORD: Final = re.compile(rb"\S+")
_ADDRESS: Final = re.compile(r"\[?(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*)(?:%[0-9A-Za-z]+)?\]?")


def read_line(line: bytes, zone: str = "UTC") -> Record:
    """Parses one line exactly; malformed lines get a fault message.

    Args:
        line: The line's bytes, without the prefix of a container runtime or log shipper.
        zone: IANA name of the zone for times without an offset, as werkzeug writes them.

    Source: nginx and Apache documentation of `log_format` and `LogFormat`; rules 1.1, 1.3.

    Examples:
        >>> record = read_line(b'192.0.2.1 - - [01/May/2024:14:00:00 +0200] "GET /a/collect/b?x=1 HTTP/1.1" 200 5')
        >>> record.path, record.query, record.http_status, str(record.received_at)
        ('/a/collect/b', 'x=1', 200, '2024-05-01 12:00:00+00:00')
        >>> read_line(b"192.0.2.1 - - [01/May/2024:14:00:00").fault_message
        'Not an access-log line: no time such as [01/May/2024:12:00:00 +0000]'
    """
    place = find_second(line)
    if place is not None:
        return second_record(place)
    match = _LINE.match(line) or _LINE_WITH_QUOTES.match(line)
    if not match:
        return Record("malformed_record", _malformed_reason(line))
    received_at = _read_clock(match["clock"].decode(), zone)
    if received_at is None:
        return Record("malformed_record", "The time in brackets does not exist")
    agent = _AGENT.match(line, match.end())
    status = match["status"]
    record = Record(
        received_at=received_at,
        http_status=None if status == b"-" else int(status),
        client_ip=_client(match["prefix"].decode("utf-8", "replace")),
        user_agent=_present(undo_backslashes(agent[1]).decode("utf-8", "replace")) if agent else None,
    )
    is_escaped = not _TRAEFIK.match(line, match.end())
    request = split_request(undo_backslashes(match["request"]) if is_escaped else match["request"])
    if request is None:
        return record._replace(fault="not_a_request")
    path, query = split_target(request[1])
    body = logged_body(line) if request[0] == "POST" and not query else None
    return record._replace(http_method=request[0], path=path, query=query, body=body)


def find_second(line: bytes) -> int | None:
    """Returns where a second record begins in a line: a client, ident and user before a time and a quote; else None."""
    openings = [opening.start() for opening in _OPENING.finditer(line)]
    if not openings:
        return None
    for opening in openings[1:]:
        sender = _SENDER.search(line, max(opening - _SENDER_BYTES, openings[0] + 1), opening)
        if sender:
            return address_place(line, sender.start(), sender.end(1))
    return _torn_place(line[: openings[0]])


def _torn_place(prefix: bytes) -> int | None:
    """Returns where a second record begins in the text before a time, which holds the torn head of the first.

    The client is the third word before the time, and only a virtual host or addresses may stand before it.

    Examples:
        >>> [_torn_place(b"192.0.2.7" + torn + b" - - ") for torn in (b" - -192.0.2.8", b"192.0.2.8", b"")]
        [13, 9, None]
    """
    words = list(_WORD.finditer(prefix))
    texts = [word[0] for word in words]
    for i, word in enumerate(words[:-2]):
        text = word[0].decode("latin-1")
        glued = glued_address(text.rstrip(","))
        if glued is not None:
            return word.start() + glued
        if i > 1 and _ADDRESS.fullmatch(text) and (b"-" in texts[:i] or _is_second_host(texts[0], texts[i - 1])):
            return word.start()
    is_repeated = len(words) > 4 and texts[1] == texts[-2] == b"-"
    return words[-3].start() if is_repeated else None


def _is_second_host(first: bytes, word: bytes) -> bool:
    """Whether a word ends with the virtual host with which a line begins, or with one that has a port as well."""
    return word.endswith(first) or bool(_HOST_AND_PORT.fullmatch(first) and _HOST_AND_PORT.fullmatch(word))


def start(_rows: tuple[Format, ...], settings: Settings) -> Reader:
    """Creates the reader for all formats of the family."""
    word, zone = settings.word, settings.timezone

    def read(line: bytes) -> Record:
        regular = _REGULAR_REQUEST.search(line) if word and word not in line else None
        is_other = regular and find_second(line) is None and _read_clock(regular[1].decode(), zone)
        return Record("not_a_postback") if is_other else read_line(line, zone)

    return read


def claims(row: Format, line: bytes) -> bool:
    """Whether a line can be parsed and is in the given format."""
    return _claimed_as(line) == row.name


@lru_cache(maxsize=512)
def _claimed_as(line: bytes) -> str | None:
    """Returns the name of a line's format, None if it is in neither. Detection asks several times for each line."""
    if line[:1] in b"{[" or read_line(line).fault == "malformed_record":
        return None
    return "combined" if is_combined(line) else "common"


def is_combined(line: bytes) -> bool:
    """Whether a well-formed line has a referer and a user agent after status and size."""
    match = _LINE.match(line) or _LINE_WITH_QUOTES.match(line)
    return bool(match and _AGENT.match(line, match.end()))


#: The port behind an IPv4 address.
_PORT: Final = re.compile(r"\A((?:\d{1,3}\.){3}\d{1,3}):\d{1,5}\Z")


def _client(prefix: str) -> str | None:
    """Returns the client's address from the text before the time: the first word, or the word after a virtual host.

    Quotes and the port are removed; of a comma-separated list, the first address counts.
    """
    tokens = prefix.replace('"', "").replace(",", " ").split()
    if len(tokens) > 3 and not _ADDRESS.fullmatch(tokens[0]) and _ADDRESS.fullmatch(tokens[1]):
        return tokens[1]
    return _present(_PORT.sub(r"\1", tokens[0])) if tokens else None


def _present(text: str) -> str | None:
    """Returns the text; None if it is empty or `-`."""
    return None if text in ("", "-") else text


def _malformed_reason(line: bytes) -> str:
    """Explains why a line is not an access-log line."""
    time = _TIME_ONLY.search(line)
    if not time:
        return "Not an access-log line: no time such as [01/May/2024:12:00:00 +0000]"
    after = line[time.end() :]
    if b'"' not in after:
        return "No request in quotes after the time"
    if after.count(b'"') == 1:
        return "Cut off within the request: its closing quote is missing"
    return "No status and size after the request"


def oversized(length: int) -> Record:
    """Returns the record for a line or element over the size limit: malformed."""
    return Record("malformed_record", f"A record of {length:,} bytes is longer than --max-record allows")


def blank_or_comment(line: bytes) -> Record | None:
    """Returns a record for a blank, comment or directive line (rules 1.1); None for any other line."""
    if line.startswith(b"#"):
        return Record("comment")
    is_blank = not line.strip() or (line[:1] > b"\x7f" and not line.decode("utf-8", "replace").strip())
    return Record("blank") if is_blank else None


FORMATS: Final = (
    Format(
        "combined",
        "access_log",
        "Apache or nginx access log with referer and user agent, optionally with a virtual host and more fields",
        "https://httpd.apache.org/docs/2.4/logs.html#combined",
        (
            b'192.0.2.7 - - [01/May/2024:12:00:00 +0000] "GET /acme/collect/shop?click_id=a HTTP/1.1" 200 2 "-" "-"',
            b'shop.example.com:443 2001:db8::7 - jo [01/May/2024:12:00:00 +0000] "-" 400 0 "-" "-" 0.003',
        ),
        escape="backslash",
        time="clf",
    ),
    Format(
        "common",
        "access_log",
        "Apache or nginx access log without referer and user agent",
        "https://httpd.apache.org/docs/2.4/logs.html#common",
        (b'192.0.2.7 - - [01/May/2024:12:00:00 +0000] "GET /acme/collect/shop?click_id=a HTTP/1.1" 200 2',),
        escape="backslash",
        time="clf",
    ),
)


def read_batch(
    batch: Batch, reader_at: Callable[[int], Reader] = lambda _i: read_line, word: bytes = b""
) -> dict[str, pl.Series]:
    """Parses a batch of lines: regular lines with the compiled parser, irregular lines one by one.

    Args:
        batch: The lines.
        reader_at: Returns what parses the irregular line at an index of the batch.
        word: Regular lines without this word are marked `not_a_postback` and not parsed.

    Returns:
        The columns of `schema.REQUESTS` that a line of this family can fill, except lineage.
    """
    found = np.zeros((len(access_log_parser.FOUND), len(batch.starts)), np.int64)
    kinds = np.empty(len(batch.starts), np.uint8)
    access_log_parser.read_lines(batch.buffer.data, batch.starts, batch.ends, word, found, kinds)
    kinds[list(batch.oversized)] = access_log_parser.IRREGULAR
    method, method_end, path_end, target_end, client, client_end, agent, agent_end, status, received_at = found
    bare = np.flatnonzero((kinds == access_log_parser.WANTED) & (path_end + 1 >= target_end))
    may_hold_body = (batch.buffer[batch.ends[bare] - 1] == ord('"')) & (batch.buffer[batch.ends[bare] - 2] == ord("}"))
    kinds[bare[may_hold_body]] = access_log_parser.IRREGULAR
    is_wanted = kinds == access_log_parser.WANTED

    def text(starts: Positions, ends: Positions) -> pl.Series:
        return valid_texts(batch.buffer, np.where(is_wanted, starts, 0), np.where(is_wanted, ends, 0))

    def text_or_null(starts: Positions, ends: Positions) -> pl.Series:
        texts = text(starts, ends)
        return texts.set((texts == "-") | (texts == ""), None)

    is_empty = batch.starts == batch.ends
    slow = np.flatnonzero((kinds == access_log_parser.IRREGULAR) & ~is_empty)
    empty = np.flatnonzero(is_empty)
    exact = [_read_slow(batch, i, reader_at(i)) for i in slow.tolist()]
    columns = {
        "received_at": pl.Series(received_at, dtype=pl.Int64).cast(INSTANT),
        "http_method": text(method, method_end),
        "http_status": pl.Series(status, dtype=pl.Int32),
        "client_ip": text_or_null(client, client_end),
        "user_agent": text_or_null(agent, agent_end),
        "path": text(method_end + 1, path_end),
        "query": text(np.minimum(path_end + 1, target_end), target_end).set(pl.Series(path_end == target_end), None),
        "fault": pl.Series(["not_a_postback"]).new_from_index(0, len(kinds)).set(pl.Series(is_wanted), None),
        "body": pl.Series([None], dtype=pl.String).new_from_index(0, len(kinds)),
        "fault_message": pl.Series([None], dtype=pl.String).new_from_index(0, len(kinds)),
    }
    if len(empty):
        columns = {name: column.scatter(empty, None) for name, column in columns.items()}
        columns["fault"] = columns["fault"].scatter(empty, "blank")
    return {
        name: column.scatter(slow, pl.Series([getattr(record, name) for record in exact], dtype=column.dtype))
        for name, column in columns.items()
    }


def _read_slow(batch: Batch, i: int, read: Reader) -> Record:
    """Parses line `i` of a batch with the exact reader."""
    line = batch.buffer[batch.starts[i] : batch.ends[i]].tobytes()
    if i in batch.oversized:
        return oversized(batch.oversized[i])
    return blank_or_comment(line) or read(line)
