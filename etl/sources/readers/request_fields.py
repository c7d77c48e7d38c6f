"""Values of a JSON record, named by the role they play, to a `Record`.

The roles are those of `text_lines`, and: `url` as `target`, `query` as text or object, `body` as text or object,
`is_base64` of the body, `date` before the time, `duration` between the start and the time.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from etl.columnar import json_codec
from etl.sources.readers.escapes import ESCAPES, client_address
from etl.sources.readers.timestamps import TIMES, read_any
from etl.sources.readers.webhook_envelopes import pairs
from etl.sources.record import Record, as_text, split_request, split_target

_TEXTS: Final = ("request", "target", "url", "path", "query", "method", "agent", "client", "status", "date", "time")
_EPOCH: Final = re.compile(r"[0-9]{9,19}(?:\.[0-9]*)?")
_DURATION: Final = re.compile(r"([0-9.]+)(ns|us|µs|ms|s|m|h|$)")
_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}
_OPENERS: Final = (b"{", b"[")


class Manner(NamedTuple):
    """How a record's values are written.

    Attributes:
        undo: Undoes the server's escape.
        time: A name of `times.TIMES`, tried first.
        zone: IANA name of the zone of times that say none.
        is_pathless: Whether a record without a path, or with that of a host's root alone, is a bare payload, and not
            no request or one to elsewhere.
    """

    undo: Callable[[bytes], bytes] = ESCAPES["none"]
    time: str = "iso8601"
    zone: str = "UTC"
    is_pathless: bool = False


class _Place(NamedTuple):
    method: str | None
    path: str
    query: str | None


def record_of(roles: Mapping[str, Any], manner: Manner = Manner()) -> Record:  # noqa: B008  a tuple never changes
    """The record of some values. Texts may hold bytes that are not UTF-8, as `surrogateescape` keeps them.

    Examples:
        >>> record = record_of({"url": "https://example.com/a/collect/b?x=1", "status": "200", "time": 1714564800})
        >>> record.path, record.query, record.http_status, str(record.received_at)
        ('/a/collect/b', 'x=1', 200, '2024-05-01 12:00:00+00:00')
        >>> record_of({"method": "GET"}).fault
        'not_a_request'
    """
    seen = {role: text for role in _TEXTS if role in roles and (text := manner.undo(_bytes(roles[role])))}
    texts = {role: text.decode("utf-8", "replace") for role, text in seen.items()}
    received_at = _received_at(texts, roles.get("duration"), manner)
    if received_at is None and "time" in texts:
        return Record("malformed_record", "The time in the record does not exist")
    place = _place(seen)
    query = roles.get("query")
    fields = pairs(query) if query and isinstance(query, dict) else None
    content = _content(roles.get("body"), is_base64=json_codec.scalar(roles.get("is_base64")) in ("true", "1"))
    is_bare = manner.is_pathless and (place is not None or "request" not in seen)
    record = content._replace(
        received_at=received_at,
        http_method=texts.get("method"),
        http_status=_status(texts.get("status", "")),
        client_ip=client_address(texts.get("client", "")),
        user_agent=texts.get("agent"),
    )
    if place is None:
        sent = as_text(seen["query"]).removeprefix("?") if "query" in seen else None
        fault = record.fault if is_bare else "not_a_request"
        message = record.fault_message if is_bare else None
        return record._replace(fault=fault, fault_message=message, query=sent, query_fields=fields)
    return record._replace(
        http_method=place.method or texts.get("method"),
        path=None if manner.is_pathless and place.path in ("", "/") else place.path,
        query=place.query,
        query_fields=fields if place.query is None else None,
    )


def _bytes(value: Any) -> bytes:
    """A scalar's text, or that of the first of a list; nothing for `-`, by which logs say that there is none."""
    first = value[0] if isinstance(value, list) and value else value
    text = (json_codec.scalar(first) or "").encode("utf-8", "surrogateescape")
    return b"" if text == b"-" else text


def _place(seen: dict[str, bytes]) -> _Place | None:
    """Where the request went: a target as sent before a request line, and that before a path."""
    target = seen.get("target", seen.get("url"))
    sent = as_text(seen["query"]).removeprefix("?") if "query" in seen else None
    if target is None and seen.get("request", b"").startswith(b"/"):
        target = seen["request"]
    if target is None and "request" in seen:
        parts = split_request(seen["request"])
        if parts is None:
            return None
        path, query = split_target(parts[1])
        return _Place(parts[0], path, sent if query is None else query)
    if target is not None:
        path, query = split_target(target)
        return _Place(None, path, sent if query is None else query)
    if "path" not in seen:
        return None
    path, query = split_target(seen["path"])
    return _Place(None, path if path.startswith("/") else f"/{path}", query if sent is None else sent)


def _content(body: Any, *, is_base64: bool) -> Record:
    if isinstance(body, dict):
        return Record(fields=body)
    if isinstance(body, list):
        return Record("malformed_body", "The body is JSON, but not an object")
    raw = _bytes(_inner(body))
    if is_base64:
        try:
            raw = base64.b64decode(raw, validate=True)
        except binascii.Error:
            return Record("malformed_body", "The body is said to be base64, and is not")
    return Record(body=body_text(raw) or None)


def _inner(body: Any) -> Any:
    """A body that was written as a JSON string twice, as it was once."""
    if not isinstance(body, str) or not body.startswith('"{'):
        return body
    try:
        return json_codec.parse_exactly(body.encode("utf-8", "surrogateescape"))
    except json_codec.JsonError:
        return body


def body_text(raw: bytes) -> str:
    """A body's bytes as text: JSON with U+FFFD for what is not UTF-8, a form so that no byte of it is lost."""
    is_json = raw.lstrip()[:1] in _OPENERS
    return raw.decode("utf-8", "replace") if is_json else as_text(raw)


def _status(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 3 else None


def _received_at(texts: dict[str, str], duration: Any, manner: Manner) -> datetime | None:
    if "time" not in texts:
        return None
    text = f"{texts['date']} {texts['time']}" if "date" in texts else texts["time"]
    instant = instant_of(text, manner.time, manner.zone)
    return instant - timedelta(seconds=_seconds(duration)) if instant and duration is not None else instant


def instant_of(text: str, time: str = "iso8601", zone: str = "UTC") -> datetime | None:
    """The instant of a text that is a number since 1970, or written in the named way, or in any other known."""
    text = text.strip()
    if _EPOCH.fullmatch(text):
        return TIMES["epoch"](text, zone)
    return TIMES[time](text, zone) or read_any(text, zone)


def _seconds(duration: Any) -> float:
    """Seconds of a number, or of a text such as `1m2.5s` or `12ms`."""
    pieces = _DURATION.findall(json_codec.scalar(duration) or "")
    try:
        return min(sum(float(number) * _UNITS[unit] for number, unit in pieces), 86_400.0)
    except ValueError:
        return 0.0
