"""Builds a record from values by role, as a JSON record or a table row provides them.

The roles are those of `text_lines`, and also: `url`, the same as `target`; `query` and `body`, as text or object;
`is_base64`, whether the body is base64; `date`, if it is separate from the time; `duration`, from the request's start
to the time; `repeated`, the target of a request that another record describes.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from etl.columnar import json_codec
from etl.rules.body_faults import not_an_object
from etl.sources.readers.escapes import ESCAPES, client_address
from etl.sources.readers.timestamps import TIMES, read_any, time_reader
from etl.sources.readers.webhook_envelopes import array_text, pairs
from etl.sources.record import Record, as_text, repetition, split_request, split_target

_TEXTS: Final = (
    "request",
    "target",
    "url",
    "path",
    "query",
    "method",
    "agent",
    "client",
    "status",
    "date",
    "time",
    "repeated",
)
_EPOCH: Final = re.compile(r"[0-9]{9,19}(?:\.[0-9]*)?")
_DURATION: Final = re.compile(r"(?<![0-9.])([0-9.]+)(ns|us|µs|ms|s|m|h|$)")
_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}
_OPENERS: Final = (b"{", b"[")


class ParseOptions(NamedTuple):
    """How the values of a record are written.

    Attributes:
        unescape: Undoes the server's escapes.
        time: A notation of `timestamps.time_reader`, which is tried first.
        zone: IANA name of the zone for times without a zone.
        is_pathless: Whether a record without a path, or with the path `/`, is a bare payload. If not, a record without
            a path is not a request.
    """

    unescape: Callable[[bytes], bytes] = ESCAPES["none"]
    time: str = "iso8601"
    zone: str = "UTC"
    is_pathless: bool = False


class _Place(NamedTuple):
    """Where a request was sent: method, path and query."""

    method: str | None
    path: str
    query: str | None


def record_of(roles: Mapping[str, Any], options: ParseOptions = ParseOptions()) -> Record:  # noqa: B008  a tuple never changes
    """Builds a record from role -> value. Bytes that are not UTF-8 must be lone surrogates (`surrogateescape`).

    Examples:
        >>> record = record_of({"url": "https://example.com/a/collect/b?x=1", "status": "200", "time": 1714564800})
        >>> record.path, record.query, record.http_status, str(record.received_at)
        ('/a/collect/b', 'x=1', 200, '2024-05-01 12:00:00+00:00')
        >>> record_of({"method": "GET"}).fault
        'not_a_request'
    """
    byte_values = {role: text for role in _TEXTS if role in roles and (text := options.unescape(_bytes(roles[role])))}
    if "repeated" in byte_values:
        return repetition(byte_values["repeated"])
    texts = {role: text.decode("utf-8", "replace") for role, text in byte_values.items()}
    received_at = _received_at(texts, roles.get("duration"), options)
    if received_at is None and "time" in texts:
        return Record("malformed_record", "The time in the record does not exist")
    place = _place(byte_values)
    query = roles.get("query")
    fields = pairs(query) if query and isinstance(query, dict) else None
    record = _body_record(roles.get("body"), is_base64=json_codec.scalar(roles.get("is_base64")) in ("true", "1"))
    is_bare = options.is_pathless and (place is not None or "request" not in byte_values)
    record = record._replace(
        received_at=received_at,
        http_method=texts.get("method"),
        http_status=_status(texts.get("status", "")),
        client_ip=client_address(texts.get("client", "")),
        user_agent=texts.get("agent"),
    )
    if place is None:
        sent = as_text(byte_values["query"]).removeprefix("?") if "query" in byte_values else None
        fault = record.fault if is_bare else "not_a_request"
        message = record.fault_message if is_bare else None
        return record._replace(fault=fault, fault_message=message, query=sent, query_fields=fields)
    return record._replace(
        http_method=place.method or texts.get("method"),
        path=None if options.is_pathless and place.path in ("", "/") else place.path,
        query=place.query,
        query_fields=fields if place.query is None else None,
    )


def _bytes(value: Any) -> bytes:
    """Returns the text of a scalar, or of a list's first item, as bytes; empty for `-`, the log's missing value."""
    first = value[0] if isinstance(value, list) and value else value
    text = (json_codec.scalar(first) or "").encode("utf-8", "surrogateescape")
    return b"" if text == b"-" else text


def _place(byte_values: dict[str, bytes]) -> _Place | None:
    """Returns method, path and query. A target takes precedence over a request line, and that over a path."""
    target = byte_values.get("target", byte_values.get("url"))
    sent = as_text(byte_values["query"]).removeprefix("?") if "query" in byte_values else None
    if target is None and byte_values.get("request", b"").startswith(b"/"):
        target = byte_values["request"]
    if target is None and "request" in byte_values:
        parts = split_request(byte_values["request"])
        if parts is None:
            return None
        path, query = split_target(parts[1])
        return _Place(parts[0], path, sent if query is None else query)
    if target is not None:
        path, query = split_target(target)
        return _Place(None, path, sent if query is None else query)
    if "path" not in byte_values:
        return None
    path, query = split_target(byte_values["path"])
    return _Place(None, path if path.startswith("/") else f"/{path}", query if sent is None else sent)


def _body_record(body: Any, *, is_base64: bool) -> Record:
    """Returns a record with the body as text or fields, or with a fault."""
    if isinstance(body, dict):
        return Record(fields=body)
    if isinstance(body, list):
        return Record("malformed_body", not_an_object(body), body=array_text(body))
    raw = _bytes(_decode_nested_string(body))
    if is_base64:
        try:
            raw = base64.b64decode(raw, validate=True)
        except binascii.Error:
            return Record("malformed_body", "The body is marked as base64, but is not valid base64")
    return Record(body=body_text(raw) or None)


def _decode_nested_string(body: Any) -> Any:
    """Decodes a body that was encoded as a JSON string twice; returns other bodies unchanged."""
    if not isinstance(body, str) or not body.startswith('"{'):
        return body
    try:
        return json_codec.parse_exactly(body.encode("utf-8", "surrogateescape"))
    except json_codec.JsonError:
        return body


def body_text(raw: bytes) -> str:
    """Decodes the bytes of a body: invalid UTF-8 becomes U+FFFD in JSON, and `%HH` in other text such as forms."""
    is_json = raw.lstrip()[:1] in _OPENERS
    return raw.decode("utf-8", "replace") if is_json else as_text(raw)


def _status(text: str) -> int | None:
    """Returns a status of up to three digits; None for other text."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 3 else None


def _received_at(texts: dict[str, str], duration: Any, options: ParseOptions) -> datetime | None:
    """Returns the instant of date and time, minus the duration if there is one."""
    if "time" not in texts:
        return None
    text = f"{texts['date']} {texts['time']}" if "date" in texts else texts["time"]
    instant = instant_of(text, options.time, options.zone)
    return instant - timedelta(seconds=_seconds(duration)) if instant and duration is not None else instant


def instant_of(text: str, time: str = "iso8601", zone: str = "UTC") -> datetime | None:
    """Parses a time: a number since 1970, else a time in the given notation, else in any known notation.

    Args:
        text: The time.
        time: A notation of `timestamps.time_reader`, which is tried before numbers if it is a layout.
        zone: IANA name of the zone for times without a zone.
    """
    text = text.strip()
    if time.startswith("layout ") and (found := time_reader(time)(text, zone)):
        return found
    if _EPOCH.fullmatch(text):
        return TIMES["epoch"](text, zone)
    return time_reader(time)(text, zone) or read_any(text, zone)


def _seconds(duration: Any) -> float:
    """Returns the seconds of a number or of a text such as `1m2.5s` or `12ms`; at most one day."""
    pieces = _DURATION.findall(json_codec.scalar(duration) or "")
    try:
        return min(sum(float(number) * _UNITS[unit] for number, unit in pieces), 86_400.0)
    except ValueError:
        return 0.0
