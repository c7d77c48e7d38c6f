"""Parses records of the JSON family: access logs in JSON, webhook captures, events, envelopes and bare payloads.

A record is parsed by the first format whose marks it satisfies, otherwise as the contract's envelope or bare payload.
Columns that the user named take precedence over the format's keys.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from etl.columnar import json_codec
from etl.sources.format import Format, Reader, Settings
from etl.sources.readers import webhook_envelopes
from etl.sources.readers.column_guessing import ROLES
from etl.sources.readers.escapes import ESCAPES
from etl.sources.readers.json_matching import format_matcher, marks_of, value_at
from etl.sources.readers.request_fields import ParseOptions, record_of
from etl.sources.record import Record
from etl.sources.records.json_documents import may_hold, read_documents

#: A matcher for detection lives as long as the process, and its inputs may have any keys.
_CACHED_KEY_SETS: Final = 256

_CONTENTS: Final = frozenset(("request", "target", "url", "query", "body"))


def start(rows: tuple[Format, ...], settings: Settings) -> Reader:
    """Creates a reader for records in the given formats, for envelopes and for bare payloads."""
    top_keys, _, format_of = format_matcher(rows)
    columns: dict[str, tuple[str, ...]] = {ROLES.get(role, role): (path,) for role, path in settings.columns}

    word = settings.word if rows and not rows[0].is_body_logged else b""

    def read(record: bytes) -> Record:
        if word and word not in record and record[:1] + record[-1:] == b"{}":
            return Record("not_a_postback")
        try:
            value = json_codec.parse(record)
        except json_codec.JsonError:
            return read_irregular(record)
        if not columns and (type(value) is not dict or top_keys.isdisjoint(value)):
            return webhook_envelopes.read_value(value, settings.collect_path)
        return read_value(record, value)

    def read_irregular(record: bytes) -> Record:
        r"""Reads a record that is not valid JSON: a log record with nginx's `\xHH` escapes, else malformed."""
        try:
            value = json_codec.parse_exactly(json_codec.repair_escapes(record)) if b"\\x" in record else None
        except json_codec.JsonError:
            value = None
        if isinstance(value, dict) and (columns or format_of(value)):
            return _replace_surrogates(read_value(b"", value))
        return Record("malformed_record", webhook_envelopes.malformed_reason(record))

    def read_value(record: bytes, value: Any) -> Record:
        """Reads a parsed record by its format, or as an envelope or payload; then applies the user's columns."""
        row = format_of(value) if isinstance(value, dict) else None
        base = (
            read_in_format(record, value, row)
            if row
            else webhook_envelopes.read_value(
                value if record else json_codec.without_surrogates(value), settings.collect_path
            )
        )
        return _apply_columns(base, value, columns, settings) if columns and isinstance(value, dict) else base

    def read_in_format(record: bytes, value: dict[str, Any], row: Format) -> Record:
        """Reads a parsed record by its format. Bytes that are not UTF-8 are parsed again, exactly."""
        exact = value if _is_utf8(record) else json_codec.parse_exactly(record)
        seen = _read_row(exact, row, settings)
        return seen if exact is value else _replace_surrogates(seen)

    return read


def claims(row: Format, record: bytes) -> bool:
    """Whether a record, or the first record in its container, satisfies all marks of a format."""
    value = parsed(record)
    marks = marks_of(row)
    if not isinstance(value, dict) or not marks:
        return False
    inner = value_at(value, ".".join(row.container)) if row.container else None
    first = inner[0] if isinstance(inner, list) and inner else value
    return isinstance(first, dict) and all(mark.matches(first) for mark in marks)


def claimant(rows: tuple[Format, ...]) -> Callable[[bytes], Format | None]:
    """Returns a function for the first of some formats that `claims` a record: the same answer, by its top-level keys.

    Args:
        rows: The formats, in order of precedence.
    """
    match = format_matcher(rows, _CACHED_KEY_SETS).match
    containers = frozenset(top for row in rows if row.container for top in (".".join(row.container), row.container[0]))

    def first(record: bytes) -> Format | None:
        value = parsed(record)
        if not isinstance(value, dict):
            return None
        if containers.isdisjoint(value):
            return match(value)
        return next((row for row in rows if claims(row, record)), None)

    return first


def container_of(sample: bytes, rows: tuple[Format, ...]) -> tuple[str, ...]:
    """Returns the container whose records the given formats claim in the first bytes of an input; else an empty tuple.

    Args:
        sample: The first bytes of the input.
        rows: The formats; those without a container are ignored.
    """
    for container in dict.fromkeys(row.container for row in rows if row.container):
        if not may_hold(sample, container):
            continue
        elements = next(read_documents(io.BytesIO(sample), len(sample), container), [])
        claimants = [row for row in rows if row.container == container]
        if any(claims(row, element.text) for element in elements[:2] for row in claimants):
            return container
    return ()


@lru_cache(maxsize=4)
def parsed(record: bytes) -> Any:
    r"""Parses a record that may contain nginx's `\xHH` escapes; None if it is not valid JSON."""
    try:
        return json_codec.parse(json_codec.repair_escapes(record))
    except json_codec.JsonError:
        return None


def _read_row(value: dict[str, Any], row: Format, settings: Settings) -> Record:
    """Turns a parsed record into a request, by the keys or the `read` function of its format."""
    if row.read:
        return row.read(value)
    escape = row.escape if row.escape != "cloudfront" or settings.is_cloudfront_encoded else "none"
    zone = "UTC" if row.is_zoned else settings.timezone
    return record_of(_roles(value, row.keys or {}), ParseOptions(ESCAPES[escape], row.time, zone, row.is_body_logged))


def _roles(value: dict[str, Any], keys: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    """Returns role -> value of the first key whose value is not null, empty or `-`."""
    return {
        role: found
        for role, paths in keys.items()
        if (
            found := next(
                (candidate for path in paths if (candidate := value_at(value, path)) not in (None, "", "-")), None
            )
        )
        is not None
    }


def _apply_columns(
    base: Record, value: dict[str, Any], columns: dict[str, tuple[str, ...]], settings: Settings
) -> Record:
    """Replaces the parts of a record for which the user named columns."""
    roles = _roles(value, columns)
    if not roles:
        return base
    override = record_of(roles, ParseOptions(time=settings.time, zone=settings.timezone, is_pathless=True))
    if override.fault == "malformed_record":
        return override
    has_content = not _CONTENTS.isdisjoint(roles)
    is_bare = base.fields == value
    kept = base._replace(fields=None) if is_bare and has_content else base
    if base.fault == "not_a_request" and has_content:
        kept = kept._replace(fault=None)
    if "body" in roles:
        kept = kept._replace(fault=override.fault, fault_message=override.fault_message, body=None, fields=None)
    if override.query is not None or override.query_fields:
        kept = kept._replace(query=None, query_fields=None)
    return kept._replace(**{name: value for name, value in override._asdict().items() if value is not None})


def _is_utf8(record: bytes) -> bool:
    """Whether a record is valid UTF-8."""
    if record.isascii():
        return True
    try:
        record.decode()
    except UnicodeDecodeError:
        return False
    return True


def _replace_surrogates(record: Record) -> Record:
    """Replaces lone surrogates in a record's fields and query fields."""
    clean = json_codec.without_surrogates
    sent = record.query_fields
    return record._replace(
        fields=clean(record.fields), query_fields=sent and [(clean(name), clean(value)) for name, value in sent]
    )
