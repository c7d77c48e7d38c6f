"""Lines of text that a pattern describes: the reader of every family of such formats.

The named groups of a pattern are roles:

`request` (`METHOD target HTTP/1.1`) or `method` with `target` or `path` and `query`; `body`; `time`; `status`; `client`
(of a list the first, without port) and before it `forwarded`; `agent`. A `-` or nothing means that there is no value.
A pattern may name a second place of some: `logged` for `time`, `escaped` for `request`, `address` for `client`, `code`
for `status`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from etl.sources.format import Format, Reader, Settings
from etl.sources.readers.escapes import ESCAPES, client_address
from etl.sources.readers.timestamps import time_reader
from etl.sources.record import Record, as_text, split_request, split_target

_TARGETS: Final = frozenset(("target", "path", "query"))
_SECOND: Final = {"logged": "time", "escaped": "request", "address": "client", "code": "status"}


def start(rows: tuple[Format, ...], settings: Settings) -> Reader:
    """A reader of lines that any of the rows describe; what none does is malformed."""
    readers = [(compiled(row), _opener(row, settings)) for row in rows]
    names = " or ".join(row.name for row in rows[:1])
    word = settings.word if not rows[0].is_body_logged else b""

    def read(line: bytes) -> Record:
        for i, (pattern, opened) in enumerate(readers):
            match = pattern.match(line)
            if match:
                if i:
                    readers.insert(0, readers.pop(i))
                return opened(match) if word in line or not _has_target(match) else Record("not_a_postback")
        return Record("malformed_record", f"Not a line of format {names}")

    return read


def _has_target(match: re.Match[bytes]) -> bool:
    """Whether something that went to a path is where the request is."""
    groups = match.groupdict()
    return any(b"/" in (groups.get(name) or b"") for name in ("request", "escaped", "target", "path"))


def claims(row: Format, line: bytes) -> bool:
    """Whether a line matches a row's pattern."""
    return bool(compiled(row).match(line))


@lru_cache(maxsize=64)
def _compiled(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(b"^(?:" + pattern + b")$", re.DOTALL)


def compiled(row: Format) -> re.Pattern[bytes]:
    """A row's pattern, which must match whole lines."""
    return _compiled(row.pattern or b"(?!)")


def _opener(row: Format, settings: Settings) -> Callable[[re.Match[bytes]], Record]:
    undo, read_time = ESCAPES[row.escape], time_reader(row.time)

    def opened(match: re.Match[bytes]) -> Record:
        seen = {role: undo(text) for role, text in match.groupdict().items() if text not in (None, b"-", b"")}
        for second, role in _SECOND.items():
            if second in seen:
                seen.setdefault(role, seen.pop(second))
        texts = {role: text.decode("utf-8", "replace") for role, text in seen.items()}
        received_at = read_time(texts["time"], settings.timezone) if "time" in texts else None
        if received_at is None and "time" in texts:
            return Record("malformed_record", f"The time {texts['time'][:40]!r} does not exist")
        record = Record(
            received_at=received_at,
            http_method=texts.get("method"),
            http_status=int(texts["status"]) if texts.get("status", "").isdigit() else None,
            client_ip=client_address(texts.get("forwarded", texts.get("client", ""))),
            user_agent=texts.get("agent"),
            body=as_text(seen["body"]) if "body" in seen else None,
        )
        if "request" in seen or not _TARGETS & match.re.groupindex.keys():
            parts = split_request(seen.get("request", b""))
            if parts is None:
                return record._replace(fault="not_a_request")
            path, query = split_target(parts[1])
            return record._replace(http_method=parts[0], path=path, query=query)
        if "target" not in seen and "path" not in seen:
            is_bare = "query" in seen and "path" not in match.re.groupindex
            bare = as_text(seen["query"]).removeprefix("?") if is_bare else None
            return record._replace(fault=None if bare else "not_a_request", query=bare)
        path, query = split_target(seen.get("target", seen.get("path", b"")))
        sent = as_text(seen["query"]).removeprefix("?") if "query" in seen else query
        return record._replace(path=path, query=sent)

    return opened
