"""Records as their readers understood them, collected row by row: the slow, exact way into `schema.REQUESTS`."""

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
    """One record: a request, or what is wrong with it. The columns of `schema.REQUESTS` but lineage and raw."""

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
    """Path and query of a request target or URL, as text; the query is None where there is no `?`.

    Examples:
        >>> split_target(b"/a/collect/b?x=1?"), split_target(b"https://example.com/a/collect/b")
        (('/a/collect/b', 'x=1?'), ('/a/collect/b', None))
    """
    absolute = _ABSOLUTE.match(target)
    path, mark, query = (target[absolute.end() :] if absolute else target).partition(b"?")
    return path.decode("utf-8", "replace"), as_text(query) if mark else None


def split_request(line: bytes) -> tuple[str, bytes] | None:
    """Method and target of a request line; None where it is none (rules 1.1).

    The method ends at the first blank, the protocol is a last word that begins with `HTTP/`, the target is all between.
    """
    method, _, rest = line.partition(b" ")
    target, _, protocol = rest.rpartition(b" ")
    if not protocol.startswith(b"HTTP/"):
        target = rest
    if not target.strip() or not _METHOD.fullmatch(method):
        return None
    return method.decode(), target


def as_text(query: bytes) -> str:
    """A query's or form's bytes as text that decodes to the same parameters: bytes that are not UTF-8 as `%HH`."""
    try:
        return query.decode()
    except UnicodeDecodeError:
        return quote_from_bytes(query, safe=_ASCII)


def as_columns(records: list[Record]) -> dict[str, pl.Series]:
    """Records read one by one, as columns."""
    schema = REQUESTS.schema
    values = zip(*records, strict=True) if records else ((),) * len(Record._fields)
    by_name: dict[str, Any] = dict(zip(Record._fields, values, strict=True))
    fields = {name: fields_of(by_name.pop(name)).alias(name) for name in ("fields", "query_fields")}
    return {name: pl.Series(values, dtype=schema[name]) for name, values in by_name.items()} | fields


_ASCII: Final = "".join(map(chr, range(128)))
