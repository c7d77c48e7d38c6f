"""Defines parsed records, and turns a list of records into columns of `schema.REQUESTS`.

This is the exact path, one record at a time; `access_log.read_batch` and `json_batch` have faster paths.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final, NamedTuple
from urllib.parse import quote_from_bytes

import polars as pl

from etl.columnar.field_lists import fields_of
from etl.schema import REQUESTS

_ABSOLUTE: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://[^/?]*")
_METHOD: Final = re.compile(rb"(?!-)[A-Za-z_-]{1,32}")


class Record(NamedTuple):
    """One parsed record: a request or a fault. Its fields are columns of `schema.REQUESTS`, without lineage and raw."""

    fault: str | None = None
    fault_message: str | None = None
    received_at: datetime | None = None
    http_method: str | None = None
    http_status: int | None = None
    client_ip: str | None = None
    user_agent: str | None = None
    path: str | None = None
    query: str | None = None
    body: str | None = None
    fields: dict[str, Any] | None = None
    query_fields: list[tuple[str, Any]] | None = None


def split_target(target: bytes) -> tuple[str, str | None]:
    """Splits a request target or URL into path and query, as text. The query is None if there is no `?`.

    Examples:
        >>> split_target(b"/a/collect/b?x=1?"), split_target(b"https://example.com/a/collect/b")
        (('/a/collect/b', 'x=1?'), ('/a/collect/b', None))
    """
    absolute = _ABSOLUTE.match(target)
    path, mark, query = (target[absolute.end() :] if absolute else target).partition(b"?")
    return path.decode("utf-8", "replace"), as_text(query) if mark else None


def repetition(target: bytes) -> Record:
    """Returns what a record is that repeats a request of another record: it has its path, but is no request."""
    return Record("not_a_request", path=split_target(target)[0])


def split_request(line: bytes) -> tuple[str, bytes] | None:
    """Splits a request line into method and target; None if it is not a valid request line (rules 1.1).

    The method ends at the first space. The protocol is the last word, if that begins with `HTTP/`. The target is
    everything between.
    """
    method, _, rest = line.partition(b" ")
    target, _, protocol = rest.rpartition(b" ")
    if not protocol.startswith(b"HTTP/"):
        target = rest
    if not target.strip() or not _METHOD.fullmatch(method):
        return None
    return method.decode(), target


def as_text(query: bytes) -> str:
    """Decodes the bytes of a query or form to text with the same parameters.

    If the bytes are not valid UTF-8, each non-ASCII byte becomes `%HH`.
    """
    try:
        return query.decode()
    except UnicodeDecodeError:
        return quote_from_bytes(query, safe=_ASCII)


def as_columns(records: list[Record]) -> dict[str, pl.Series]:
    """Turns records into columns of `schema.REQUESTS`."""
    schema = REQUESTS.schema
    values = zip(*records, strict=True) if records else ((),) * len(Record._fields)
    by_name: dict[str, Any] = dict(zip(Record._fields, values, strict=True))
    fields = {name: fields_of(by_name.pop(name)).alias(name) for name in ("fields", "query_fields")}
    return {name: pl.Series(values, dtype=schema[name]) for name, values in by_name.items()} | fields


#: Characters that `quote_from_bytes` leaves as they are.
_ASCII: Final = "".join(map(chr, range(128)))
