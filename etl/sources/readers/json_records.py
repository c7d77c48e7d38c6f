"""JSON records: the reader of the family that holds access logs in JSON, captures of webhooks, events and payloads.

A record is read by the row whose marks it bears, else as the contract's envelope or bare payload. What a user says
about columns comes before what a row knows.
"""

from __future__ import annotations

import io
import re
from typing import Any, Final

from etl.columnar import json_codec
from etl.sources.format import Format, Reader, Settings
from etl.sources.readers import access_log, webhook_envelopes
from etl.sources.readers.column_guessing import ROLES
from etl.sources.readers.escapes import ESCAPES
from etl.sources.readers.json_matching import at, choice, marks_of
from etl.sources.readers.request_fields import Manner, instant_of, record_of
from etl.sources.record import Record
from etl.sources.records.json_documents import read_documents

FAMILY: Final = "json"

_PLACES: Final = frozenset(("request", "target", "url", "path"))
_CONTENTS: Final = frozenset(("request", "target", "url", "query", "body"))
_SENDER: Final = re.compile(rb"\S+ [\w./-]+(?:\[\d+\])?: ")


def start(rows: tuple[Format, ...], settings: Settings) -> Reader:
    """A reader of records in any of the rows, in the user's own, in envelopes and of bare payloads."""
    tops, _, row_of = choice(rows)
    columns: dict[str, tuple[str, ...]] = {ROLES.get(role, role): (path,) for role, path in settings.columns}

    word = settings.word if rows and not rows[0].is_body_logged else b""

    def read(record: bytes) -> Record:
        if word and word not in record and record[:1] + record[-1:] == b"{}":
            return Record("not_a_postback")
        try:
            value = json_codec.parse(record)
        except json_codec.JsonError:
            return irregular(record)
        if not columns and (type(value) is not dict or tops.isdisjoint(value)):
            return webhook_envelopes.read_value(value)
        return one(record, value)

    def irregular(record: bytes) -> Record:
        try:
            value = json_codec.parse_exactly(json_codec.repaired(record)) if b"\\x" in record else None
        except json_codec.JsonError:
            value = None
        if isinstance(value, dict) and (columns or row_of(value)):
            return _tidy(one(b"", value))
        return Record("malformed_record", webhook_envelopes.what_is_wrong(record))

    def one(record: bytes, value: Any) -> Record:
        row = row_of(value) if isinstance(value, dict) else None
        base = (
            by_row(record, value, row)
            if row
            else webhook_envelopes.read_value(value if record else json_codec.without_surrogates(value))
        )
        return _overlaid(base, value, columns, settings) if columns and isinstance(value, dict) else base

    def by_row(record: bytes, value: dict[str, Any], row: Format) -> Record:
        exact = value if _is_utf8(record) else json_codec.parse_exactly(record)
        if row.keys and "record" in row.keys:
            return _read_wrapped(exact, row, read)
        seen = _read_row(exact, row, settings)
        return seen if exact is value else _tidy(seen)

    return read


def claims(row: Format, record: bytes) -> bool:
    """Whether a record, or the first in a document's container, bears all marks of a row."""
    value = _value(record)
    marks = marks_of(row)
    if not isinstance(value, dict) or not marks:
        return False
    inner = at(value, ".".join(row.container)) if row.container else None
    first = inner[0] if isinstance(inner, list) and inner else value
    return isinstance(first, dict) and all(mark.is_on(first) for mark in marks)


def container_of(sample: bytes, rows: tuple[Format, ...]) -> tuple[str, ...]:
    """The container in which the first bytes of an input hold records of a row that has one; none if they do not."""
    for container in dict.fromkeys(row.container for row in rows if row.container):
        elements = next(read_documents(io.BytesIO(sample), len(sample), container), [])
        claimants = [row for row in rows if row.container == container]
        if any(claims(row, element.text) for element in elements[:2] for row in claimants):
            return container
    return ()


def _value(record: bytes) -> Any:
    try:
        return json_codec.parse(json_codec.repaired(record))
    except json_codec.JsonError:
        return None


def _read_row(value: dict[str, Any], row: Format, settings: Settings) -> Record:
    if row.read:
        return row.read(value)
    escape = row.escape if row.escape != "cloudfront" or settings.is_cloudfront_encoded else "none"
    zone = "UTC" if row.is_zoned else settings.timezone
    return record_of(_roles(value, row.keys or {}), Manner(ESCAPES[escape], row.time, zone, row.is_body_logged))


def _roles(value: dict[str, Any], keys: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    """Role -> value of the first key that holds something."""
    return {
        role: found
        for role, paths in keys.items()
        if (found := next((seen for path in paths if (seen := at(value, path)) not in (None, "", "-")), None))
        is not None
    }


def _read_wrapped(value: dict[str, Any], row: Format, read: Reader) -> Record:
    """A record whose text is a whole record of a log: JSON, or a line of the combined family."""
    roles = _roles(value, row.keys or {})
    text = json_codec.scalar(roles.get("record")) or ""
    inner = text.encode("utf-8", "surrogateescape").strip()
    record = read(inner) if inner.startswith(b"{") else access_log.read_line(_SENDER.sub(b"", inner, count=1))
    if record.fault == "malformed_record":
        return Record("not_a_request")
    return record if record.received_at else record._replace(received_at=_time(roles.get("time")))


def _time(value: Any) -> Any:
    text = json_codec.scalar(value)
    return instant_of(text) if text else None


def _overlaid(base: Record, value: dict[str, Any], columns: dict[str, tuple[str, ...]], settings: Settings) -> Record:
    """A record with what the user's columns say of it instead."""
    roles = _roles(value, columns)
    if not roles:
        return base
    said = record_of(roles, Manner(zone=settings.timezone, is_pathless=True))
    if said.fault == "malformed_record":
        return said
    is_told = not _CONTENTS.isdisjoint(roles)
    is_bare = base.fields == value
    kept = base._replace(fields=None) if is_bare and is_told else base
    if base.fault == "not_a_request" and is_told:
        kept = kept._replace(fault=None)
    if "body" in roles:
        kept = kept._replace(fault=said.fault, fault_message=said.fault_message, body=None, fields=None)
    if said.query is not None or said.query_fields:
        kept = kept._replace(query=None, query_fields=None)
    return kept._replace(**{name: seen for name, seen in said._asdict().items() if seen is not None})


def _is_utf8(record: bytes) -> bool:
    if record.isascii():
        return True
    try:
        record.decode()
    except UnicodeDecodeError:
        return False
    return True


def _tidy(record: Record) -> Record:
    """A record whose parsed values hold no lone surrogates."""
    clean = json_codec.without_surrogates
    sent = record.query_fields
    return record._replace(
        fields=clean(record.fields), query_fields=sent and [(clean(name), clean(value)) for name, value in sent]
    )
