"""Parses lines of text formats that a regular expression describes.

The named groups of the pattern are roles: `request` (`METHOD target HTTP/1.1`), or `method` with `target`, or `method`
with `path` and `query`; `body`; `time`; `status`; `client` (the first address of a list, without port); `forwarded`,
which takes precedence over `client`; `agent`. An empty group or `-` means no value.

The group `repeated` is the target of a request that another line describes; such a line is no request. The group
`second` is the head of a second record within the line.

A pattern may have a second group for a role: `logged` for `time`, `escaped` for `request`, `address` for `client`,
`code` for `status`. The second group counts if the first is empty.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from etl.sources.format import Format, Reader, Settings
from etl.sources.readers.escapes import ESCAPES, client_address
from etl.sources.readers.logged_bodies import logged_body
from etl.sources.readers.second_records import (
    find_second,
    glued_address,
    has_two_times,
    head_of,
    may_hold_second,
    second_record,
)
from etl.sources.readers.timestamps import time_reader
from etl.sources.record import Record, as_text, repetition, split_request, split_target

_TARGETS: Final = frozenset(("target", "path", "query"))
_SECOND_GROUPS: Final = {"logged": "time", "escaped": "request", "address": "client", "code": "status"}


_STATUS: Final = re.compile("[0-9]{1,9}")
_COLOURS: Final = re.compile(rb"\x1b\[[\d;]*m")


def without_colours(line: bytes) -> bytes:
    r"""Returns a line without the colours of a console.

    Examples:
        >>> without_colours(b"\x1b[36mGET\x1b[0m /")
        b'GET /'
    """
    return _COLOURS.sub(b"", line)


def start(rows: tuple[Format, ...], settings: Settings) -> Reader:
    """Creates a reader for lines in any of the formats; lines that match no format are malformed."""
    builders = [(compiled(row), _record_builder(row, settings)) for row in rows]
    heads = {
        compiled(row): head for row in rows if row.family != "plain_text" and (head := head_of(row.pattern or b""))
    }
    word = settings.word if not rows[0].is_body_logged else b""

    def read(line: bytes) -> Record:
        """Reads a line by the first pattern that matches, and moves this pattern to the front for the next line."""
        for i, (pattern, build) in enumerate(builders):
            match = pattern.match(line)
            if match:
                if i:
                    builders.insert(0, builders.pop(i))
                head = heads.get(pattern)
                place = find_second(line, head) if head and has_two_times(line) else None
                if place is not None:
                    return second_record(place)
                if word not in line and _has_target(match):
                    return Record("not_a_postback")
                record = build(match)
                is_bodiless = record.http_method == "POST" and not record.query and record.body is None
                return record._replace(body=logged_body(line)) if is_bodiless and record.fault is None else record
        searched = heads.values() if may_hold_second(line) else ()
        places = (place for head in searched if (place := find_second(line, head, is_torn=True)) is not None)
        place = next(places, None)
        return (
            Record("malformed_record", f"Not a line of format {rows[0].name}")
            if place is None
            else second_record(place)
        )

    return read


def _has_target(match: re.Match[bytes]) -> bool:
    """Whether a request, target or path of the line contains a `/`."""
    groups = match.groupdict()
    return any(b"/" in (groups.get(name) or b"") for name in ("request", "escaped", "target", "path"))


def claims(row: Format, line: bytes) -> bool:
    """Whether a line matches a format's pattern."""
    return bool(compiled(row).match(line))


@lru_cache(maxsize=64)
def _compiled(pattern: bytes) -> re.Pattern[bytes]:
    """Compiles a pattern to match whole lines."""
    return re.compile(b"^(?:" + pattern + b")$", re.DOTALL)


def compiled(row: Format) -> re.Pattern[bytes]:
    """Returns a format's pattern, compiled to match whole lines."""
    return _compiled(row.pattern or b"(?!)")


def _record_builder(row: Format, settings: Settings) -> Callable[[re.Match[bytes]], Record]:
    """Returns a function that turns a match of the format's pattern into a record."""
    unescape, read_time = ESCAPES[row.escape], time_reader(row.time)

    def build(match: re.Match[bytes]) -> Record:  # noqa: PLR0911  one way out a kind of line
        values = {role: unescape(text) for role, text in match.groupdict().items() if text not in (None, b"-", b"")}
        for second, role in _SECOND_GROUPS.items():
            if second in values:
                values.setdefault(role, values.pop(second))
        texts = {role: text.decode("utf-8", "replace") for role, text in values.items()}
        received_at = read_time(texts["time"], settings.timezone) if "time" in texts else None
        if received_at is None and "time" in texts:
            return Record("malformed_record", f"The time {texts['time'][:40]!r} does not exist")
        client = texts.get("forwarded", texts.get("client", ""))
        if glued_address(client) is not None:
            return second_record(match.string.find(client.encode()) + (glued_address(client) or 0))
        record = Record(
            received_at=received_at,
            http_method=texts.get("method"),
            http_status=int(texts["status"]) if _STATUS.fullmatch(texts.get("status", "")) else None,
            client_ip=client_address(client),
            user_agent=texts.get("agent"),
            body=as_text(values["body"]) if "body" in values else None,
        )
        if "second" in values:
            return second_record(match.start("second"))
        if "repeated" in values:
            return repetition(values["repeated"])
        if "request" in values or not _TARGETS & match.re.groupindex.keys():
            parts = split_request(values.get("request", b""))
            if parts is None:
                return record._replace(fault="not_a_request")
            path, query = split_target(parts[1])
            return record._replace(http_method=parts[0], path=path, query=query)
        if "target" not in values and "path" not in values:
            is_bare = "query" in values and "path" not in match.re.groupindex
            bare = as_text(values["query"]).removeprefix("?") if is_bare else None
            return record._replace(fault=None if bare else "not_a_request", query=bare)
        path, query = split_target(values.get("target", values.get("path", b"")))
        sent = as_text(values["query"]).removeprefix("?") if "query" in values else query
        return record._replace(path=path, query=sent)

    return build
